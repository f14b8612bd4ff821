import pickle
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tiny import random

from gooddrag.config import LoraConfig
from gooddrag.files import cache_folder
from gooddrag.lora import TARGETS, applied, fit
from gooddrag.lora_files import fit_cached, load_lora, save_lora
from gooddrag.masactrl import transformer_blocks

QUICK = LoraConfig(rank=2, steps=3, batch_size=2)
Z_0 = random(1, 4, 8, 8, dtype=torch.float32)


@pytest.fixture(scope="module")
def lora(tiny):
    return fit(tiny, Z_0, QUICK)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lora"


def weights(unet):
    return {name: weight.clone() for name, weight in unet.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def eps(model, z=Z_0):
    with torch.no_grad():
        return model.eps(z, 301)


# fitting


def test_fit_gives_both_matrices_of_every_attention_projection(tiny, lora):
    modules = {k.rsplit(".lora_", 1)[0] for k in lora}
    known = dict(tiny.unet.named_modules())
    want = [
        name for name in known
        if name.endswith(tuple(TARGETS)) and ".attn" in name
    ]  # fmt: skip
    assert modules == set(want)
    assert len(want) == len(transformer_blocks(tiny.unet)) * 2 * 4
    for name in modules:
        a, b = lora[f"{name}.lora_A.weight"], lora[f"{name}.lora_B.weight"]
        assert a.shape == (2, known[name].in_features) and b.shape == (known[name].out_features, 2)
        assert a.dtype == b.dtype == torch.float32 and not a.requires_grad
    assert any(lora[f"{name}.lora_B.weight"].abs().sum() > 0 for name in modules)


def test_fit_leaves_the_unet_as_it_was(tiny_folder):
    from gooddrag.loading import load_model

    model = load_model(tiny_folder, device="cpu")
    before, modules = weights(model.unet), [n for n, _ in model.unet.named_modules()]
    processors = {n: type(p) for n, p in model.unet.attn_processors.items()}
    fit(model, Z_0, QUICK)
    assert same(weights(model.unet), before)
    assert [n for n, _ in model.unet.named_modules()] == modules
    assert {n: type(p) for n, p in model.unet.attn_processors.items()} == processors
    assert not any(p.requires_grad or p.grad is not None for p in model.unet.parameters())


def test_unet_is_clean_after_a_failed_fit(tiny):
    modules = [n for n, _ in tiny.unet.named_modules()]
    with pytest.raises(RuntimeError):
        fit(tiny, random(1, 3, 8, 8, dtype=torch.float32), QUICK)  # 3 channels, the U-Net takes 4
    assert [n for n, _ in tiny.unet.named_modules()] == modules
    assert not any(p.requires_grad for p in tiny.unet.parameters())


def test_fit_is_deterministic(tiny, lora):
    state = torch.random.get_rng_state()
    torch.manual_seed(12345)  # whatever the global generator does
    assert same(fit(tiny, Z_0, QUICK), lora)
    assert not same(fit(tiny, Z_0, QUICK, seed=1), lora)
    torch.random.set_rng_state(state)


def test_the_rate_is_the_models_own_unless_the_config_has_one(tiny, lora, cache, monkeypatch):
    monkeypatch.setattr(tiny, "lora_lr", 3e-3)
    own, asked = fit(tiny, Z_0, QUICK), fit(tiny, Z_0, replace(QUICK, lr=3e-3))
    assert same(own, asked) and not same(own, lora)
    assert same(fit(tiny, Z_0, replace(QUICK, lr=5e-4)), lora)
    fit_cached(tiny, Z_0, QUICK)
    fit_cached(tiny, Z_0, replace(QUICK, lr=3e-3))
    assert len(list(cache.glob("*.safetensors"))) == 1  # one file for one rate, however it was asked for


def test_fit_does_not_touch_the_global_generator(tiny):
    before = torch.random.get_rng_state()
    fit(tiny, Z_0, QUICK)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fit_does_not_seed_a_gpu(tiny, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # what torch.manual_seed calls, GPU or not
    fit(tiny, Z_0, QUICK)
    assert not seeded
    torch.manual_seed(torch.initial_seed())
    assert seeded


def test_a_starts_gaussian_and_b_at_zero(tiny):
    state = fit(tiny, Z_0, LoraConfig(rank=8, steps=1, lr=0.0))
    a = torch.cat([v.flatten() for k, v in state.items() if "lora_A" in k])
    b = torch.cat([v.flatten() for k, v in state.items() if "lora_B" in k])
    assert b.abs().sum() == 0
    assert float(a.std()) == pytest.approx(1 / 8, rel=0.05) and abs(float(a.mean())) < 0.005  # peft: 1 / rank


def test_fitting_lowers_the_loss(tiny):
    """On noise and time steps that the fit has not seen."""
    noise, t = random(16, 4, 8, 8, seed=99, dtype=torch.float32), torch.arange(20, 980, 60)
    z_t = DDPMScheduler(trained_betas=betas(tiny.alphas_cumprod)).add_noise(Z_0.expand(16, -1, -1, -1), noise, t)

    def loss():
        with torch.no_grad():
            return float((tiny.eps(z_t, t) - noise).square().mean())

    before = loss()
    with applied(tiny.unet, fit(tiny, Z_0, LoraConfig(rank=4, steps=40, lr=1e-2, batch_size=4))):
        after = loss()
    assert after < 0.97 * before
    assert loss() == before


def betas(alphas_cumprod):
    previous = torch.cat([torch.ones(1), alphas_cumprod[:-1]])
    return (1 - alphas_cumprod / previous).numpy()


def test_no_steps_is_no_lora(tiny):
    assert fit(tiny, Z_0, LoraConfig(steps=0)) == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_fit_in_other_precisions(tiny_folder, dtype):
    from gooddrag.loading import load_model

    model = load_model(tiny_folder, device="cpu", dtype=dtype)
    z_0 = Z_0.to(torch.promote_types(dtype, torch.float32))
    state = fit(model, z_0, QUICK)
    assert all(v.dtype == torch.float32 and v.isfinite().all() for v in state.values())
    assert all(p.dtype == dtype for p in model.unet.parameters())


# using one


def test_lora_with_b_zero_changes_nothing(tiny, lora):
    zero = {k: torch.zeros_like(v) if "lora_B" in k else v for k, v in lora.items()}
    before = eps(tiny)
    with applied(tiny.unet, zero):
        assert torch.equal(eps(tiny), before)


@pytest.mark.parametrize("scale", [1.0, 0.5, -2.0])
def test_applied_is_w_plus_b_a(tiny, lora, scale):
    before = weights(tiny.unet)
    changed = {k for k, v in lora.items() if "lora_B" in k and v.abs().sum() > 0}
    assert changed == {k for k in lora if "lora_B" in k and ".attn1." in k}
    with applied(tiny.unet, lora, scale):
        now = weights(tiny.unet)
    for name, weight in before.items():
        module = name.removesuffix(".weight")
        if f"{module}.lora_A.weight" in lora:
            change = scale * lora[f"{module}.lora_B.weight"] @ lora[f"{module}.lora_A.weight"]
            torch.testing.assert_close(now[name], weight + change)
            # the prompt of a zero token leaves the cross-attentions without a gradient
            assert torch.equal(now[name], weight) == (lora[f"{module}.lora_B.weight"].abs().sum() == 0)
        else:
            assert torch.equal(now[name], weight)


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_lora_changes_nothing(tiny, nothing):
    before = weights(tiny.unet)
    with applied(tiny.unet, nothing):
        assert same(weights(tiny.unet), before)


def test_applied_restores_bit_for_bit(tiny, lora):
    before, plain = weights(tiny.unet), eps(tiny)
    with applied(tiny.unet, lora):
        assert not torch.equal(eps(tiny), plain)
    assert same(weights(tiny.unet), before)
    with pytest.raises(RuntimeError, match="stop"), applied(tiny.unet, lora, 1e6):
        raise RuntimeError("stop")
    assert same(weights(tiny.unet), before)
    assert torch.equal(eps(tiny), plain)


def first(lora):
    """The last module in the order of application, so that others have been changed already."""
    return max(k.removesuffix(".lora_A.weight") for k in lora if k.endswith("lora_A.weight"))


def stranger(lora):
    return {**lora, "zz.to_q.lora_A.weight": torch.ones(2, 8), "zz.to_q.lora_B.weight": torch.ones(8, 2)}


def without_b(lora):
    return {k: v for k, v in lora.items() if k != f"{first(lora)}.lora_B.weight"}


def with_a(*shape):
    return lambda lora: {**lora, f"{first(lora)}.lora_A.weight": torch.ones(shape)}


def with_b(*shape):
    return lambda lora: {**lora, f"{first(lora)}.lora_B.weight": torch.ones(shape)}


@pytest.mark.parametrize("spoil", [stranger, without_b, with_a(2, 3), with_a(3, 16), with_b(1, 2), with_b(5, 2)])
def test_lora_that_does_not_fit(tiny, lora, spoil):
    before = weights(tiny.unet)
    with pytest.raises(ValueError, match=r"^lora: .* does not fit this model: "), applied(tiny.unet, spoil(lora)):
        raise AssertionError("entered")
    assert same(weights(tiny.unet), before)


# the cache


def test_cache_is_read_the_second_time(tiny, cache, monkeypatch):
    state = fit_cached(tiny, Z_0, QUICK)
    (file,) = cache.iterdir()
    assert cache_folder("lora") == cache and file.suffix == ".safetensors" and same(load_file(file), state)
    save_file({k: v + 1 for k, v in state.items()}, file)  # to see where the second one comes from
    assert same(fit_cached(tiny, Z_0, QUICK), {k: v + 1 for k, v in state.items()})


def test_cache_tells_everything_apart(tiny, tiny64, tiny_sd, cache):
    none = dict(steps=0)
    fit_cached(tiny, Z_0, LoraConfig(**none))
    fit_cached(tiny, Z_0 + 1e-6, LoraConfig(**none))
    fit_cached(tiny, Z_0, LoraConfig(rank=3, **none))
    fit_cached(tiny, Z_0, LoraConfig(**none), seed=1)
    fit_cached(tiny64, Z_0, LoraConfig(**none))
    fit_cached(tiny_sd, Z_0, LoraConfig(**none))
    assert len(list(cache.iterdir())) == 6
    fit_cached(tiny, Z_0.clone(), LoraConfig(**none))
    assert len(list(cache.iterdir())) == 6


def test_default_settings_are_cached_too(tiny, cache, monkeypatch):
    monkeypatch.setattr("gooddrag.lora.LoraConfig", lambda: QUICK)
    assert same(fit_cached(tiny, Z_0), fit_cached(tiny, Z_0, QUICK))
    assert same(fit(tiny, Z_0), fit_cached(tiny, Z_0, QUICK))
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated_cache_file_is_fitted_anew(tiny, lora, cache, keep):
    fit_cached(tiny, Z_0, QUICK)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    with pytest.warns(UserWarning, match=r"LoRA cache .* is unreadable .*; fitting anew"):
        assert same(fit_cached(tiny, Z_0, QUICK), lora)
    assert file.read_bytes() == whole
    assert [p.name for p in cache.iterdir()] == [file.name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(fit_cached(tiny, Z_0, QUICK), lora)


def test_a_full_disk_is_only_a_warning(tiny, lora, cache, monkeypatch):
    def full(*_):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("gooddrag.lora_files.save_file", full)
    with pytest.warns(UserWarning, match="LoRA not cached in .*No space left"):
        assert same(fit_cached(tiny, Z_0, QUICK), lora)
    assert not list(cache.iterdir())


def test_unwritable_cache_is_only_a_warning(tiny, lora, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="LoRA not cached in"):
        assert same(fit_cached(tiny, Z_0, QUICK), lora)
    assert (tmp_path / "file").read_text() == "in the way"


def test_cache_folder_without_the_variable(monkeypatch):
    monkeypatch.delenv("GOODDRAG_CACHE", raising=False)
    assert cache_folder("lora").name == "lora" and "gooddrag" in str(cache_folder("lora"))


# files


def released_format(lora):
    """Keys of diffusers 0.20's attention processors: `...attn1.processor.to_q_lora.down.weight`, out without its .0."""
    out = {}
    for key, value in lora.items():
        module, matrix = key.removesuffix(".weight").rsplit(".", 1)
        attention, layer = module.removesuffix(".0").rsplit(".", 1)
        out[f"{attention}.processor.{layer}_lora.{'down' if matrix == 'lora_A' else 'up'}.weight"] = value
    return out


def older_format(lora):
    return {f"unet.{k}".replace("lora_A", "lora.down").replace("lora_B", "lora.up"): v for k, v in lora.items()}


FORMATS = {
    "bare": dict,
    "today": lambda lora: {f"unet.{k}": v for k, v in lora.items()},
    "older": older_format,
    "released": released_format,
    "released, prefixed": lambda lora: {f"unet.{k}": v for k, v in released_format(lora).items()},
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_every_format(lora, tmp_path, form, suffix):
    file = tmp_path / f"pytorch_lora_weights.{suffix}"
    state = FORMATS[form](lora)
    assert len(state) == len(lora)
    torch.save(state, file) if suffix == "bin" else save_file(state, file)
    assert same(load_lora(file), lora)
    assert same(load_lora(str(tmp_path)), lora)


def test_folder_prefers_safetensors(lora, tmp_path):
    save_file(lora, tmp_path / "pytorch_lora_weights.safetensors")
    (tmp_path / "pytorch_lora_weights.bin").write_bytes(b"broken")
    assert same(load_lora(tmp_path), lora)


def test_half_precision_is_widened_and_double_kept(lora, tmp_path):
    save_file({k: v.half() for k, v in lora.items()}, tmp_path / "half.safetensors")
    assert same(load_lora(tmp_path / "half.safetensors"), {k: v.half().float() for k, v in lora.items()})
    save_file({k: v.double() for k, v in lora.items()}, tmp_path / "double.safetensors")
    assert all(v.dtype == torch.float64 for v in load_lora(tmp_path / "double.safetensors").values())


@pytest.mark.parametrize("name", ["{}.alpha", "unet.{}.alpha", "unet.{}.lora.alpha"])
def test_alpha_is_folded_in(lora, tmp_path, name):
    module = first(lora)
    save_file({**lora, name.format(module): torch.tensor(6.0)}, tmp_path / "a.safetensors")
    got = load_lora(tmp_path / "a.safetensors")
    want = {**lora, f"{module}.lora_B.weight": lora[f"{module}.lora_B.weight"] * (6 / 2)}  # alpha / rank
    assert same(got, want)


def test_text_encoder_and_notes_are_left_out(lora, tmp_path):
    extra = {"text_encoder.x.lora_A.weight": torch.ones(2, 2), "note": "hello", 3: 4}
    torch.save({**lora, **extra}, tmp_path / "a.bin")
    assert same(load_lora(tmp_path / "a.bin"), lora)


def test_save_and_load(lora, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert save_lora(lora, folder) == folder / "pytorch_lora_weights.safetensors"
    assert same(load_lora(folder), lora)
    assert save_lora(lora, tmp_path / "my.safetensors") == tmp_path / "my.safetensors"
    keys = load_file(tmp_path / "my.safetensors").keys()
    assert keys == {f"unet.{k}" for k in lora}  # as diffusers' save_lora_weights writes


def test_diffusers_reads_what_is_saved(tiny_folder, lora, tmp_path):
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

    save_lora(lora, tmp_path)
    state, _ = StableDiffusionLoraLoaderMixin.lora_state_dict(tmp_path)
    assert {k.removeprefix("unet.") for k in state} == set(lora)


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("ran-the-pickle"),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"x.lora_A.weight": Malicious()}, "zip.bin")
    Path("plain.bin").write_bytes(pickle.dumps(Malicious()))
    for file in ("zip.bin", "plain.bin"):
        with pytest.raises(ValueError, match=rf"^lora: cannot read {file}: "):
            load_lora(file)
    assert not Path("ran-the-pickle").exists()


def test_files_that_cannot_be_read(lora, tmp_path):
    torch.save(lora, tmp_path / "whole.bin")
    (tmp_path / "cut.bin").write_bytes((tmp_path / "whole.bin").read_bytes()[:500])
    save_file(lora, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:500])
    (tmp_path / "empty.bin").touch()
    (tmp_path / "empty.safetensors").touch()
    torch.save(torch.ones(3), tmp_path / "tensor.bin")
    torch.save(3, tmp_path / "number.bin")
    (tmp_path / "text.bin").write_text("hello")
    names = ["cut.bin", "cut.safetensors", "empty.bin", "empty.safetensors", "tensor.bin", "number.bin", "text.bin",
             "gone.bin", "gone.safetensors"]  # fmt: skip
    for name in names:
        with pytest.raises(ValueError, match=r"^lora: cannot read .*" + name) as caught:
            load_lora(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_files_without_a_lora(lora, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"^lora: .* holds none of pytorch_lora_weights.safetensors, "):
        load_lora(tmp_path / "folder")
    save_file({}, tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="holds no LoRA of a U-Net"):
        load_lora(tmp_path / "none.safetensors")
    save_file({"conv_in.weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="unknown key 'conv_in.weight'; expected a U-Net's attention projections"):
        load_lora(tmp_path / "other.safetensors")
    save_file(without_b(lora), tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match="has only one of its two matrices"):
        load_lora(tmp_path / "half.safetensors")


def test_a_second_thread_waits_for_the_weights(tiny, lora):
    """Otherwise the one that ends last would put the other's LoRA back as the weights."""
    before = weights(tiny.unet)
    inside, leave, order = threading.Event(), threading.Event(), []

    def first():
        with applied(tiny.unet, lora):
            inside.set()
            leave.wait(60)
            order.append("first")

    def second():
        with applied(tiny.unet, lora, scale=2.0), applied(tiny.unet, lora):  # its own thread may go further in
            order.append("second")

    threads = [threading.Thread(target=work, daemon=True) for work in (first, second)]
    threads[0].start()
    inside.wait(60)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive() and not order
    leave.set()
    for thread in threads:
        thread.join(60)
    assert order == ["first", "second"]
    assert same(before, weights(tiny.unet))
