"""Questions about latents alone, behind notebooks 01 to 03 and the model card: inversion, noise (Fig. 4), features."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gooddrag.config import DragConfig, level
from gooddrag.ddim import invert, step
from gooddrag.editor import DragEditor
from gooddrag.evaluation import metrics
from gooddrag.model import DiffusionModel
from gooddrag.motion import features_at
from storybook.edits import edit
from storybook.training.pages import held_out

FIRST = 100  # pages 100, 101, ... of `storybook.edit`
SWEEP = {"pages": [FIRST, 12], "levels": [13, 25, 38, 50], "steps": [10, 20, 50]}
NOISE = {"pages": [FIRST, 20], "seeds": 5, "sigma": 0.1, "sigmas": [0.02, 0.05, 0.2, 0.4], "N": 10}
NOISE |= {"steps": [2, 5, 20, 38], "control": 34}
FEATURES = {"pages": [FIRST, 12], "levels": [1, 12, 24, 35]}


@torch.no_grad()
def denoised(model: DiffusionModel, z: Tensor, T: int, num_steps: int = 50, added: dict | None = None) -> Tensor:
    """z_T down to z_0 (Eq. 2); `added`: noise put on the latent at some levels before it is denoised."""
    schedule = model.schedule(num_steps)
    for t in range(T, 0, -1):
        z = z + (added or {}).get(t, 0)
        z = step(z, model.eps(z, schedule.timestep(t)), schedule.alpha(t), schedule.alpha(t - 1))
    return z


@torch.no_grad()
def there_and_back(model: DiffusionModel, z_0: Tensor, T: int, n: int = 50, told: str = "destination") -> Tensor:
    """z_0 after DDIM inversion to T (Eq. 3) and denoising (Eq. 2), in n steps."""
    *_, z_T = invert(model.eps, z_0, model.schedule(n), T, told)
    return denoised(model, z_T, T, n)


def _page(model: DiffusionModel, seed: int) -> DragEditor:
    return DragEditor(model, None).set_image(edit(seed, model.native_size).image)


def sweep(model: DiffusionModel) -> dict[str, dict[str, list[list[float]]]]:
    """What inversion and denoising lose, by level T and by number of steps, page by page (row 17 of differences)."""
    pages = [_page(model, FIRST + i).z_0 for i in range(SWEEP["pages"][1])]

    def lost(T: int, n: int, told: str) -> list[float]:
        """Root mean squared errors, by the standard deviation of the clean latent."""
        pairs = [(there_and_back(model, z_0, T, n, told), z_0) for z_0 in pages]
        return [float((z - z_0).square().mean().sqrt() / z_0.std()) for z, z_0 in pairs]

    found = {}
    for name, told in {"told t": "destination", "told t-1": "source"}.items():
        levels = [lost(T, 50, told) for T in SWEEP["levels"]]
        found[name] = {"levels": levels, "steps": [lost(level(0.75, n), n, told) for n in SWEEP["steps"]]}
    return found


def noise(model: DiffusionModel, page: int) -> Iterator[dict]:
    """Fig. 4 on a page: noise of N samples put on z_T at once, spread over as many levels, or at once on the level (the
    control) from which it weighs as much as the spread one does on average."""
    N, sigma, T = NOISE["N"], NOISE["sigma"], DragConfig().T
    editor, generator = _page(model, page), torch.Generator().manual_seed(page)
    z_T = editor.invert(DragConfig())[-1]
    clean = denoised(model, z_T, T)
    draws = torch.randn(NOISE["seeds"], N, *z_T.shape, generator=generator).to(z_T)
    runs = [("none", 0.0, 0, [{}]), ("control", sigma, N, [{NOISE["control"]: sigma * e.sum(0)} for e in draws])]
    for s in (sigma, *NOISE["sigmas"]):
        some = draws if s == sigma else draws[:1]
        runs.append(("at once", s, N, [{T: s * e.sum(0)} for e in some]))
        runs.append(("spread", s, N, [{T - i: s * e[i] for i in range(N)} for e in some]))
    for n in NOISE["steps"]:  # the same noise in fewer parts, or as much in more
        more = (N / n) ** 0.5 * torch.randn(n, *z_T.shape, generator=generator).to(z_T)
        e = draws[0].reshape(n, N // n, *z_T.shape).sum(1) if n < N else more
        runs.append(("spread", sigma, n, [{T - i: sigma * e[i] for i in range(n)}]))
    for way, s, n, several in runs:
        found = [denoised(model, z_T, T, added=added) for added in several]
        images = [editor.frame.to_image(model.decode_image(z)) for z in found]
        scores = {of.__name__: [of(editor.image, image) for image in images] for of in (metrics.psnr, metrics.ssim)}
        left = [float((z - clean).square().mean()) for z in found]
        yield {"page": page, "way": way, "sigma": s, "n": n, **scores, "left": left}


@torch.no_grad()
def features(model: DiffusionModel) -> dict:
    """How far from the target the nearest feature of the true edit lies, px: errors[block][level], pair by pair."""
    config, blocks, asked = DragConfig(), range(len(model.unet.up_blocks)), []
    errors, schedule = [[[] for _ in FEATURES["levels"]] for _ in blocks], model.schedule(config.num_steps)
    for seed in range(FIRST, FIRST + FEATURES["pages"][1]):
        sample = edit(seed, model.native_size)
        editors = [DragEditor(model, None).set_image(image) for image in (sample.image, sample.truth)]
        frame = editors[0].frame
        size = frame.grid_size(tuple(editors[0].z_0.shape[-2:]), config.grid)
        p, q = (frame.to_grid(points, size).to(model.device) for points in (sample.handles, sample.targets))
        asked += np.linalg.norm(sample.targets - sample.handles, axis=1).tolist()
        for block, (i, t) in product(blocks, enumerate(FEATURES["levels"])):
            latents = [editor.invert(config)[t] for editor in editors]
            before, after = (model.eps_and_features(z, schedule.timestep(t), block)[1] for z in latents)
            whole = interpolate(after, size, mode="bilinear")[0]
            for f, target in zip(features_at(before, size, p), q, strict=True):
                distance = (whole - f[:, None, None]).abs().sum(0)
                at = torch.stack(torch.unravel_index(distance.argmin(), distance.shape))
                errors[block][i].append(float((at - target).norm()) * sample.image.width / size[1])
    return {"errors": errors, "asked": asked}


@torch.no_grad()
def decibels(model: DiffusionModel) -> dict[str, float]:
    """Mean dB of held-out pictures there and back: by the autoencoder, and by inversion and denoising beside it."""
    found = {}
    for name, pictures in zip(("pages", "photographs"), held_out(model.native_size, 32, 32), strict=True):
        z_0 = model.encode(pictures)
        decoded = model.decode(z_0)
        inverted = model.decode(torch.cat([there_and_back(model, z, 38) for z in z_0.split(8)]))
        for trip, a, b in (("autoencoder", decoded, pictures), ("inversion to T = 38", inverted, decoded)):
            errors = (a.clamp(-1, 1) - b.clamp(-1, 1)).div(2).square().mean((1, 2, 3))
            found[f"{name}, {trip}"] = float(-10 * errors.log10().mean())
    return found


QUESTIONS = {  # file in results/ -> settings, and what computes it
    "inversion_sweep": (SWEEP, sweep),
    "fig04_noise": (NOISE, lambda model: [row for i in range(NOISE["pages"][1]) for row in noise(model, FIRST + i)]),
    "features_matching": (FEATURES, features),
    "storybook_model": ({"pictures of each kind": 32}, decibels),
}
