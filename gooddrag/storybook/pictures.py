"""Pictures to train on: pages of the book and crops of photographs, drawn once into shards on disk."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from gooddrag import storybook
from gooddrag.files import atomic_file
from gooddrag.storybook.edits import picture

WORLD = getattr(storybook, "WORLD_VERSION", "0")

# Photographs that ship inside scikit-image's wheel. The held-out ones: a cat, a man with a camera (grey), a rocket.
PHOTOS = ("astronaut.png", "coffee.png", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "coins.png")
HELD_OUT_PHOTOS = ("chelsea.png", "camera.png", "rocket.jpg")
HELD_OUT_PAGES = 999_000_000  # first seed of the pages that are never trained on; below 10**9, where the edits begin


def photo_folder() -> Path:
    """Where scikit-image keeps its photographs.

    Raises:
        ValueError: it is not installed.
    """
    try:
        from skimage import data_dir
    except ImportError as error:
        raise ValueError('photos: scikit-image is missing; expected the extra "train": '
                         'pip install -e ".[train]"') from error  # fmt: skip
    return Path(data_dir)


@cache
def load_photos(names: tuple[str, ...]) -> tuple[Image.Image, ...]:
    """The named photographs of scikit-image, as PIL RGB."""
    return tuple(Image.open(photo_folder() / name).convert("RGB") for name in names)


def photo_crop(seed: int, size: int, names: tuple[str, ...] = PHOTOS, jitter: bool = True) -> np.ndarray:
    """A random square of a random photograph, scaled to (size, size, 3), uint8.

    `jitter` also mirrors it and turns its colours: so few photographs hold few of the world's.
    """
    rng = np.random.default_rng([seed, size])
    photos = load_photos(names)
    photo = photos[rng.integers(len(photos))]
    side = rng.uniform(min(size, *photo.size), min(photo.size))
    left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
    crop = photo.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    if jitter and rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not jitter or rng.random() < 0.4:
        return np.asarray(crop)
    order, gain = rng.permutation(3), rng.uniform(0.7, 1.15, 3)
    return (np.asarray(crop)[..., order] * gain).clip(0, 255).astype(np.uint8)


def page(seed: int, size: int) -> np.ndarray:
    """Page `seed` of the book as (size, size, 3), uint8."""
    return np.asarray(picture(storybook.sample(seed).render(size)))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


@cache
def held_out(pages: int, photos: int, size: int) -> tuple[Tensor, Tensor]:
    """Pictures never trained on: (pages, 3, size, size) of the book and (photos, 3, size, size) of photographs."""
    drawn = [page(HELD_OUT_PAGES + i, size) for i in range(pages)]
    crops = [photo_crop(i, size, HELD_OUT_PHOTOS, jitter=False) for i in range(photos)]
    return to_tensor(np.stack(drawn)), to_tensor(np.stack(crops))


def draw_shards(folder: Path, shards: list[int], count: int, photos: int, size: int) -> None:
    """Write shards of `count` pictures, the first `photos` of each being photographs."""
    for shard in shards:
        first = shard * count
        pictures = [photo_crop(first + i, size) if i < photos else page(first + i, size) for i in range(count)]
        with atomic_file(folder / f"{shard:05d}.npy") as file:
            np.save(file, np.stack(pictures))


def _draw_alone(*arguments: object) -> None:
    torch.set_num_threads(1)  # in a process of its own, of which there is one per core
    threading.Thread(target=_end_with_parent, daemon=True).start()
    draw_shards(*arguments)


def _end_with_parent() -> None:
    """End this process when the one that started it does, however that was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


class Pictures:
    """A growing set of training pictures under `work`, and what an autoencoder makes of them.

    Picture i is the same on every machine and run: place i % count in shard i // count. Drawing stops the training
    for a moment instead of running beside it: threads that share a core with it would make all of them wait.
    """

    def __init__(self, work: Path, size: int, count: int, photos: int, processes: int):
        self.folder = work / f"pictures-world{WORLD}-{size}px-{count}-{photos}"
        self.size, self.count, self.photos, self.processes = size, count, photos, processes

    def grow(self, shards: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Draw what is missing of the first `shards` shards, unless `stop()` says that there is no time for it."""
        missing = [i for i in range(shards) if not self._file(i).exists()]
        if not missing:
            return
        if self.photos:
            photo_folder()  # here, where it is one error, rather than a traceback from each process
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = (self.count, self.photos, self.size)
        if not self.processes:
            draw_shards(self.folder, missing, *settings)
            return
        spawn = multiprocessing.get_context("spawn")  # a fork of a process that runs OpenMP threads may hang
        parts = [missing[k :: self.processes] for k in range(self.processes)]
        arguments = [(self.folder, part, *settings) for part in parts if part]
        workers = [spawn.Process(target=_draw_alone, args=a, daemon=True) for a in arguments]
        for worker in workers:
            worker.start()
        with tqdm(total=len(missing) * self.count, desc="drawing", unit=" pictures", leave=False) as bar:
            while any(worker.is_alive() for worker in workers) and not stop():
                next(worker for worker in workers if worker.is_alive() or worker is workers[-1]).join(0.5)
                bar.update(sum(self._file(i).exists() for i in missing) * self.count - bar.n)
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
        if any(worker.exitcode for worker in workers) and not stop():
            raise RuntimeError(f"pictures: drawing into {self.folder} failed; the error is above")

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.npy"

    def shard(self, index: int) -> np.ndarray:
        """(count, size, size, 3) uint8, mapped from disk."""
        return np.load(self._file(index), mmap_mode="r")

    def latents(self, index: int, encode: Callable[[Tensor], Tensor], name: str) -> Tensor:
        """Latents of a shard and of its mirror image, (2, count, C, h, w) float16, kept on disk under `name`."""
        file = self.folder / f"latents-{name}" / f"{index:05d}.npy"
        if not file.exists():
            pictures, z = self.shard(index), []
            with torch.no_grad():
                for start in range(0, self.count, 4):  # four at a time stay in the cache: twice as fast as 32
                    x = to_tensor(pictures[start : start + 4])
                    z.append(torch.stack([encode(x), encode(x.flip(-1))]).half())
            with atomic_file(file) as temporary:
                np.save(temporary, torch.cat(z, 1).numpy())
        return torch.from_numpy(np.load(file))
