"""The cost model: what is counted is what happens, and what is worked out on paper is what is measured."""

import json
import math

import pytest
import torch
from tiny import picture
from typer.testing import CliRunner

from gooddrag import cost
from gooddrag.cli import app
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.lora import fit
from gooddrag.sample import Sample

CONFIG = DragConfig(num_steps=6, K=4, B=2, J=2, stop_unmoved=None, stop_distance=None)
LORA = LoraConfig(rank=2, steps=3, batch_size=2)
SAMPLE = Sample(picture(), [[[20, 20], [50, 45]]])


@pytest.mark.parametrize("tracking", ["stale", "updated"])
@pytest.mark.parametrize("masactrl", [True, False])
@pytest.mark.parametrize("since", ["first", "second"])
def test_counted_passes_are_those_that_algorithm_1_needs(tiny, tracking, masactrl, since):
    config = DragConfig(**{**CONFIG.__dict__, "tracking": tracking, "masactrl": masactrl, "masactrl_from": since})
    with cost.Meter(tiny) as meter:
        editor = DragEditor(tiny).set_image(SAMPLE.image)
        fit(tiny, editor.z_0, LORA)
        editor.drag(SAMPLE, config=config)
    for phase, (forwards, backwards, latents) in cost.edit_calls(config, LORA).items():
        part = meter.parts[phase]
        assert dict(part.forwards) == {latents: forwards}, phase
        assert dict(part.backwards) == ({latents: backwards} if backwards else {}), phase
    assert not tiny.unet._forward_hooks


def test_paper_and_measurement_agree_to_the_byte(tiny):
    """A real pass of the model, and the same pass of a model without contents."""
    n = cost.needs(dict(tiny.unet.config), size=16, tokens=1, dtype=torch.float32, lora=LORA, vae=SMALL_VAE)
    z = torch.zeros(1, 4, 16, 16)

    def update():
        x = z.clone().requires_grad_()
        eps, F = tiny.eps_and_features(x, 741)
        (eps.sum() + F.mean()).backward()

    real = cost.traced(update, tuple(tiny.unet.parameters()))
    assert real.flops == n.update.flops
    assert real.peak_bytes == pytest.approx(n.update.peak_bytes, rel=0.02)
    assert real.saved_bytes == pytest.approx(n.update.saved_bytes, rel=0.02)
    assert n.unet == sum(p.numel() * 4 for p in tiny.unet.parameters())
    assert n.forward.peak_bytes < n.update.peak_bytes < n.lora.peak_bytes
    plan, low = cost.memory_plan(n), cost.memory_plan(n, low=True)
    assert all(low[k] < plan[k] for k in plan)


SMALL_VAE = dict(block_out_channels=(8, 8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
                 down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3)  # fmt: skip


def test_checkpointing_keeps_less(tiny):
    shape = dict(unet=dict(tiny.unet.config), size=16, tokens=1, dtype=torch.float32, lora=LORA, vae=SMALL_VAE)
    full, low = cost.needs(**shape), cost.needs(**shape, low=True)
    assert low.update.saved_bytes < 0.7 * full.update.saved_bytes
    assert low.lora.peak_bytes < full.lora.peak_bytes
    assert low.update.flops > full.update.flops  # the price: passes made twice


def test_calls_grow_as_they_should():
    def drag(**changes):
        return cost.edit_calls(DragConfig(**changes))["drag"][:2]

    assert drag() == (210, 210) and drag(J=6) == (420, 420) and drag(K=35) == (105, 105)
    assert cost.edit_calls()["LoRA"] == (70, 70, 4) and cost.edit_calls()["inversion"] == (38, 0, 1)
    with pytest.raises(ValueError, match="^gpu: 'V100'; expected one of T4, L4, A100, H100$"):
        cost.seconds_on("V100", cost.edit_calls(), None)


def test_profile_adds_up(tiny):
    report = cost.profile(tiny, SAMPLE, CONFIG, LORA)
    phases = report["phases"]
    assert list(phases) == ["encode", "LoRA", "inversion", "reference", "drag", "denoise", "decode"]
    assert phases["drag"]["backwards"] == {"1": 8} and phases["LoRA"]["forwards"] == {"2": 3}
    for key in ("seconds", "bare_seconds"):
        assert report["whole"][key] == pytest.approx(sum(p[key] for p in phases.values()))
    assert report["whole"]["forwards"] == {"1": 4 + 4 + 8 + 4, "2": 3}  # T levels up, down beside, updates, T down
    assert report["second_drag"]["forwards"] == {"1": 8 + 4}  # its updates and its denoising, nothing of the source
    assert all(p["peak_bytes"] > 0 for name, p in phases.items() if name not in ("reference", "denoise"))
    assert 0 < report["second_drag"]["first_update_seconds"] < report["second_drag"]["seconds"]
    assert "first update done after" in cost.table(report)
    assert report["updates"] == 8 and json.loads(json.dumps(report)) == report
    assert all(name in cost.table(report) for name in [*phases, "whole edit", "second drag"])
    assert all(math.isfinite(p["cpu_ratio"]) for p in phases.values() if p["forwards"])


def test_command_line(tiny_folder, tmp_path):
    command = ["profile", "--model", str(tiny_folder), "-k", "1", "--lora-steps", "1", "-o", str(tmp_path / "p.json")]
    done = CliRunner().invoke(app, [*command, "--runs", "2"])
    assert done.exit_code == 0 and "whole edit" in done.output and "the middle one of 2 runs" in done.output
    runs = json.loads((tmp_path / "p.json").read_text())
    assert len(runs) == 2 and all(run["phases"]["drag"]["seconds"] > 0 for run in runs)
    done = CliRunner().invoke(app, ["profile", "--model", "nowhere"])
    assert done.exit_code == 2 and "gooddrag: model: 'nowhere' is neither" in done.output
