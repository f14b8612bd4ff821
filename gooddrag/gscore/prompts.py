"""The wordings, kept as data with their versions; what a reply must look like, and the strict reading of it."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True)
class Prompt:
    """One version of the question.

    Attributes:
        version: its name. text: `{labels}` stands for the labels shown. about: where it is from.
        mode: "single", original and one edited image; "comparative", original and one of every method.
        scale: lowest and highest score.
        shuffle: whether the methods' order is drawn for every request.
        methods: how many it speaks of; None: any number.
    """

    version: str
    text: str
    mode: Literal["single", "comparative"]
    scale: tuple[float, float]
    shuffle: bool = False
    methods: int | None = None
    about: str = ""

    def question(self, n: int) -> str:
        """The text for n edited images."""
        return self.text.replace("{labels}", ", ".join(labels(n)))

    def schema(self, n: int) -> dict[str, Any]:
        """The reply's schema, in the words that both Gemini clients take."""
        score = {"type": "NUMBER"}
        if self.mode == "single":
            return _object({"score": score, "reason": {"type": "STRING"}})
        return _object(dict.fromkeys(labels(n), score))

    def scores(self, text: str, n: int) -> list[float]:
        """The n scores of a reply, in the order in which the images were shown.

        Raises:
            ValueError: it is not JSON of the schema, or a score is no number on the scale.
        """
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"reply: not JSON ({error})") from error
        expected = ["score"] if self.mode == "single" else labels(n)
        allowed = {*expected, "reason"}
        if not isinstance(reply, dict) or not set(expected) <= set(reply) <= allowed:
            raise ValueError(f"reply: {text[:80]!r}; expected an object with {', '.join(expected)}")
        values = [reply[key] for key in expected]
        low, high = self.scale
        for key, value in zip(expected, values, strict=True):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"reply: {key} is {value!r}; expected a number from {low:g} to {high:g}")
        return [float(value) for value in values]


def labels(n: int) -> list[str]:
    """A, B, C, ... for the edited images of one request."""
    if not 1 <= n <= len(string.ascii_uppercase):
        raise ValueError(f"methods: {n}; expected 1 to {len(string.ascii_uppercase)}")
    return list(string.ascii_uppercase[:n])


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "OBJECT", "properties": properties, "required": list(properties)}


def _prompts() -> dict[str, Prompt]:
    stored = json.loads(files("gooddrag.gscore").joinpath("prompts.json").read_text(encoding="utf-8"))
    return {version: Prompt(version, **{**fields, "scale": tuple(fields["scale"])})
            for version, fields in stored.items()}  # fmt: skip


PROMPTS: dict[str, Prompt] = _prompts()


def find(prompt: str | Prompt, methods: Sequence[str]) -> Prompt:
    """A prompt by its version, checked against the number of methods."""
    if not isinstance(prompt, Prompt):
        if prompt not in PROMPTS:
            raise ValueError(f"prompt: {prompt!r}; expected one of {', '.join(PROMPTS)}, or a Prompt")
        prompt = PROMPTS[prompt]
    if prompt.methods is not None and len(methods) != prompt.methods:
        raise ValueError(f"results: {len(methods)} methods; prompt {prompt.version!r} speaks of {prompt.methods}")
    return prompt
