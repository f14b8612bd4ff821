"""GScore (Sec. 4.2): a large multimodal model rates edited images. Every reply is kept; no failure is a number."""

import hashlib
import json
import math
import os
import random
import string
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image

from gooddrag.files import atomic_file
from gooddrag.marks import marked
from gooddrag.sample import Sample

SIDE = 1024  # px, the most that is sent
TIMEOUT = 120  # seconds, of a request
STATUS = ("rated", "blocked", "malformed")
ENDED = ("STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED")  # replies that the service did not block


class Rater(Protocol):
    """Any model that looks at images: another service is one class with these two."""

    name: str  # service, model and settings: with the prompt and the images it decides what is asked anew

    def ask(self, text: str, images: Sequence[Image.Image], schema: dict) -> dict:
        """The reply to text and images as plain data, in the Gemini protocol's words: candidates, prompt_feedback."""


@dataclass(frozen=True)
class Prompt:
    """One version of a question.

    Attributes:
        text: `{labels}` stands for the labels shown. about: where it is from. scale: lowest and highest score.
        together: all methods in one request, labelled A, B, ...; else one. shuffle: in an order drawn by the sample.
        scores: what is asked of one image; the score is their geometric mean. drawn: whether the drag is shown, too.
    """

    text: str
    about: str
    scale: tuple[float, float]
    together: bool
    shuffle: bool
    scores: tuple[str, ...]
    drawn: bool

    def labels(self, n: int) -> list[str]:
        return list(string.ascii_uppercase[:n]) if self.together else list(self.scores)

    def read(self, text: str, n: int) -> dict[str, float]:
        """The scores in a reply, by label: from the JSON in it, whatever is around it."""
        labels, (low, high) = self.labels(n), self.scale
        try:
            found = json.loads(text[text.find("{") : text.rfind("}") + 1])
            scores = [found[label] for label in labels]
        except (ValueError, LookupError):
            scores = []
        if not scores or any(type(score) not in (int, float) or not low <= score <= high for score in scores):
            wanted = f"JSON with {', '.join(labels)}, numbers from {low:g} to {high:g}"
            raise ValueError(f"reply: {text[:80]!r}; expected {wanted}")
        return dict(zip(labels, map(float, scores), strict=True))


PROMPTS = {
    name: Prompt(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
    for name, fields in json.loads(Path(__file__).with_name("prompts.json").read_text(encoding="utf-8")).items()
}


def rate(
    rater: Rater,
    samples: Sequence[Sample],
    results: Mapping[str, Mapping[str, Image.Image]],
    folder: str | os.PathLike,
    prompt: str = "single-1",
) -> list[dict]:
    """Have every result rated, each request once: what is in `folder` is not asked again.

    A reply without scores is asked for twice more. A request that the service blocks or refuses is a record without a
    score, and the others go on; where nothing can be had (no key, no network) the same call goes on later.

    Args:
        samples: with distinct names. results: {method: {sample name: edited image}}; none may be missing.
        folder: one JSON file a request; without it the request is made again. prompt: a name in `PROMPTS`.

    Returns:
        The records: sample, methods (in the order shown), status (one of `STATUS`), scores {method: score}, detail (why
        there is none), rater, prompt, scale, when, reply, raw.
    """
    if prompt not in PROMPTS:
        raise ValueError(f"prompt: {prompt!r}; expected one of {', '.join(PROMPTS)}")
    names, asked, folder = [sample.name for sample in samples], PROMPTS[prompt], Path(folder).expanduser()
    lacking = [f"{method} of {name}" for method in results for name in names if name not in results[method]]
    if lacking or len(set(names)) < len(names):
        told = f"no {lacking[0]}" if lacking else ", ".join(names)
        raise ValueError(f"samples, results: {told}; expected an image of every method for distinct samples")
    if prompt == "released" and len(results) != 3:
        raise ValueError(f"results: {len(results)} methods; the released prompt speaks of 3")
    records = []
    for sample in samples:
        shown = list(results)
        if asked.shuffle:
            random.Random(sample.name).shuffle(shown)
        for methods in [shown] if asked.together else [[method] for method in shown]:
            images = [sample.image, *([marked(sample.image, sample.points)] if asked.drawn else [])]
            images += [results[method][sample.name] for method in methods]
            about = {"sample": sample.name, "methods": methods, "rater": rater.name, "prompt": prompt}
            about |= {"scale": list(asked.scale)}
            hashed = hashlib.sha256(json.dumps([about, asdict(asked)]).encode())
            for image in images:
                hashed.update(repr(image.size).encode() + image.tobytes())
            path = folder / f"{hashed.hexdigest()[:24]}.json"
            if not path.exists():
                with atomic_file(path, "folder") as temporary:
                    text = json.dumps(about | _asked(rater, asked, images, methods), indent=1)
                    temporary.write_text(text + "\n", encoding="utf-8")
            records.append(json.loads(path.read_text(encoding="utf-8")))
    return records


def _asked(rater: Rater, prompt: Prompt, images: list[Image.Image], methods: list[str]) -> dict:
    """Ask, and again where the reply is of no use; what came of the last time."""
    labels, sent = prompt.labels(len(methods)), [image.copy() for image in images]
    for image in sent:
        image.thumbnail((SIDE, SIDE))
    question = prompt.text.replace("{labels}", ", ".join(labels))
    schema = {"type": "OBJECT", "properties": dict.fromkeys(labels, {"type": "NUMBER"}), "required": labels}
    for _ in range(3):
        raw = rater.ask(question, sent, schema)
        text, blocked = _text(raw)
        record = {"status": "blocked" if blocked else "malformed", "scores": {}, "detail": blocked}
        record |= {"when": datetime.now(UTC).isoformat(timespec="seconds"), "reply": text, "raw": raw}
        if blocked:
            break
        try:
            parts = prompt.read(text, len(methods))
        except ValueError as error:
            record["detail"] = str(error)
            continue
        values = parts.values() if prompt.together else [math.prod(parts.values()) ** (1 / len(parts))]
        return record | {"status": "rated", "scores": dict(zip(methods, values, strict=True)), "parts": parts}
    return record


def _text(raw: Mapping) -> tuple[str, str]:
    """The text of a reply in the Gemini protocol, and why the service blocked it ("" if it did not)."""
    candidate = (raw.get("candidates") or [{}])[0]
    parts, ended = candidate.get("content", {}).get("parts") or [], candidate.get("finish_reason", "STOP")
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    return text, raw.get("prompt_feedback", {}).get("block_reason") or ("" if ended in ENDED else ended)


def summary(records: Sequence[Mapping]) -> pd.DataFrame:
    """Table 2: by method, gscore (mean over samples; NaN if any has no score), samples, and the number of records of
    each status."""
    if len({(r["rater"], r["prompt"]) for r in records}) > 1:
        raise ValueError("records: of more than one rater or prompt; expected one, as they make no mean")
    rows = [(method, r["status"], r["scores"].get(method, np.nan)) for r in records for method in r["methods"]]
    by = pd.DataFrame(rows, columns=["method", "status", "score"]).groupby("method", sort=False)
    found = {"gscore": by["score"].agg(lambda scores: scores.mean(skipna=False)), "samples": by.size()}
    counts = {status: by["status"].agg(lambda seen, status=status: (seen == status).sum()) for status in STATUS}
    return pd.DataFrame(found | counts).reset_index()


@dataclass(frozen=True)
class GeminiRater:
    """A Gemini model. The key (GEMINI_API_KEY or GOOGLE_API_KEY in the environment) is read when a request is made,
    kept nowhere, and taken out of replies and errors.

    Args:
        model: Google withdraws models: the paper's gemini-pro-vision is gone.
        client: "google-genai", or its predecessor "google-generativeai"; both ask a busy service again by themselves.
        endpoint: another server of the same protocol.
    """

    model: str = "gemini-2.5-flash"
    client: str = "google-genai"
    endpoint: str | None = None

    @property
    def name(self) -> str:
        return f"{self.client}:{self.model}"

    def ask(self, text: str, images: Sequence[Image.Image], schema: dict) -> dict:
        """The reply; one with a block_reason if the service refuses this request.

        Raises:
            RuntimeError: no reply, and none to be had by the next request either: no key, no such model, no network.
        """
        key = (os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY", "")).strip()
        if not key:
            raise RuntimeError("no API key; expected one in the environment, GEMINI_API_KEY or GOOGLE_API_KEY")
        config = {"response_mime_type": "application/json", "response_schema": schema}
        try:
            reply = CLIENTS[self.client](self, key, [text, *images], config)
            return json.loads(json.dumps(reply).replace(key, "[key]"))
        except Exception as error:  # of two libraries and of what they use
            code, message = getattr(error, "code", None), f"{type(error).__name__}: {error}".replace(key, "[key]")
        if code == 400 and "api key" not in message.lower():
            return {"prompt_feedback": {"block_reason": message}}
        raise RuntimeError(message)  # not in the handler: the original, in whose text the key may stand, is not carried


def _genai(rater: GeminiRater, key: str, contents: list, config: dict) -> dict:
    from google import genai
    from google.genai import types

    http = {"base_url": rater.endpoint, "api_version": "v1beta", "timeout": 1000 * TIMEOUT}
    options = types.HttpOptions(**http, retry_options=types.HttpRetryOptions())
    with genai.Client(api_key=key, vertexai=False, http_options=options) as client:
        response = client.models.generate_content(model=rater.model, contents=contents, config=config)
    return response.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response", "parsed"})


def _generativeai(rater: GeminiRater, key: str, contents: list, config: dict) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that its support has ended
        import google.generativeai as genai

    endpoint = {"api_endpoint": rater.endpoint} if rater.endpoint else None
    genai.configure(api_key=key, transport="rest", client_options=endpoint)  # kept by the library, so taken back below
    try:
        model = genai.GenerativeModel(rater.model, generation_config=config)
        result = model.generate_content(contents, request_options={"timeout": TIMEOUT})._result
        return type(result).to_dict(result, use_integers_for_enums=False, always_print_fields_with_no_presence=False)
    finally:
        genai.configure(api_key="", transport="rest")


CLIENTS = {"google-genai": _genai, "google-generativeai": _generativeai}
