"""Pictures to train on: pages of the book, and crops of the photographs in scikit-image's wheel."""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

import storybook
from storybook.edits import to_uint8
from storybook.world.paintings import Painting

PHOTOS = ("astronaut.png", "coffee.png", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "coins.png")
HELD_OUT_PHOTOS = ("chelsea.png", "camera.png", "rocket.jpg")
HELD_OUT_PAGES = 999_000_000  # first seed of the pages that are never trained on; the edits begin at 10**9


@cache
def _photographs(names: tuple[str, ...]) -> tuple[Image.Image, ...]:
    from skimage import data_dir

    return tuple(Image.open(Path(data_dir) / name).convert("RGB") for name in names)


def photo_crop(seed: int, size: int, names: tuple[str, ...] = PHOTOS, *, jitter: bool = True) -> np.ndarray:
    """A random square of a random photograph, (size, size, 3) uint8; `jitter` mirrors it and changes its colours."""
    rng = np.random.default_rng([seed, 128])  # the same square at any size
    photos = _photographs(names)
    photo = photos[rng.integers(len(photos))]
    side = rng.uniform(min(128, *photo.size), min(photo.size))
    left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
    crop = photo.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    if jitter and rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not jitter or rng.random() < 0.4:
        return np.asarray(crop)
    order, gain = rng.permutation(3), rng.uniform(0.7, 1.15, 3)
    return (np.asarray(crop)[..., order] * gain).clip(0, 255).astype(np.uint8)


class TrainingPictures:
    """The training set: picture `seed` is (size, size, 3) uint8, the same in every process.

    A share of `photos` are crops of photographs. Three of five paintings are replaced by another page, so that 2 % are
    left.
    """

    def __init__(self, size: int, photos: float = 0.01):
        self.size, self.photos = size, photos

    def __getitem__(self, seed: int) -> np.ndarray:
        rng = random.Random(f"training {seed}")
        if rng.random() < self.photos:
            return photo_crop(seed, self.size)
        scene = storybook.sample(seed)
        while isinstance(scene, Painting) and rng.random() > 0.4:
            scene = storybook.sample(rng.randrange(HELD_OUT_PAGES))
        return to_uint8(scene.render(self.size))

    def batches(self, first: int, count: int, workers: int) -> Iterator[np.ndarray]:
        """Pictures from number `first` on, (count, size, size, 3) at a time, which processes draw ahead."""
        how = {"num_workers": workers, "multiprocessing_context": "spawn", "generator": torch.Generator()}
        return iter(DataLoader(self, count, sampler=range(first, HELD_OUT_PAGES), collate_fn=np.stack, **how))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


@cache
def held_out(size: int, pages: int = 64, photos: int = 32) -> tuple[Tensor, Tensor]:
    """Never trained on: (pages, 3, size, size) of the book, (photos, 3, size, size) of photographs, in [-1, 1]."""
    drawn = [to_uint8(storybook.sample(HELD_OUT_PAGES + i).render(size)) for i in range(pages)]
    crops = [photo_crop(i, size, HELD_OUT_PHOTOS, jitter=False) for i in range(photos)]
    return to_tensor(np.stack(drawn)), to_tensor(np.stack(crops))
