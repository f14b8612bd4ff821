"""The edited pictures of a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gooddrag.benchmark.folder import Folder, slug
from gooddrag.images import load_image
from gooddrag.sample import Sample


def edited(path: str | Path, methods: Sequence[str] | None = None,
           seed: int = 0) -> tuple[list[Sample], dict[str, dict[str, Image.Image]]]:  # fmt: skip
    """What a rater looks at: a folder's samples, and {method: {sample: edited image}} of what is finished.

    Raises:
        ValueError: no such folder, none of its methods, or none of its seeds.
    """
    folder = Folder(path)
    folder.identity  # noqa: B018 (or the error that says that this is no such folder)
    known = {about["name"]: method for method, about in folder.methods().items()}
    if unknown := [name for name in methods or () if name not in known]:
        raise ValueError(f"methods: {', '.join(map(repr, unknown))}; expected some of {', '.join(known)}")
    tasks = folder.planned()
    if seed not in (seeds := sorted({n for _, n, _ in tasks})):
        raise ValueError(f"seed: {seed}; expected one of {', '.join(map(str, seeds))}")
    planned = {sample: folder.sample(sample) for sample, n, _ in tasks if n == seed}
    found = {name: {s.name: folder.place(key, seed, known[name]) / "image.png" for key, s in planned.items()}
             for name in methods or known}  # fmt: skip
    return list(planned.values()), {
        name: {sample: load_image(file) for sample, file in files.items() if file.is_file()}
        for name, files in found.items()
    }


def images(path: str | Path, sample: str, seed: int = 0) -> dict[str, Path]:
    """{method: image file} of the finished edits of a sample."""
    folder = Folder(path)
    found = {about["name"]: folder.place(slug(sample), seed, m) / "image.png" for m, about in folder.methods().items()}
    return {name: file for name, file in found.items() if file.is_file()}
