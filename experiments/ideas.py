"""The paper's ideas, a study each: AlDD (Sec. 3.3; Fig. 1, 3, 12), IP (Sec. 3.4; Fig. 5, 13, 14), and what keeps the
image itself, the single-image LoRA (Alg. 1, line 1) and Latent-MasaCtrl (Sec. 5.1)."""

import numpy as np

from experiments.cost import counting
from experiments.study import NO_STOP, Records, Scenes, Study, drag_each
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from storybook.nearest import nearest

AT = (10, 30, 50, 70)  # drag operations after which the walk's distance to the pages is measured
AT_ONCE = {**NO_STOP, "aldd": False}
ALDD_WAYS = {
    "alternating": NO_STOP,  # B = 10
    "alternating, B = 2": {**NO_STOP, "B": 2},
    "at once": AT_ONCE,
    "at once, fewer": {**AT_ONCE, "K": 10},  # Fig. 12's second row: one portion of B
}
# Alternating differs from "at once" in two things: it denoises in between, and it drags further down. The control drags
# all at once at the one level whose 1 / alpha is nearest to its mean over the operations, as notebook 03's does.
CONTROL_WAYS = {"at once, T = 35": {**AT_ONCE, "strength": 0.7}, "at once, T = 27": {**AT_ONCE, "strength": 0.54}}
IP_WAYS = {
    "without IP": {**NO_STOP, "ip": False},
    "IP, J = 1": {**NO_STOP, "J": 1},
    "IP, J = 1, triple step": {**NO_STOP, "J": 1, "lr": 0.06},
    "IP, J = 3": NO_STOP,
}
FITS = {
    "no LoRA": LoraConfig(steps=0),
    "rank 16, 20 steps": LoraConfig(steps=20),
    "rank 4, 70 steps": LoraConfig(rank=4),
    "rank 16, 70 steps, lr 5e-4": LoraConfig(lr=5e-4),  # as released for Stable Diffusion's widths
    "rank 16, 70 steps": LoraConfig(),
}
STARTS = {f"from layer {n}": {"masactrl_start": n} for n in (10, 16)}  # of transformer blocks; the paper: 10; 16: none


def walks(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
    """Each way's scores, the passes that it needed, and how far from any page its walk went.

    "pages" are the squared distances to the nearest page of what the latent points to after the operations `AT`, and
    "page" that of the result.
    """
    records = []
    for way, config in configs.items():
        fresh = DragEditor(editor.model, editor.lora or None).set_image(sample.image)  # no pass of another way is kept
        fresh.invert(config)
        with counting(fresh.model.unet) as counts:
            ((record, result),) = drag_each(fresh, sample, {way: config})
        walk = [op.z0_hat for op in result.history if op.k in AT]
        pictures = [fresh.frame.to_image(fresh.model.decode_image(z)) for z in walk]
        *pages, page = (nearest(picture, *scenes)[0] for picture in [*pictures, result.image])
        passes = {"latents": counts.forwards.total(), "backwards": counts.backwards.total()}
        records.append({**record, **passes, "pages": pages, "walk_page": float(np.mean(pages)), "page": page})
    return records


def curves(result: DragResult) -> dict[str, list[float]]:
    """Fig. 14 along a run dragged with `keep=["maps"]`, the mean over its handles after each drag operation.

    "distance": L1 distance between the feature at the handle and the original one (Fig. 14b); "spread": standard
    deviation of the distance map of Omega(p, r2) (Fig. 14a); "depth": how far the map's minimum lies below its mean, in
    units of the spread, which a map that is no spot does not raise."""
    depths = [[float((m.mean() - m.min()) / m.std().clamp(min=1e-12)) for m in op.maps] for op in result.history]
    along = {"distance": [op.distances for op in result.history], "spread": [op.spreads for op in result.history]}
    return {name: [round(float(np.mean(v)), 4) for v in values] for name, values in (along | {"depth": depths}).items()}


def along_the_run(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
    """Each way's scores with its curves, and their means over the second half of the run, when drift has added up."""
    records = []
    for record, result in drag_each(editor, sample, configs, keep=["maps"]):
        along = curves(result)
        late = {f"late_{name}": float(np.mean(values[len(values) // 2 :])) for name, values in along.items()}
        records.append({**record, **late, **along})
    return records


STUDIES = (
    Study("aldd", ALDD_WAYS, walks),
    Study("aldd_control", CONTROL_WAYS),  # for B = 10 and B = 2; its kept file is of another processor
    Study("ip", IP_WAYS, along_the_run),
    Study("lora", {name: {} for name in FITS}, edits=12, lora=FITS),
    Study("masactrl", STARTS, edits=16),
)
