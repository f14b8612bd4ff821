"""The predecessors' data sets, DragBench (Shi et al., 2023) and SDE-Drag's (Nie et al., 2023): no truths, no tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gooddrag.datasets.archive import opened
from gooddrag.datasets.dataset import Dataset
from gooddrag.datasets.folders import sample_folders
from gooddrag.datasets.pickles import read_meta
from gooddrag.images import load_image
from gooddrag.sample import Sample, check_mask

DRAGBENCH = "https://github.com/Yujun-Shi/DragDiffusion/releases (v0.1.1, DragBench.zip)"
SDE_DRAGBENCH = "https://github.com/ML-GSAI/SDE-Drag (README)"


def dragbench(source: str | Path) -> Dataset:
    """DragBench from a folder or a zip; the authors publish it at https://github.com/Yujun-Shi/DragDiffusion/releases.

    A sample's category is its folder's; it has no task and no truth. An image without a drawn mask is editable
    everywhere, as in DragDiffusion's code. The prompts are not used: nothing here is conditioned on text.

    Raises:
        ValueError: no such folder or zip, the zip is not safe, or no sample is in it.
    """
    try:
        root = opened(source, "dragbench")
    except ValueError as error:
        raise ValueError(f"{error}; it is published at {DRAGBENCH}") from error
    folders = sample_folders(root, "meta_data.pkl", "dragbench", source)
    return Dataset("dragbench", root, folders, _read_dragbench, _dragbench_notes)


def _read_dragbench(path: Path) -> Sample:
    meta = read_meta(path / "meta_data.pkl")
    if not (path / "original_image.png").is_file():
        raise ValueError("original_image.png is missing")
    mask = meta.get("mask")
    image = Sample(path / "original_image.png", meta["points"]).image
    mask = None if mask is None or not np.any(mask) else check_mask(mask, image.size)
    return Sample(image, meta["points"], mask, category=path.parent.name)


def _dragbench_notes(path: Path) -> list[str]:
    return [] if np.any(read_meta(path / "meta_data.pkl").get("mask")) else ["no mask: everything is editable"]


def sde_dragbench(source: str | Path) -> Dataset:
    """SDE-Drag's images from a folder or a zip; the authors' README links them.

    `source` and `target` of prompt.json are one (x, y) or a list of them, in pixels. An empty mask means that
    everything is editable, as in SDE-Drag's code. The prompts are not used: nothing here is conditioned on text.

    Raises:
        ValueError: no such folder or zip, the zip is not safe, or no sample is in it.
    """
    try:
        root = opened(source, "sde_dragbench")
    except ValueError as error:
        raise ValueError(f"{error}; it is published at {SDE_DRAGBENCH}") from error
    folders = sample_folders(root, "prompt.json", "sde_dragbench", source)
    return Dataset("sde_dragbench", root, folders, _read_sde)


def _read_sde(path: Path) -> Sample:
    for part in ("origin_image.png", "mask.png", "prompt.json"):
        if not (path / part).is_file():
            raise ValueError(f"{part} is missing")
    try:
        prompt = json.loads((path / "prompt.json").read_text(encoding="utf-8-sig"))
        ends = [np.array(prompt[key], dtype=np.float64).reshape(-1, 2) for key in ("source", "target")]
        points = np.stack(ends, axis=1)  # (l, 2, 2)
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"prompt.json cannot be read ({error}); expected as many source as target points (x, y)"
                         ) from error  # fmt: skip
    sample = Sample(path / "origin_image.png", points)
    mask = load_image(path / "mask.png", "mask")
    return Sample(sample.image, points, check_mask(mask, sample.image.size) if np.asarray(mask).any() else None)
