"""Alternating against dragging all at once (Sec. 3.3; Fig. 1, 3, 12): U-Net calls, the latent's walk, the ruler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.cost.counts import Counts, counting
from experiments.studies.study import NO_STOP, Records, Study, dragged
from gooddrag import ddim
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.lora import applied
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample
from gooddrag.state import State

LEVEL, DRAWS = 20, 8  # of the ruler: noise level on the grid of 50, and fresh noises
TOGETHER = 8  # latents of the walks in one batch
FEWER = 10  # drag operations of Fig. 12's second row: one portion of B
WAYS = {
    "alternating": NO_STOP,
    "at once": {**NO_STOP, "aldd": False},
    "at once, fewer": {**NO_STOP, "aldd": False, "K": FEWER},
}
ALTERNATING, AT_ONCE, FEWER_AT_ONCE = WAYS
CONDITIONS = {  # where the difference between the two could be larger or smaller
    "early stops": {},
    "double step": {**NO_STOP, "lr": 0.04},
    "noisier start": {**NO_STOP, "strength": 0.9},
    "small portions": {**NO_STOP, "B": 2},
}


@dataclass
class Calls:
    """What went through the U-Net: calls, latents in their batches, and backward passes through it."""

    calls: int = 0
    latents: int = 0
    backwards: int = 0


@contextmanager
def counted(model: DiffusionModel) -> Iterator[Calls]:
    """Count what the U-Net is asked for inside this context; the numbers are there when it ends."""
    calls, counts = Calls(), Counts()
    with counting(model.unet, lambda: counts):
        yield calls
    calls.calls, calls.latents, calls.backwards = counts.forwards.total(), counts.latents, counts.backwards.total()


@dataclass
class Step:
    """One box of Fig. 3: `kind` "drag" (an operation g) or "denoise" (f), the level t after it, and the latent."""

    kind: str
    t: int
    k: int
    z: Tensor = field(repr=False)


@dataclass
class Walk:
    """An observer that keeps a `Step` for every drag operation and every denoising step, in the order computed."""

    steps: list[Step] = field(default_factory=list)

    def __call__(self, state: State) -> None:
        if state.event == "denoise" or (state.event == "track" and state.counted):
            kind = "denoise" if state.event == "denoise" else "drag"
            self.steps.append(Step(kind, state.t, state.k, state.z.clone()))


@torch.no_grad()
def pointed_to(editor: DragEditor, walks: Sequence[Walk], config: DragConfig) -> tuple[list[Tensor], list[Tensor]]:
    """The clean latents that each step's z_t, and the unedited z_t^0 at the same level, point to (Eq. 1 solved).

    Returns:
        One tensor (n, C, h, w) per walk: of its steps, and of the unedited image beside them.
    """
    model, trajectory = editor.model, editor.invert(config)
    schedule = model.schedule(config.num_steps)
    steps = [step for walk in walks for step in walk.steps]
    at: dict[int, list[int]] = {}  # the steps at each level: these go through the U-Net together
    for i, step in enumerate(steps):
        at.setdefault(step.t, []).append(i)

    def guess(z: Tensor, t: int) -> Tensor:
        if t == 0:  # a latent at level 0 is what it points to
            return z
        eps = torch.cat([model.eps(part, schedule.timestep(t)) for part in z.split(TOGETHER)])
        return ddim.predict_z0(z, eps, schedule.alpha(t))

    walked = torch.cat([step.z for step in steps])
    edited, unedited = torch.empty_like(walked), torch.empty_like(walked)
    with applied(model.unet, editor.lora):
        for t, here in at.items():
            unedited[here], edited[here] = guess(torch.cat([trajectory[t], walked[here]]), t).split([1, len(here)])
    lengths = [len(walk.steps) for walk in walks]
    return list(edited.split(lengths)), list(unedited.split(lengths))


@torch.no_grad()
def off_manifold(model: DiffusionModel, z_0: Tensor, level: int = LEVEL, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """How badly the model predicts fresh noise on each clean latent: mean |eps_theta(z_t) - eps|^2 (its training loss).

    The model was trained to make this small on images of its world and nowhere else, so it grows with the distance
    from them. The same noises serve every latent, so that two of them can be compared.

    Args:
        z_0: (n, C, h, w).
        level: noise level on the grid of 50 steps: 20 is time step 381, where shapes count and grain does not.

    Returns:
        (n,) float32 on the CPU, per latent value; 0 is perfect prediction, 1 is predicting no noise at all.
    """
    schedule = model.schedule(50)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((draws, *z_0.shape[1:]), generator=generator).to(z_0)
    t, alpha = schedule.timestep(level), schedule.alpha(level)
    errors = [(model.eps(ddim.add_noise(z, noise, alpha), t) - noise).square().mean() for z in z_0.split(1)]
    return torch.stack(errors).float().cpu()


def flat_map(edited: list[Tensor], unedited: list[Tensor], page: Tensor, truth: Tensor) -> list[np.ndarray]:
    """The walks on one common plane (Fig. 1).

    What is drawn is the change, each estimate minus the unedited one at the same level. Its first axis is the
    direction from the page to its true edit, with the page at 0 and the truth at 1. The second one is the direction
    in which the walks stray most beside it (the first principal component of the rest), in the same unit.

    Args:
        edited, unedited: one (n, C, h, w) per walk, as from `pointed_to`.
        page, truth: (1, C, h, w) clean latents.

    Returns:
        One (n, 2) per walk.
    """
    wanted = (truth - page).flatten().double()
    unit = wanted.norm()
    changes = [(a - b).flatten(1).double() for a, b in zip(edited, unedited, strict=True)]
    along = [change @ wanted / unit**2 for change in changes]
    rests = [change - x[:, None] * wanted for change, x in zip(changes, along, strict=True)]
    aside = torch.pca_lowrank(torch.cat(rests), q=1, center=False, niter=8)[2][:, 0] if sum(map(len, rests)) else wanted
    if float(torch.cat(rests)[-1] @ aside) < 0:  # a principal direction has no sign of its own
        aside = -aside
    return [torch.stack([x, rest @ aside / unit], dim=1).cpu().numpy() for x, rest in zip(along, rests, strict=True)]


def measure(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig]) -> Records:
    """Each way's record, with the result's distance on the ruler and the calls that the U-Net got."""
    page = off_manifold(editor.model, editor.z_0)
    records = []
    for way, config in configs.items():
        editor.invert(config)  # belongs to the image, not to the way
        editor.forget_source()  # an earlier way's passes help none of the others
        with counted(editor.model) as calls:
            record, result = next(dragged(editor, sample, {way: config}))
        ratio = float(off_manifold(editor.model, result.latent) / page)
        records.append({**record, "off_manifold": ratio, **vars(calls)})
    return records


def measure_conditions(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig]) -> Records:
    """Each way's record under each condition."""
    return [record for record, _ in dragged(editor, sample, configs)]


def _both(changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {ALTERNATING: changes, AT_ONCE: {**changes, "aldd": False}}


STUDY = Study("aldd", WAYS, measure)
CONDITIONS_STUDY = Study(
    "aldd_conditions",
    {f"{way}, {name}": changes for name, both in CONDITIONS.items() for way, changes in _both(both).items()},
    measure_conditions,
    n=12,
)
