"""GScore (Sec. 4.2): a large multimodal model rates edited images. Every reply is kept; no failure is a number."""

import hashlib
import json
import math
import os
import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from gooddrag.evaluation.gemini import MODEL, GeminiRater, RaterError, Refused  # noqa: F401 (names of this module)
from gooddrag.files import atomic_file
from gooddrag.marks import marked
from gooddrag.sample import Sample

SIDE = 1024  # px, the most that is sent
STATUS = ("rated", "blocked", "cut", "malformed", "refused")


class Rater(Protocol):
    """Any model that looks at images: another service is one class with these two.

    Attributes:
        name: service, model and settings; with the prompt and the images it decides what is asked anew.
    """

    name: str

    def ask(self, text: str, images: Sequence[Image.Image], schema: dict) -> dict:
        """The reply to text and images as plain data, in the Gemini protocol's words: candidates, prompt_feedback."""
        ...


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
        """The scores in a reply, by label: the last JSON object in it that has them all, whatever is around it."""
        found, labels, (low, high) = None, self.labels(n), self.scale
        for start in (i for i, character in enumerate(text) if character == "{"):
            try:
                value, _ = json.JSONDecoder().raw_decode(text[start:])
            except (ValueError, RecursionError):
                continue
            found = value if set(labels) <= set(value) else found
        if found is None:
            raise ValueError(f"reply: {text[:80]!r}; expected JSON with {', '.join(labels)}")
        for label in labels:
            value = found[label]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"reply: {label} is {value!r}; expected a number from {low:g} to {high:g}")
        return {label: float(found[label]) for label in labels}


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
    *,
    again: bool = False,
) -> list[dict]:
    """Have every result rated, each request once: what is in `folder` is not asked again.

    An empty, cut or malformed reply is asked twice more. A request that the service blocks or refuses is a record
    without a score, and the others go on; where nothing can be had (no key, no network) the same call goes on later.

    Args:
        samples: with distinct names. results: {method: {sample name: edited image}}; none may be missing.
        folder: one JSON file a request. prompt: a name in `PROMPTS`. again: ask again what has no score.

    Returns:
        The records: sample, methods (in the order shown), status (one of `STATUS`), scores {method: score}, detail (why
        there is none), rater, prompt, scale, when, reply, raw.
    """
    if prompt not in PROMPTS:
        raise ValueError(f"prompt: {prompt!r}; expected one of {', '.join(PROMPTS)}")
    names, asked, folder = [sample.name for sample in samples], PROMPTS[prompt], Path(folder).expanduser()
    lacking = [f"{method} of {name}" for method in results for name in names if name not in results[method]]
    if not names or not results or lacking or len(set(names)) < len(names):
        told = f"no image by {', '.join(lacking[:5])}" if lacking else f"{names}, {list(results)}"
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
            if not path.exists() or (again and _read(path)["status"] != "rated"):
                with atomic_file(path, "folder") as temporary:
                    text = json.dumps(about | _asked(rater, asked, images, methods), indent=1)
                    temporary.write_text(text + "\n", encoding="utf-8")
            records.append(_read(path))
    return records


def _asked(rater: Rater, prompt: Prompt, images: list[Image.Image], methods: list[str]) -> dict:
    """Ask, and again where the reply is of no use; what came of the last time."""
    labels, sent = prompt.labels(len(methods)), [image.copy() for image in images]
    for image in sent:
        image.thumbnail((SIDE, SIDE))
    question = prompt.text.replace("{labels}", ", ".join(labels))
    schema = {"type": "OBJECT", "properties": dict.fromkeys(labels, {"type": "NUMBER"}), "required": labels}
    for _ in range(3):
        record = {"scores": {}, "when": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            raw = rater.ask(question, sent, schema)
        except Refused as error:
            return record | {"status": "refused", "detail": str(error), "reply": "", "raw": {}}
        text, status, detail = _read_reply(raw)
        try:
            parts = prompt.read(text, len(methods)) if status == "rated" else {}
        except ValueError as error:
            status, detail, parts = "malformed", str(error), {}
        record |= {"status": status, "detail": detail, "reply": text, "raw": raw}
        if status == "rated":
            values = parts.values() if prompt.together else [math.prod(parts.values()) ** (1 / len(parts))]
            return record | {"scores": dict(zip(methods, values, strict=True)), "parts": parts}
        if status == "blocked":
            break
    return record


def _read_reply(raw: Mapping[str, Any]) -> tuple[str, str, str]:
    """Text, status and why, of a reply in the Gemini protocol."""
    if reason := raw.get("prompt_feedback", {}).get("block_reason"):
        return "", "blocked", f"prompt: {reason}"
    if not raw.get("candidates"):
        return "", "cut", "no candidates"
    candidate = raw["candidates"][0]
    parts, finish = candidate.get("content", {}).get("parts") or [], candidate.get("finish_reason", "STOP")
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    if finish not in ("STOP", "FINISH_REASON_UNSPECIFIED"):
        return text, "cut" if finish == "MAX_TOKENS" else "blocked", f"reply: {finish}"
    return text, "rated" if text.strip() else "cut", "" if text.strip() else "reply: empty"


def _read(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] not in STATUS or (record["status"] == "rated") != bool(record["scores"]):
            raise ValueError(f"status {record['status']!r}, scores {record['scores']}")
        return record
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"folder: {path.name} cannot be read ({error}); expected a kept reply") from error


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
