"""The unedited latent's passes: made once per image, shared by its drags, and the same however they are asked for."""

from dataclasses import replace

import torch
from tiny import picture

from experiments.cost import counting
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.source import SourcePath

QUICK = DragConfig(num_steps=6, K=4, B=2, J=1, stop_unmoved=None)  # T = 4, two of them dragged
POINTS = [[[20, 20], [40, 35]]]


def test_a_second_drag_asks_nothing_of_the_source_again(tiny):
    editor = DragEditor(tiny).set_image(picture())
    assert torch.equal(editor.invert(QUICK)[0], editor.z_0)

    def passes(points=POINTS, config=QUICK):
        with counting(tiny.unet) as counts:
            result = editor.drag(points, None, config)
        return sum(counts.forwards.values()), result.latent

    (first, one), (second, two) = passes(), passes()
    assert first - second == QUICK.T  # a pass of the source at every level
    assert torch.equal(one, two)
    assert passes([[[30, 30], [10, 12]]], replace(QUICK, lam=1.0, ip=False))[0] == second  # the same z_T
    assert passes(config=replace(QUICK, inversion="source"))[0] == first + QUICK.T  # another z_T
    editor.set_image(picture(seed=1))
    assert passes()[0] == first + QUICK.T  # and the inversion


def test_the_path_does_not_depend_on_who_asked_first(tiny):
    editor = DragEditor(tiny).set_image(picture())
    z_T = editor.invert(QUICK)[-1]

    def path(*calls):
        source = SourcePath(tiny, z_T, QUICK)
        for name, t in calls:
            getattr(source, name)(t)
        return source

    a = path(("reference", 4), ("reference", 3), ("shared", 2), ("shared", 1))
    b = path(("shared", 4), ("shared", 3), ("reference", 3), ("shared", 2), ("reference", 4), ("shared", 1))
    c = path(("shared", 1))
    assert sorted(a.latents) == [0, 1, 2, 3, 4]
    for t in range(5):
        assert torch.equal(a.latents[t], b.latents[t]) and torch.equal(a.latents[t], c.latents[t])
    assert torch.equal(a.reference(3).F, b.reference(3).F)
    assert all(torch.equal(x, y) for x, y in zip(a.shared(1), c.shared(1), strict=True))
