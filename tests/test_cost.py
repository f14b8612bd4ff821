"""The cost model: what is counted is what happens, and what is worked out on paper is what is measured."""

import pytest
import torch
from tiny import picture

from experiments import cost
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

CONFIG = {"num_steps": 6, "K": 4, "B": 2, "J": 2, "stop_unmoved": None, "stop_distance": None}
LORA = LoraConfig(rank=2, steps=3, batch_size=2)
SAMPLE = Sample(picture(), [[[20, 20], [50, 45]]])
SMALL_VAE = {"block_out_channels": (8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4}
SMALL_VAE |= {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}


@pytest.mark.parametrize("tracking", ["stale", "updated"])
@pytest.mark.parametrize("masactrl", [True, False])
@pytest.mark.parametrize("since", ["first", "second"])
@pytest.mark.parametrize("aldd", [True, False])
@pytest.mark.parametrize("mask_mode", ["penalty", "replace"])
def test_the_formula_is_what_algorithm_1_does(tiny, tracking, masactrl, since, aldd, mask_mode):
    switches = {"tracking": tracking, "masactrl": masactrl, "masactrl_from": since, "aldd": aldd}
    config = DragConfig(**CONFIG, **switches, mask_mode=mask_mode)
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


def test_paper_and_measurement_agree(tiny):
    """A real pass of the model, and the same pass of a model without contents."""
    shape = dict(tiny.unet.config), SMALL_VAE, LORA, torch.float32
    n, z = cost.needs(*shape, size=16, tokens=1), torch.zeros(1, 4, 16, 16)

    def update():
        eps, F = tiny.eps_and_features(z.clone().requires_grad_(), 741)
        (eps.sum() + F.mean()).backward()

    flops, peak = cost.count_work(update)
    assert flops == n["flops"]["update"] and peak == pytest.approx(n["peak"]["update"], rel=0.02)
    assert n["bytes"]["unet"] == sum(p.numel() * 4 for p in tiny.unet.parameters())
    assert n["peak"]["forward"] < n["peak"]["update"] < n["peak"]["lora"]
    calls = cost.edit_calls(DragConfig(**CONFIG), LORA)
    with pytest.raises(ValueError, match="^gpu: 'V100'; expected one of T4, L4, A100, H100$"):
        cost.seconds_on("V100", calls, n)
    seconds = cost.seconds_on("T4", calls, n, utilisation=1.0)
    assert seconds["inversion"] == pytest.approx(calls["inversion"][0] * n["flops"]["forward"] / 65e12)
