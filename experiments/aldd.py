"""Alternating against dragging all at once (Sec. 3.3; Fig. 1, 3, 12): passes, distance to the pages, the edit."""

import numpy as np

from experiments.cost import counting
from experiments.study import NO_STOP, Records, Scenes, Study, drag_each, page_distance
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

AT = (10, 30, 50, 70)  # drag operations after which the walk's distance to the pages is measured
AT_ONCE = {**NO_STOP, "aldd": False}
WAYS = {
    "alternating": NO_STOP,  # B = 10
    "alternating, B = 2": {**NO_STOP, "B": 2},
    "at once": AT_ONCE,
    "at once, fewer": {**AT_ONCE, "K": 10},  # Fig. 12's second row: one portion of B
}
# Alternating differs from "at once" in two things: it denoises in between, and it drags further down. The control drags
# all at once at the one level whose 1 / alpha is nearest to its mean over the operations, as notebook 03's does.
# (Its kept file is of another processor than aldd.json: rounding adds scatter to the pairs, and no direction.)
CONTROL_WAYS = {"at once, T = 35": {**AT_ONCE, "strength": 0.7}, "at once, T = 27": {**AT_ONCE, "strength": 0.54}}


def measure(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
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
        *pages, page = (page_distance(picture, scenes) for picture in [*pictures, result.image])
        passes = {"latents": counts.forwards.total(), "backwards": counts.backwards.total()}
        records.append({**record, **passes, "pages": pages, "walk_page": float(np.mean(pages)), "page": page})
    return records


STUDY = Study("aldd", WAYS, measure)
CONTROL_STUDY = Study("aldd_control", CONTROL_WAYS)  # for B = 10 and B = 2
