"""The cost model: what is counted is what happens, and what is worked out on paper is what is measured."""

import pytest
from tiny import picture

from experiments import cost
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

CONFIG = {"num_steps": 6, "K": 4, "B": 2, "J": 2, "stop_unmoved": None, "stop_distance": None}
LORA = LoraConfig(rank=2, steps=3, batch_size=2)
SAMPLE = Sample(picture(), [[[20, 20], [50, 45]]])


@pytest.mark.parametrize("aldd", [True, False])
def test_the_formula_is_what_algorithm_1_does(tiny, aldd):
    config = DragConfig(**CONFIG, aldd=aldd)
    calls = cost.edit_calls(config, LORA)
    editor = DragEditor(tiny, None).set_image(SAMPLE.image)
    with cost.counting(tiny.unet) as inverted:
        editor.invert(config)
    with cost.counting(tiny.unet) as dragged:
        editor.drag(SAMPLE, config=config)
    assert dict(inverted.forwards) == {1: calls["inversion"][0]} and not inverted.backwards
    down = [calls[phase] for phase in ("reference", "drag", "denoise")]
    assert dragged.forwards == {1: sum(forwards for forwards, _, _ in down)}
    assert dragged.backwards[1] == calls["drag"][1] == config.K * config.J
    assert not tiny.unet._forward_hooks
