import pickle
import re
import threading
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft.tuners.lora.layer import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tiny import DATA, Malicious, random, same

from gooddrag.checkpoints import quiet
from gooddrag.config import LoraConfig
from gooddrag.ddim import add_noise
from gooddrag.lora import TARGETS, applied, fit, fit_cached, half_moved, load_lora, unet_lock
from gooddrag.masactrl import transformer_blocks
from gooddrag.model import load_model

QUICK = LoraConfig(rank=2, steps=3, batch_size=2)
Z_0 = random(1, 4, 8, 8, dtype=torch.float32)


@pytest.fixture(scope="module")
def lora(tiny):
    return fit(tiny, Z_0, QUICK)


def weights(unet):
    return {name: weight.clone() for name, weight in unet.state_dict().items()}


@torch.no_grad()
def eps(model, lora=None):
    with applied(model.unet, lora):
        return model.eps(Z_0, 301)


def test_fit_gives_both_matrices_of_every_attention_projection_or_of_all_layers(tiny, lora):
    modules, known = {k.rsplit(".lora_", 1)[0] for k in lora}, dict(tiny.unet.named_modules())
    assert modules == {name for name in known if name.endswith(tuple(TARGETS)) and ".attn" in name}
    assert len(modules) == len(transformer_blocks(tiny.unet)) * 2 * 4
    for name in modules:
        a, b = lora[f"{name}.lora_A.weight"], lora[f"{name}.lora_B.weight"]
        assert a.shape == (2, known[name].in_features) and b.shape == (known[name].out_features, 2)
        assert a.dtype == b.dtype == torch.float32 and not a.requires_grad
    fitted, layers = fit(tiny, Z_0, replace(QUICK, layers="all")), (torch.nn.Linear, torch.nn.Conv2d)
    modules = {key.rsplit(".lora_", 1)[0] for key in fitted}
    assert modules == {name for name, layer in known.items() if isinstance(layer, layers)}
    assert fitted["conv_in.lora_A.weight"].shape[2:] == (3, 3)


def test_every_second_copy_of_a_latent_is_moved_with_its_edges_repeated():
    z = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"))[None]  # each cell's own place
    copies = half_moved(z, 400, 2, torch.Generator().manual_seed(0))
    moves = copies[..., 4, 4] - 4
    assert torch.equal(copies, (z + moves[..., None, None]).clamp(0, 7))
    ways = {(up, left) for up in range(-2, 3) for left in range(-2, 3)}
    assert not moves[::2].any() and set(map(tuple, moves[1::2].tolist())) == ways
    draw = torch.Generator().manual_seed(0)
    single = [torch.equal(half_moved(Z_0, 1, 2, draw, first), Z_0) for first in range(40)]  # one sample a step
    assert all(single[::2]) and not all(single[1::2])


@pytest.mark.parametrize(("changes", "lr"), [({}, 0.05), ({"layers": "all", "shift": 1}, 0.01)])
def test_applied_is_the_forward_pass_that_was_fitted(tiny, changes, lr):
    """peft's own forward pass with the adapter, after the last step of the fit, is what `applied` gives."""
    seen = []
    config = LoraConfig(rank=3, steps=4, lr=lr, batch_size=2, **changes)
    fitted = fit(tiny, Z_0, config, progress=lambda *_: seen.append(eps(tiny)))
    assert (eps(tiny, fitted) - eps(tiny)).abs().max() > 1e-2
    torch.testing.assert_close(eps(tiny, fitted), seen[-1], rtol=0, atol=1e-5)


def test_fit_leaves_the_unet_as_it_was(tiny_folder, monkeypatch):
    model = load_model(tiny_folder, device="cpu")
    before, modules = weights(model.unet), [type(m) for m in model.unet.modules()]
    fit(model, Z_0, QUICK)
    with pytest.raises(RuntimeError):
        fit(model, random(1, 3, 8, 8, dtype=torch.float32), QUICK)  # 3 channels, the U-Net takes 4
    with pytest.raises(FloatingPointError, match="^LoRA: nan in loss at step 1 of 3; "):
        fit(model, Z_0 * 1e30, QUICK)
    added, real = [], LoraLayer.update_layer

    def interrupted(layer, *args, **kwargs):
        added.append(layer)
        if len(added) == 5:
            raise KeyboardInterrupt
        return real(layer, *args, **kwargs)

    monkeypatch.setattr(LoraLayer, "update_layer", interrupted)
    with pytest.raises(KeyboardInterrupt):  # in the middle of adding the adapter
        fit(model, Z_0, QUICK)
    assert same(weights(model.unet), before) and [type(m) for m in model.unet.modules()] == modules
    assert not any(p.requires_grad or p.grad is not None for p in model.unet.parameters())


def test_fit_is_deterministic_and_touches_no_global_generator(tiny, lora, monkeypatch):
    before, seeded = torch.random.get_rng_state(), []
    torch.manual_seed(12345)  # whatever the global generator does
    state = torch.random.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # what torch.manual_seed calls, GPU or not
    assert same(fit(tiny, Z_0, QUICK), lora)
    assert torch.equal(torch.random.get_rng_state(), state) and not seeded
    assert not same(fit(tiny, Z_0, QUICK, seed=1), lora)
    torch.random.set_rng_state(before)
    start = fit(tiny, Z_0, LoraConfig(rank=8, steps=1, lr=0.0))
    a = torch.cat([v.flatten() for k, v in start.items() if "lora_A" in k])
    assert all(v.abs().sum() == 0 for k, v in start.items() if "lora_B" in k)
    assert float(a.std()) == pytest.approx(1 / 8, rel=0.05) and abs(float(a.mean())) < 0.005  # peft: 1 / rank
    assert fit(tiny, Z_0, LoraConfig(steps=0)) == {}


def test_the_rate_is_the_models_own_unless_the_config_has_one_and_the_cache_knows(tiny, lora, cache, monkeypatch):
    monkeypatch.setattr(tiny, "lora_lr", 3e-3)
    own, asked = fit(tiny, Z_0, QUICK), fit(tiny, Z_0, replace(QUICK, lr=3e-3))
    assert same(own, asked) and not same(own, lora)
    assert same(fit(tiny, Z_0, replace(QUICK, lr=5e-4)), lora)
    assert same(fit_cached(tiny, Z_0, QUICK), own)
    (file,) = (cache / "lora").iterdir()
    save_file({k: v + 1 for k, v in own.items()}, file)  # to see where the second one comes from
    assert same(fit_cached(tiny, Z_0, replace(QUICK, lr=3e-3)), {k: v + 1 for k, v in own.items()})


def test_fitting_lowers_the_loss(tiny):
    """On noise and time steps that the fit has not seen."""
    noise, t = random(16, 4, 8, 8, seed=99, dtype=torch.float32), torch.arange(20, 980, 60)
    z_t = add_noise(Z_0, noise, tiny.alphas_cumprod[t, None, None, None])
    losses = []
    for lora in ({}, fit(tiny, Z_0, LoraConfig(rank=4, steps=40, lr=1e-2, batch_size=4))):
        with torch.no_grad(), applied(tiny.unet, lora):
            losses.append(float((tiny.eps(z_t, t) - noise).square().mean()))
    assert losses[1] < 0.97 * losses[0]


@pytest.mark.parametrize("scale", [1.0, 0.5, -2.0])
def test_applied_is_w_plus_b_a_and_then_bit_for_bit_w(tiny, lora, scale):
    before = weights(tiny.unet)
    with pytest.raises(RuntimeError, match="stop"), applied(tiny.unet, lora, scale):
        now = weights(tiny.unet)
        raise RuntimeError("stop")
    assert same(weights(tiny.unet), before)
    for name, weight in before.items():
        module = name.removesuffix(".weight")
        if f"{module}.lora_A.weight" in lora:
            change = scale * lora[f"{module}.lora_B.weight"] @ lora[f"{module}.lora_A.weight"]
            torch.testing.assert_close(now[name], weight + change)
        else:
            assert torch.equal(now[name], weight)


def last(lora):
    """The last module in the order of application, so that others have been changed already."""
    return max(k.removesuffix(".lora_A.weight") for k in lora if k.endswith("lora_A.weight"))


def test_lora_that_does_not_fit(tiny, lora):
    before, name = weights(tiny.unet), last(lora)
    shapes = {"A": [(2, 3), (2, 16, 3, 3)], "B": [(5, 2)]}
    spoilt = [lora | {f"{name}.lora_{x}.weight": torch.ones(shape)} for x in "AB" for shape in shapes[x]]
    spoilt.append(lora | {f"zz.no.such.lora_{x}.weight": torch.ones(2, 2) for x in "AB"})
    spoilt.append({key: value for key, value in lora.items() if key != f"{name}.lora_B.weight"})
    for wrong in spoilt:
        with pytest.raises(ValueError, match=r"^lora: .* does not fit this model: "), applied(tiny.unet, wrong):
            raise AssertionError("entered")
        assert same(weights(tiny.unet), before)


def test_a_second_thread_waits_for_the_weights(tiny, lora):
    """Otherwise the one that ends last would put the other's LoRA back as the weights."""
    before, entered = weights(tiny.unet), threading.Event()

    def second():
        with applied(tiny.unet, lora, scale=2.0), unet_lock(tiny.unet):  # its own thread may go further in
            entered.set()

    thread = threading.Thread(target=second, daemon=True)
    with applied(tiny.unet, lora):
        thread.start()
        assert not entered.wait(0.2)
    thread.join(60)
    assert entered.is_set() and same(before, weights(tiny.unet))


def test_the_cache_tells_everything_apart(tiny, tiny64, tiny_sd, cache, monkeypatch):
    none = LoraConfig(steps=0)
    for made in ((tiny, Z_0), (tiny, Z_0 + 1e-6), (tiny64, Z_0), (tiny_sd, Z_0), (tiny, Z_0.clone())):
        fit_cached(*made, none)
    fit_cached(tiny, Z_0, replace(none, rank=3))
    fit_cached(tiny, Z_0, none, seed=1)
    assert len(list((cache / "lora").iterdir())) == 6
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)  # a CPU rounds otherwise
    fit_cached(tiny, Z_0, none)
    assert len(list((cache / "lora").iterdir())) == 7


def test_a_cache_that_is_damaged_is_fitted_anew_and_a_full_one_is_only_a_warning(tiny, lora, cache, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("No space left on device")

    fit_cached(tiny, Z_0, QUICK)
    (file,) = (cache / "lora").iterdir()
    whole = file.read_bytes()
    for keep in (0, 300):
        file.write_bytes(whole[:keep])
        assert same(fit_cached(tiny, Z_0, QUICK), lora)
        assert file.read_bytes() == whole and list((cache / "lora").iterdir()) == [file]
    file.unlink()
    monkeypatch.setattr("gooddrag.lora.save_file", full)
    with pytest.warns(UserWarning, match="LoRA not cached in .*No space left"):
        assert same(fit_cached(tiny, Z_0, QUICK), lora)
    assert not list((cache / "lora").iterdir())  # nothing half written


def today_format(lora):
    return {f"unet.{k}": v for k, v in lora.items()}


def older_format(lora):
    return {k.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): v for k, v in today_format(lora).items()}


def released_format(lora):
    """Keys of diffusers 0.20's attention processors: `...attn1.processor.to_q_lora.down.weight`, out without its .0."""
    pattern, names = r"(.*)\.(to_\w+)(\.0)?\.(lora_[AB])\.weight", {"lora_A": "down", "lora_B": "up"}
    parts = {key: re.fullmatch(pattern, key) for key in lora}
    return {f"{m[1]}.processor.{m[2]}_lora.{names[m[4]]}.weight": lora[key] for key, m in parts.items()}


@pytest.mark.parametrize("form", [dict, today_format, older_format, released_format])
def test_every_format(tiny, lora, home, form):
    file, before = home / "pytorch_lora_weights.safetensors", weights(tiny.unet)
    save_file(form(lora), file)
    assert same(load_lora(file, tiny.unet), lora) and same(load_lora("~", tiny.unet), lora)
    assert same(weights(tiny.unet), before) and not any(p.requires_grad for p in tiny.unet.parameters())


@pytest.mark.parametrize(("name", "strength"), [("diffusers_alpha16_r4", 16 / 4), ("kohya", None)])
def test_the_strength_is_the_one_that_diffusers_gives(tiny_sd, name, strength):
    file = DATA / f"lora_{name}.safetensors"
    lora, raw = load_lora(file, tiny_sd.unet), load_file(file)
    module = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    up = next(v for k, v in raw.items() if "up.weight" in k)
    strength = strength or float(next(v for k, v in raw.items() if k.endswith("alpha"))) / 4
    assert strength != 1 and torch.equal(lora[f"{module}.lora_B.weight"], up * strength)
    state, alphas, metadata = StableDiffusionLoraLoaderMixin.lora_state_dict(file, return_lora_metadata=True)
    other = deepcopy(tiny_sd)
    with quiet():
        other.unet.load_lora_adapter(state, network_alphas=alphas, metadata=metadata, prefix="unet")
    assert (eps(tiny_sd, lora) - eps(tiny_sd)).abs().max() > 1e-4
    torch.testing.assert_close(eps(tiny_sd, lora), eps(other), rtol=0, atol=1e-5)


def test_a_text_encoders_half_is_left_out(tiny_sd, tmp_path):
    kohya, file = DATA / "lora_kohya.safetensors", tmp_path / "mine.safetensors"
    text = "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_{}.weight"
    save_file(load_file(kohya) | {text.format("down"): torch.ones(4, 32), text.format("up"): torch.ones(32, 4)}, file)
    assert same(load_lora(file, tiny_sd.unet), load_lora(kohya, tiny_sd.unet))


def test_files_without_a_lora_of_this_unet_are_refused(tiny, tiny_sd, lora, tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, before = tmp_path / "a.safetensors", weights(tiny.unet)
    for name in ("a.safetensors", ""):
        with pytest.raises(ValueError, match=r"^lora: cannot read .*\.safetensors: No such file"):
            load_lora(tmp_path / name, tiny.unet)
    file.write_bytes(pickle.dumps(Malicious()))
    torch.save({"x.lora_A.weight": Malicious()}, tmp_path / "a.bin")
    for name in (file, tmp_path / "a.bin"):
        with pytest.raises(ValueError, match="^lora: cannot read .*a.(safetensors|bin)"):
            load_lora(name, tiny.unet)
    assert not Path("ran-the-pickle").exists()
    whole, kohya = today_format(lora), load_file(DATA / "lora_kohya.safetensors")
    b, others = f"unet.{last(lora)}.lora_B.weight", ("hada_w1_a", "lokr_w1", "dora_scale")
    for state, message in (
        ({"unet.conv_in.weight": torch.ones(2)}, "expected a plain LoRA, as diffusers or kohya's trainers write them"),
        ({k: v for k, v in whole.items() if k != b}, "expected all"),
        ({**whole, "unet.nowhere.lora_A.weight": torch.ones(2, 2)}, "expected all"),
        ({**whole, b: torch.ones(3, 2)}, "size mismatch"),
        *(
            ({**kohya, f"lora_unet_x.{x}": torch.ones(2)}, "expected a plain LoRA|not been correctly renamed")
            for x in others
        ),
    ):
        save_file(state, file)
        with pytest.raises(ValueError, match=f"^lora: cannot read .*{message}"):
            load_lora(file, tiny.unet)
    save_file(whole, file)
    with pytest.raises(ValueError, match="^lora: cannot read .*size mismatch"):
        load_lora(file, tiny_sd.unet)
    assert same(weights(tiny.unet), before) and not hasattr(tiny.unet, "peft_config")
    assert capfd.readouterr() == ("", "") and not caplog.records
