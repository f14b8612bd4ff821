"""Edits with a known truth: a page, what a person would drag on it, and the page after."""

import random

import numpy as np
from PIL import Image
from scipy import ndimage
from torch import Tensor

from gooddrag.sample import Sample
from storybook.world import paintings
from storybook.world.animals import animal
from storybook.world.families import FAMILIES
from storybook.world.landscapes import landscape
from storybook.world.objects import thing
from storybook.world.people import person
from storybook.world.plants import plant
from storybook.world.scene import Edit, Scene

EDITS: dict[str, dict[str, Edit]] = {
    "animal": animal.EDITS,
    "painting": paintings.EDITS,
    "landscape": landscape.EDITS,
    "plant": plant.EDITS,
    "portrait": person.EDITS,
    "object": thing.EDITS,
}
TASKS = {"relocation": 30, "rotation": 20, "rescaling": 20, "removal": 15, "creation": 15}  # and their shares
COMPOSITION = {"animal": 58, "painting": 5, "landscape": 16, "plant": 5, "portrait": 6, "object": 10}  # Drag100's
FIRST_SEED = 10**9  # of the edits; training pages have smaller seeds
SHORTEST, LONGEST, MARGIN = 0.04, 0.18, 0.04  # of a drag and of its points to the frame, picture sides
ALONG = 0.025  # the least that a point of Edit.also moves to be dragged, picture sides


def plan(seed: int, category: str | None = None, task: str | None = None) -> tuple[str, str, Scene, Scene]:
    """The edit with this seed, not rendered.

    Returns:
        category, name of the edit (a key of EDITS[category]), the page before, the page after.
    """
    if seed < 0:
        raise ValueError(f"seed: {seed}; a whole number >= 0 is expected")
    if category is not None and category not in EDITS:
        raise ValueError(f"category: {category!r}; one of {', '.join(EDITS)} is expected")
    if task is not None and task not in (tasks := _tasks(category) if category else [*TASKS]):
        raise ValueError(f"task: {task!r}; one of {', '.join(tasks)} is expected")
    rng = random.Random(FIRST_SEED + seed)
    category = category or _draw(rng, {c: n for c, n in COMPOSITION.items() if task is None or task in _tasks(c)})
    task = task or _draw(rng, {t: n for t, n in TASKS.items() if t in _tasks(category)})
    name = rng.choice([name for name, kind in EDITS[category].items() if kind.task == task])
    for _ in range(5000):
        before = FAMILIES[category].sample(rng)
        after = EDITS[category][name].change(before, rng)
        if _fits(before, after, EDITS[category][name].anchors):
            return category, name, before, after
    raise RuntimeError(f"{category}, {name}: no page found where this edit fits the frame")


def _draw(rng: random.Random, shares: dict[str, int]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def _tasks(category: str) -> list[str]:
    return sorted({kind.task for kind in EDITS[category].values()})


def _ends(before: Scene, after: Scene, names: tuple[str, ...]) -> np.ndarray:
    """Handles and targets in the unit square, (l, 2, 2), or an empty array if a point does not exist on both pages."""
    a, b = before.anchors(), after.anchors()
    if any(name not in a or name not in b for name in names):
        return np.empty((0, 2, 2))
    return np.array([[a[name], b[name]] for name in names], dtype=np.float64).reshape(-1, 2, 2)


def dragged(kind: Edit, before: Scene, after: Scene) -> tuple[str, ...]:
    """Names of the points that this edit drags on this page: its anchors, and what moves along with them."""
    return kind.anchors + tuple(name for name in kind.also if _fits(before, after, (name,), ALONG))


def _fits(before: Scene, after: Scene, names: tuple[str, ...], shortest: float = SHORTEST) -> bool:
    ends = _ends(before, after, names)
    if not len(ends) or ends.min() < MARGIN or ends.max() > 1 - MARGIN:
        return False
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    return bool(length.min() >= shortest and length.max() <= LONGEST)


def edit(seed: int, size: int = 256, category: str | None = None, task: str | None = None) -> Sample:
    """An edit of a page that training never sees, with its true result.

    Args:
        seed: whole number >= 0; the same seed gives the same edit at any size.
        size: side of the picture, pixels, at least 64.
        category: a key of EDITS, or None for Drag100's composition.
        task: one of TASKS, or None for any.
    """
    category, name, before, after = plan(seed, category, task)
    return as_sample(EDITS[category][name], before, after, size, f"{category} {seed}: {name}", category)


def as_sample(kind: Edit, before: Scene, after: Scene, size: int, name: str, category: str) -> Sample:
    """The sample of an edit from its pages before and after, `size` px a side."""
    if size < 64:
        raise ValueError(f"size: {size}; at least 64 px are expected (the shortest drags are 4 % of the side)")
    a, b = before.render(size), after.render(size)
    ends = _ends(before, after, dragged(kind, before, after))
    points = np.clip(np.round(ends * size - 0.5), 0, size - 1)
    return Sample(picture(a), points, draw_mask(a, b, points), picture(b), name, category, kind.task)


def to_uint8(image: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def picture(image: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] -> PIL RGB."""
    return Image.fromarray(to_uint8(image))


def draw_mask(before: Tensor, after: Tensor, points: np.ndarray) -> np.ndarray:
    """The region a person would brush over for this edit: roomy and smooth, around all that changes and all points.

    Args:
        before, after: (3, size, size) in [-1, 1].
        points: (l, 2, 2) handles and targets, px.

    Returns:
        bool (size, size), True where the picture may change.
    """
    size = before.shape[-1]
    margin = round(0.25 * size)  # room beyond the frame, so that the frame bends no outline
    changed = np.pad(((before - after).abs().amax(0) > 0.04).numpy(), margin)
    for x0, y0, x1, y1 in points.reshape(-1, 4):  # the way from each handle to its target is brushed over too
        t = np.linspace(0, 1, 2 * size)
        rows, columns = np.rint(y0 + t * (y1 - y0)).astype(int), np.rint(x0 + t * (x1 - x0)).astype(int)
        changed[rows + margin, columns + margin] = True
    closed = ~_grow(~_grow(changed, 0.1 * size), 0.05 * size)  # bays narrower than the brush are filled
    smooth = _fill(closed, margin).astype(np.float32)
    for _ in range(2):
        smooth = ndimage.uniform_filter(smooth, 2 * round(0.04 * size) + 1, mode="constant")
    mask = (smooth > 0.45) | _grow(changed, 0.015 * size)
    return mask[margin:-margin, margin:-margin]


def _grow(region: np.ndarray, radius: float) -> np.ndarray:
    """The region and all within `radius` px of it."""
    return ndimage.distance_transform_edt(~region) <= radius


def _fill(region: np.ndarray, margin: int) -> np.ndarray:
    """The region without its holes; a bay that opens only to the frame (`margin` px inside the array) is a hole too."""
    fenced = region.copy()
    for turned in (fenced, fenced[::-1], fenced.T, fenced.T[::-1]):
        along = np.flatnonzero(turned[margin, margin:-margin])
        if len(along):
            turned[margin - 1, margin + along[0] : margin + along[-1] + 1] = True
    return ndimage.binary_fill_holes(fenced)
