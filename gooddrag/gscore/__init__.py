"""GScore (Sec. 4.2): a large multimodal model rates edited images. Every raw reply is kept; no failure is a number."""

from gooddrag.gscore.gemini import GeminiRater
from gooddrag.gscore.prompts import PROMPTS, Prompt
from gooddrag.gscore.rater import Rater, RaterError, Reply
from gooddrag.gscore.rating import Rating, rate, read_ratings, summary

__all__ = [
    "PROMPTS",
    "GeminiRater",
    "Prompt",
    "Rater",
    "RaterError",
    "Rating",
    "Reply",
    "rate",
    "read_ratings",
    "summary",
]
