"""GScore over many images: asked once each, kept on disk as it came, resumed, and summed up with its gaps."""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from PIL import Image

from gooddrag.files import atomic_file, check_writable
from gooddrag.gscore.prompts import Prompt, find
from gooddrag.gscore.rater import Rater, Reply, ask_patiently
from gooddrag.sample import Sample

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Rating:
    """One request and what came of it.

    Attributes:
        sample: its name. methods: in the order shown. repeat: 0, 1, ...
        status: "rated"; "blocked", the service gave no (whole) reply; "malformed", the reply was not as asked for.
        scores: {method: score}, empty unless rated. scale: lowest and highest score of the prompt.
        detail: why not rated. rater, prompt: who was asked what. model_version: who answered. when: UTC.
        reply: the model's words. raw: the whole reply.
    """

    sample: str
    methods: tuple[str, ...]
    repeat: int
    status: Literal["rated", "blocked", "malformed"]
    scores: dict[str, float]
    scale: tuple[float, float]
    detail: str
    rater: str
    prompt: str
    model_version: str
    when: str
    reply: str
    raw: dict[str, Any]


def rate(rater: Rater, samples: Sequence[Sample], results: Mapping[str, Mapping[str, Image.Image]],
         folder: str | Path, prompt: str | Prompt = "single-1", repeats: int = 1, seed: int = 0,
         attempts: int = 6, sleep: Callable[[float], object] = time.sleep) -> list[Rating]:  # fmt: skip
    """Have every result rated, each request once: what is in `folder` already is not asked again.

    Args:
        samples: with distinct names. results: {method: {sample name: edited image}}; none may be missing.
        folder: one JSON file per request, written as soon as the reply is there.
        prompt: a version of `PROMPTS`, or a Prompt.
        repeats: how often the same question is put.
        seed: of the order in which a shuffling prompt shows the methods.
        attempts, sleep: see `ask_patiently`.

    Returns:
        A rating for each request: samples x repeats, and x methods for a single prompt.

    Raises:
        ValueError: a result is missing; bad arguments; a file in the folder is none of these.
        RaterError: no reply in spite of all attempts. What was rated stays; the same call goes on from there.
    """
    prompt, folder = find(prompt, list(results)), Path(folder)
    _check(samples, results, repeats)
    check_writable(folder, "folder")
    ratings = []
    for sample in samples:
        for repeat in range(repeats):
            for shown in _requests(prompt, list(results), f"{seed} {sample.name} {repeat}"):
                images = [sample.image, *(results[method][sample.name] for method in shown)]
                path = folder / f"{_key(rater, prompt, sample.name, shown, repeat, images)}.json"
                if not path.exists():
                    reply = ask_patiently(rater, prompt.question(len(shown)), images, prompt.schema(len(shown)),
                                          attempts, sleep)  # fmt: skip
                    _write(path, _judge(reply, prompt, rater.name, sample.name, shown, repeat))
                ratings.append(_read(path))
    return ratings


def read_ratings(folder: str | Path) -> list[Rating]:
    """Every rating that a folder holds, by sample and repeat."""
    return sorted(
        (_read(path) for path in Path(folder).glob("[!.]*.json")), key=lambda r: (r.sample, r.repeat, r.methods)
    )


def summary(ratings: Sequence[Rating]) -> list[dict[str, Any]]:
    """GScore by method: plain rows, so `pandas.DataFrame(summary(ratings))` is Table 2.

    Returns:
        For each method: gscore, the mean over samples of the mean over repeats (None if nothing was rated); spread,
        the mean over samples of the standard deviation over repeats (None without repeats); samples, rated, blocked,
        malformed (counts of requests); unrated, the names of samples without any score, which are not in the mean.

    Raises:
        ValueError: ratings of several raters, prompts or scales, which make no mean.
    """
    for kind in ("rater", "prompt", "scale"):
        if len(found := {getattr(r, kind) for r in ratings}) > 1:
            raise ValueError(f"ratings: of more than one {kind} ({', '.join(map(str, sorted(found)))}); expected one")
    rows = []
    for method in dict.fromkeys(method for r in ratings for method in r.methods):
        mine = [r for r in ratings if method in r.methods]
        scores: dict[str, list[float]] = {r.sample: [] for r in mine}
        for r in mine:
            if r.status == "rated":
                scores[r.sample].append(r.scores[method])
        spreads = [stdev(s) for s in scores.values() if len(s) > 1]
        means = [fmean(s) for s in scores.values() if s]
        counts = {status: sum(r.status == status for r in mine) for status in ("rated", "blocked", "malformed")}
        rows.append({"method": method, "gscore": fmean(means) if means else None,
                     "spread": fmean(spreads) if spreads else None, "samples": len(scores), **counts,
                     "unrated": sorted(name for name, s in scores.items() if not s)})  # fmt: skip
    return rows


def _check(samples: Sequence[Sample], results: Mapping[str, Mapping[str, Image.Image]], repeats: int) -> None:
    names = [sample.name for sample in samples]
    if not names or not results:
        raise ValueError("samples, results: empty; expected at least one of each")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"samples: {twice[0]!r} is there twice; expected distinct names")
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"repeats: {repeats!r}; expected a whole number, 1 or more")
    for method, images in results.items():
        if missing := [name for name in names if name not in images]:
            raise ValueError(f"results: {method} has no image of {', '.join(missing[:5])}; expected all of them")


def _requests(prompt: Prompt, methods: list[str], draw: str) -> Iterator[tuple[str, ...]]:
    """The methods of each request on one sample, in the order shown."""
    if prompt.mode == "single":
        yield from ((method,) for method in methods)
    else:
        yield tuple(random.Random(draw).sample(methods, len(methods)) if prompt.shuffle else methods)


def _key(rater: Rater, prompt: Prompt, sample: str, shown: tuple[str, ...], repeat: int,
         images: Sequence[Image.Image]) -> str:  # fmt: skip
    """A file name that changes with anything that decides the answer."""
    digest = hashlib.sha256(json.dumps([rater.name, asdict(prompt), sample, shown, repeat]).encode())
    for image in images:
        digest.update(f"{image.mode} {image.size}".encode() + image.tobytes())
    return digest.hexdigest()[:24]


def _judge(reply: Reply, prompt: Prompt, rater: str, sample: str, shown: tuple[str, ...], repeat: int) -> Rating:
    status, scores, detail = "blocked", {}, reply.blocked
    if not reply.blocked:
        try:
            status, scores = "rated", dict(zip(shown, prompt.scores(reply.text, len(shown)), strict=True))
        except ValueError as error:
            status, detail = "malformed", str(error)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Rating(sample, shown, repeat, status, scores, prompt.scale, detail, rater, prompt.version,
                  reply.model_version, when, reply.text, reply.raw)  # fmt: skip


def _write(path: Path, rating: Rating) -> None:
    with atomic_file(path) as temporary:
        record = {"format_version": FORMAT_VERSION, **asdict(rating)}
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> Rating:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if (version := record.pop("format_version")) != FORMAT_VERSION:
            raise ValueError(f"format_version {version!r} is not {FORMAT_VERSION}")
        rating = Rating(**{**record, "methods": tuple(record["methods"]), "scale": tuple(record["scale"])})
        return _checked(rating)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"folder: {path.name} cannot be read ({error}); expected a kept rating") from error


def _checked(rating: Rating) -> Rating:
    """A rating whose values are what a summary counts with."""
    texts = ("sample", "status", "detail", "rater", "prompt", "model_version", "when", "reply")
    numbers = [*rating.scores.values(), *rating.scale]
    if rating.status == "rated" and set(rating.scores) != set(rating.methods):
        raise ValueError(f"scores of {', '.join(map(str, rating.scores))}")
    if not (
        all(isinstance(getattr(rating, name), str) for name in texts)
        and type(rating.repeat) is int
        and all(isinstance(method, str) for method in rating.methods)
        and rating.status in ("rated", "blocked", "malformed")
        and len(rating.scale) == 2
        and all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
    ):
        raise ValueError("a value of another kind")
    return rating
