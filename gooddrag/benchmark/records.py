"""The JSON files of a results folder: read as they are, and held against what this package writes there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def read_json(file: Path) -> dict[str, Any] | None:
    """A file's content; None if there is none, or nothing that this package writes."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_whole(file: Path, whole: Callable[[dict], bool]) -> dict[str, Any]:
    """The content of a file that the folder cannot be read without.

    Args:
        whole: one of the functions below.

    Raises:
        ValueError: it is gone or damaged.
    """
    content = read_json(file)
    if content is None or not whole(content):
        raise ValueError(f"folder: {file} cannot be read; expected what `gooddrag bench` writes")
    return content


def is_identity(content: dict) -> bool:
    """Of model.json."""
    return _has(content, model=str, weights=str, vae=str, dtype=str) and isinstance(
        getattr(torch, content["dtype"], None), torch.dtype
    )


def is_method(content: dict) -> bool:
    """Of methods/METHOD.json."""
    return _has(content, name=str, settings=dict)


def is_plan(content: dict) -> bool:
    """Of plans/HASH.json."""
    kinds = {"samples": str, "methods": str, "seeds": int}
    return _has(content, **dict.fromkeys(kinds, list)) and all(
        type(value) is kind for name, kind in kinds.items() for value in content[name]
    )


def is_result(record: dict) -> bool:
    """Of metrics.json: whether every value is of the kind that this package writes."""

    def plain(value: object) -> bool:
        return value is None or type(value) is float or (type(value) is int and abs(value) < 2**63)

    if not _has(record, format_version=int, pairs=int, seed=int, state=str, key=str, sample=str, category=str, task=str,
                method=str, scores=dict, cost=dict, tracked=dict):  # fmt: skip
        return False
    tracked = [v for values in record["tracked"].values() for v in (values if isinstance(values, list) else [values])]
    numbers = [*record["scores"].values(), *record["cost"].values(), *tracked, record["pairs"], record["seed"]]
    return record["state"] in ("done", "failed") and all(map(plain, numbers))


def _has(content: dict, **kinds: type) -> bool:
    return all(type(content.get(name)) is kind for name, kind in kinds.items())
