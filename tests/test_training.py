"""A few steps of the real training on small networks: what is drawn, what a step does, and going on after an end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tiny import random

from gooddrag.model import load_model
from storybook import sample
from storybook.training import __main__ as command
from storybook.training.autoencoder import Recipe as AutoencoderRecipe
from storybook.training.autoencoder import grown, losses, train_autoencoder
from storybook.training.pages import TrainingPictures, photo_crop, to_uint8
from storybook.training.sitting import Sitting
from storybook.training.unet import Muon, Noise, Recipe, orthogonalised

SMALL = ["--eager", "--threads", "1", "--set", "size=64", "batch=2", "refill=4", "first=1", "pool=8", "eval_every=4"]


@pytest.fixture(scope="module")
def weights(tiny_folder, tmp_path_factory):
    """The tiny model as a folder to begin with."""
    card = {"samples": 100, "hours": 1.0, "pictures": 10, "lora_lr": 0.001, "preset": "released"}
    folder = shutil.copytree(tiny_folder, tmp_path_factory.mktemp("start") / "weights")
    (folder / "training.json").write_text(json.dumps(card))
    return folder


def log_of(work):
    return [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]


def test_a_training_picture_is_the_same_in_every_process():
    pictures = TrainingPictures(48)
    assert np.array_equal(next(pictures.batches(5, 2, workers=1)), [pictures[5], pictures[6]])
    assert pictures[6].shape == (48, 48, 3) and pictures[6].dtype == np.uint8


def test_all_but_a_few_photographs_and_paintings_are_pages_as_drawn():
    pictures = TrainingPictures(32)
    assert 90 <= sum(np.array_equal(pictures[n], to_uint8(sample(n).render(32))) for n in range(100)) < 100


def test_photographs_show_the_same_square_at_any_size():
    small, large = photo_crop(3, 64, jitter=False), photo_crop(3, 128, jitter=False)
    halved = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(halved - small).mean() < 4


def test_orthogonalised_has_singular_values_near_one():
    for shape in ((6, 20), (20, 6)):
        values = torch.linalg.svdvals(orthogonalised(random(*shape, dtype=torch.float32)).float())
        assert 0.6 < values.min() and values.max() < 1.3


def test_muon_descends_and_leaves_what_has_no_gradient():
    target, w = random(8, 4, 3, 3), torch.zeros(8, 4, 3, 3, requires_grad=True)
    idle = torch.ones(2, 2, requires_grad=True)
    optimizer = Muon([w, idle], lr=0.05)
    errors = []
    for _ in range(80):
        loss = (w - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.3 * errors[0] and torch.equal(idle.detach(), torch.ones(2, 2))


def test_the_loss_weighs_levels_by_min_snr(tiny):
    z, noise = random(64, 4, 16, 16, dtype=torch.float32), Noise(Recipe(), 8)

    def blind(z_t, t, encoder_hidden_states):
        return type("Output", (), {"sample": torch.zeros_like(z_t)})

    torch.manual_seed(0)
    got = noise(blind, z).item()
    snr = noise.alphas / (1 - noise.alphas)  # the error of a network that sees nothing is 1 everywhere
    assert got == pytest.approx((snr.clamp(max=5) / snr).mean().item(), rel=0.05)


def test_training_goes_on_where_it_ended_and_what_it_exports_loads(weights, tmp_path):
    work = ["--weights", str(weights), "--work", str(tmp_path / "work")]
    command.main(["unet", *work, "--samples", "8", *SMALL])
    command.main(["unet", *work, "--samples", "4", "--cooldown", "0.5", *SMALL])
    lines = log_of(tmp_path / "work")
    assert [line["samples"] for line in lines] == [104, 108, 112] and [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1]["drawn"] > lines[0]["drawn"] > 10 and all(np.isfinite(line["eps_mse_pages"]) for line in lines)
    begun = shutil.copytree(weights, tmp_path / "begun")
    shutil.copytree(begun / "vae", begun / "teacher")
    export = ["export", "--weights", str(begun), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    for _ in range(2):  # also over an earlier one
        command.main([*export, "--pieces", "20KB"])
    assert (tmp_path / "out" / "teacher" / "config.json").exists()
    model = load_model(tmp_path / "out", device="cpu")
    saved = load_file(tmp_path / "work" / "unet.safetensors")
    name = "conv_out.weight"
    assert torch.equal(model.unet.state_dict()[name], saved[f"ema/{name}"].half().float())
    assert not torch.equal(saved[f"ema/{name}"], load_model(weights, device="cpu").unet.state_dict()[name])
    assert len(list((tmp_path / "out" / "unet").glob("*.safetensors"))) > 1 and model.lora_lr == 0.001
    assert json.loads((tmp_path / "out" / "training.json").read_text())["samples"] == 112


def test_the_average_of_the_weights_remembers_no_step(tmp_path):
    net, ema = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False)
    rates = {torch.optim.SGD(net.parameters()): 0.1}
    sitting = Sitting(tmp_path / "net.safetensors", {"net": net, "ema": ema}, rates, {}, budget=2)
    for _ in sitting:
        sitting.step(net(torch.ones(2)).sum())
    assert sitting.counts["step"] == 2 and not ema.weight.requires_grad


def test_sigterm_ends_it_with_a_checkpoint(weights, tmp_path):
    arguments = [sys.executable, "-m", "storybook.training", "unet", "--weights", str(weights)]
    arguments += ["--work", str(tmp_path), *SMALL]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(arguments, cwd=root, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(root)})
    while not (tmp_path / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()[-2000:]
    assert load_file(tmp_path / "unet.safetensors")["unet/conv_out.weight"].isfinite().all()


def test_the_autoencoder_begins_with_the_layers_of_the_smaller_one():
    small, large = (replace(AutoencoderRecipe(), channels=8, blocks=b).build() for b in ((1, 2, 1), (1, 1, 2, 1)))
    grown(large, small)
    inner, z = random(1, 8, 16, 16, dtype=torch.float32), random(1, 4, 4, 4, dtype=torch.float32)
    assert torch.equal(large.encoder.layers[3:](inner), small.encoder.layers[1:](inner))
    assert torch.equal(large.decoder.layers[:-4](z), small.decoder.layers[:-1](z))


def test_the_autoencoder_learns_the_teachers_latents_of_the_page_at_half_size(tiny, tmp_path):
    recipe, first = replace(AutoencoderRecipe(), channels=8, blocks=(1, 1, 1, 1), lr=0.02), deepcopy(tiny.vae)
    recipe = replace(recipe, size=64, crop=32, refill=8, eval_every=20)
    vae, x = recipe.build(), random(2, 3, 64, 64, dtype=torch.float32).clamp(-1, 1)
    assert vae.encoder(x).shape == first.encoder(F.avg_pool2d(x, 2)).shape == (2, 4, 8, 8)
    latent, picture = losses(vae.encoder, vae.decoder, first.encoder, x, 0.0)
    by_hand = (vae.encoder(x) - first.encoder(F.avg_pool2d(x, 2))).square().mean()
    assert latent.item() == pytest.approx(by_hand.item(), rel=0.05) and picture.item() > 0
    train_autoencoder(first, tmp_path, recipe, compiled=False, budget=40)
    early, late = log_of(tmp_path)
    assert (early["step"], late["step"]) == (20, 40) and late["loss"] < 0.9 * early["loss"]
    assert late["db_pages"] > early["db_pages"] and 0 < late["latent_error"] < 0.1 and np.isfinite(late["db_photos"])
