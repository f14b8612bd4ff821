import json
import pickle
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler
from safetensors.torch import load_file, save_file
from single_file import original_layout, save_original
from tiny import DATA, TINY_SD, Malicious, random, same, save_tiny

from gooddrag import checkpoints
from gooddrag.model import LORA_LR, choose_model, load_model

WEIGHTS = "diffusion_pytorch_model.safetensors"
Z = random(1, 4, 8, 12, dtype=torch.float32)


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.fixture
def copy_sd(tmp_path):
    return shutil.copytree(TINY_SD, tmp_path / "model")


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refused(name, match, **options):
    with pytest.raises(ValueError, match=match) as caught:
        load_model(name, device="cpu", **options)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model: ")


def test_shapes(tiny, tiny_folder, tiny_sd):
    assert tiny.name == str(tiny_folder) and tiny.label == "tiny" and "asked for" in tiny.why
    assert isinstance(tiny.vae, AutoencoderTiny) and (tiny.vae_scale, tiny.native_size) == (4, 64)
    assert torch.equal(tiny.prompt, torch.zeros(1, 1, 8)) and tiny.steps_offset == 1
    assert isinstance(tiny_sd.vae, AutoencoderKL)
    assert (tiny_sd.vae_scale, tiny_sd.native_size) == (8, 512)  # trained at 128, but no KL autoencoder needs less
    assert tiny_sd.prompt.shape == (1, 77, 32) and tiny_sd.prompt.abs().sum() > 0
    for part in (tiny.unet, tiny.vae, tiny_sd.unet, tiny_sd.vae):
        assert not part.training and not any(p.requires_grad for p in part.parameters())


@pytest.mark.parametrize(("size", "native"), [(None, 256), (32, 128)])
def test_the_trained_size_counts_and_the_vae_may_be_another(copy, tiny, tmp_path, size, native):
    edit(copy / "unet" / "config.json", sample_size=size)
    other = save_tiny(tmp_path / "other", seed=1)
    model = load_model(copy, device="cpu", vae=other / "vae")
    assert model.native_size == native
    assert same(model.vae.state_dict(), load_model(other, device="cpu").vae.state_dict())
    assert same(model.unet.state_dict(), tiny.unet.state_dict())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_of_the_backbone(tiny_folder, dtype):
    model = load_model(str(tiny_folder), device="cpu", dtype=dtype)
    assert {p.dtype for part in (model.unet, model.vae) for p in part.parameters()} == {dtype}
    assert model.prompt.dtype == model.dtype == dtype and model.alphas_cumprod.dtype == torch.float32
    wide = torch.promote_types(dtype, torch.float32)
    z = model.encode(torch.zeros(1, 3, 32, 32))
    assert z.dtype == wide  # the latent is never in half precision
    assert model.eps(z, 301).dtype == model.decode(z).dtype == wide
    assert all(part.dtype == wide for part in model.eps_and_features(z, 301))


def test_encode_refuses_what_is_not_finite(tiny):
    assert tiny.decode(tiny.encode(torch.zeros(1, 3, 36, 20))).shape == (1, 3, 36, 20)
    with pytest.raises(FloatingPointError, match="^encode: nan in z_0 at t = 0"):
        tiny.encode(torch.full((1, 3, 32, 32), torch.nan))


@pytest.mark.parametrize(("block", "shape"), [(-3, (1, 16, 4, 6)), (-2, (1, 16, 8, 12)), (-1, (1, 8, 8, 12))])
def test_features_are_an_up_blocks_output(tiny, block, shape):
    up_block, seen = tiny.unet.up_blocks[block], []
    eps, F = tiny.eps_and_features(Z, 301, block)
    with up_block.register_forward_hook(lambda module, args, output: seen.append(output)):
        assert torch.equal(eps, tiny.eps(Z, 301))
    assert torch.equal(F, seen[0]) and F.shape == shape
    with pytest.raises(RuntimeError):
        tiny.eps_and_features(torch.zeros(1, 3, 8, 8), 301, block)
    assert not up_block._forward_hooks


@pytest.mark.parametrize("timestep", [1, 301, 981])
def test_v_prediction_gives_the_noise_that_a_scheduler_finds(copy, tiny, timestep):
    """The scheduler's clean latent is (z_t - sqrt(1 - abar_t) eps) / sqrt(abar_t), solved for eps."""
    edit(copy / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    model = load_model(copy, device="cpu", dtype=torch.float64)
    scheduler = DDIMScheduler(**checkpoints.SD_DDIM, prediction_type="v_prediction")
    scheduler.set_timesteps(50)
    z = Z.double()
    with torch.no_grad():
        v = model.unet(z, timestep, encoder_hidden_states=model.prompt).sample
        eps = model.eps(z, timestep)
    clean, a = scheduler.step(v, timestep, z).pred_original_sample, scheduler.alphas_cumprod[timestep].double()
    torch.testing.assert_close(eps, (z - a.sqrt() * clean) / (1 - a).sqrt(), rtol=0, atol=1e-5)
    assert model.fingerprint != tiny.fingerprint  # its LoRAs are others
    edit(copy / "scheduler" / "scheduler_config.json", prediction_type="sample")
    refused(copy, "predicts 'sample'; expected 'epsilon' or 'v_prediction'$")


def test_a_folder_may_ask_for_a_preset_and_a_lora_rate(tiny, copy):
    assert tiny.preset == "released" and tiny.lora_lr == LORA_LR == 5e-4
    assert load_model("storybook", device="cpu").preset == "storybook"
    for asked, want in (({"preset": "fast"}, ("fast", LORA_LR)), ({"lora_lr": 0.002}, ("released", 0.002))):
        (copy / "training.json").write_text(json.dumps(asked))
        model = load_model(copy, device="cpu")
        assert (model.preset, model.lora_lr) == want
        assert (model.fingerprint == tiny.fingerprint) == (model.lora_lr == LORA_LR)  # else its edits are others
    for nonsense in ("{", "[1]"):
        (copy / "training.json").write_text(nonsense)
        refused(copy, "^model: .*training.json: ")


@pytest.mark.parametrize(("free", "want"), [(4.0, "storybook"), (6.0, "sd15")])
def test_auto_on_a_gpu(monkeypatch, free, want):
    monkeypatch.delenv("GOODDRAG_MODEL", raising=False)
    gpu = {"mem_get_info": (int((free - 3) * 2**30), 2**34), "get_device_name": "A100"}
    gpu |= {"memory_reserved": 3 * 2**30, "memory_allocated": 2 * 2**30}  # by a model that this one replaces
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, value in gpu.items():
        monkeypatch.setattr(torch.cuda, name, lambda gpu, value=value: value)
    assert choose_model()[0] == choose_model("cuda:1")[0] == want and f"{free:.1f} GiB free" in choose_model()[1]
    assert choose_model("cpu") == ("storybook", "storybook: device cpu was asked for")


def test_auto_without_a_gpu_and_with_a_wish(monkeypatch, tiny_folder):
    monkeypatch.delenv("GOODDRAG_MODEL", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_model() == ("storybook", "storybook: no CUDA GPU here")
    assert load_model("auto", device="cpu").why == "storybook: no CUDA GPU here"
    monkeypatch.setenv("GOODDRAG_MODEL", str(tiny_folder))
    model = load_model("auto", device="cpu")
    assert model.name == str(tiny_folder) and "GOODDRAG_MODEL" in model.why


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_or_dtype_that_is_not_here(copy, device):
    with pytest.raises(ValueError, match=f"^device: '{device}' .*; expected 'cpu', or 'cuda' where there is one"):
        load_model(copy, device=device)
    with pytest.raises(ValueError, match="^dtype: 'float16'; expected torch.float32"):
        load_model(copy, device="cpu", dtype="float16")


@pytest.mark.parametrize("name", ["nosuch", "/no/such/folder", "a/b/c", "~/none"])
def test_unknown_name(name, tiny, copy, home, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load_model("~/model", device="cpu", vae="~/model/vae").fingerprint == tiny.fingerprint
    refused(name, "^model: .* is neither 'storybook' nor 'sd15'; it is no folder here, and as a Hub id: cannot read ")


def test_offline_says_what_is_missing(monkeypatch, tmp_path, tiny_folder):
    monkeypatch.chdir(tmp_path)  # a typing error in a relative path must not look like trouble with the network alone
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    as_id = "is no folder here, and as a Hub id: cannot read"
    refused("models/mine", rf"^model: 'models/mine' .* {as_id} models/mine/vae/config.json: .*in the local cache")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(tiny_folder)
    assert load_model("models/mine", device="cpu").why == "models/mine: asked for"
    refused("models/mine", f"'some/vae' .* {as_id} some/vae/config.json: ", vae="some/vae")


def test_a_model_without_text_encoder_gets_a_zero_token(copy_sd):
    for name in ("vocab.json", "merges.txt"):  # transformers makes a tokenizer of nothing where both are gone
        (copy_sd / "tokenizer" / name).unlink()
    refused(copy_sd, "^model: .*tokenizer holds no vocabulary; expected vocab.json and merges.txt")
    shutil.rmtree(copy_sd / "text_encoder")
    (copy_sd / "model_index.json").unlink()
    assert torch.equal(load_model(copy_sd, device="cpu").prompt, torch.zeros(1, 1, 32))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["fp16", "bin"])
def test_loading_says_nothing_to_a_user(copy, tiny, capfd, caplog, kind):
    """Weights as other programs leave them."""
    for part in ("unet", "vae"):
        (copy / part / WEIGHTS).unlink()
        if kind == "fp16":
            getattr(tiny, part).save_pretrained(copy / part, variant="fp16")
        else:
            torch.save(getattr(tiny, part).state_dict(), copy / part / "diffusion_pytorch_model.bin")
    capfd.readouterr()
    assert same(load_model(copy, device="cpu").unet.state_dict(), tiny.unet.state_dict())
    assert load_model(TINY_SD, device="cpu").prompt.shape == (1, 77, 32)  # with a text encoder
    assert capfd.readouterr() == ("", "") and not caplog.records


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_damaged_part_is_named(copy_sd, part, capfd, tmp_path, monkeypatch):
    """From a weight that diffusers and transformers would draw at random to a folder that is gone."""
    monkeypatch.chdir(tmp_path)
    file = next((copy_sd / part).glob("*.safetensors"))
    state, message = load_file(file), rf"^model: cannot read .*/{part}"
    gone = next(k for k in sorted(state) if k.endswith("bias"))
    save_file({k: v for k, v in state.items() if k != gone}, file, metadata={"format": "pt"})
    refused(copy_sd, rf"{message}: 1 weights are missing, .*{gone.split('.', 1)[1]} among")
    save_file(state | {gone: torch.zeros(3)}, file, metadata={"format": "pt"})
    refused(copy_sd, f"{message}: .")
    for content in (file.read_bytes()[:-100], b""):
        file.write_bytes(content)
        refused(copy_sd, f"{message}: .")
    file.unlink()
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save({"conv_in.weight": Malicious()}, file.with_name(name))
    refused(copy_sd, f"{message}: .")
    assert not Path("ran-the-pickle").exists()
    (copy_sd / part / "config.json").write_bytes(b"\xff\xfe\x00")
    refused(copy_sd, f"{message}.*config.json.* .")
    shutil.rmtree(copy_sd / part)
    refused(copy_sd, rf"^model: .*/{part}")
    assert capfd.readouterr() == ("", "")


def test_a_unet_that_needs_more_than_a_prompt(copy_sd):
    for file in copy_sd.rglob("*.safetensors"):
        file.unlink()  # nothing of them is read
    config = copy_sd / "unet" / "config.json"
    usual = config.read_text()
    for changes, message in (
        (
            json.loads((DATA / "sdxl_like_unet_config.json").read_text()),
            "addition_embed_type 'text_time' is not supported; .*not SDXL",
        ),
        ({"class_embed_type": "timestep"}, "class_embed_type 'timestep' is not supported"),
        ({"in_channels": 9}, "9 channels, with latents of 4, is not supported"),
    ):
        config.write_text(usual)
        edit(config, **changes)
        refused(copy_sd, f"^model: .*{message}")


@pytest.fixture
def original(tmp_path):
    """The configs and the vocabulary of tiny-sd, beside which its single file may be written."""
    for file in [*TINY_SD.rglob("*.json"), *TINY_SD.rglob("*.txt")]:
        (tmp_path / file.relative_to(TINY_SD)).parent.mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / file.relative_to(TINY_SD))
    return tmp_path / "mine.safetensors"


def test_a_single_file_is_the_folder(tiny_sd, original, capfd):
    weights = {k: v.half() if k.startswith("model_ema") else v for k, v in original_layout(TINY_SD).items()}
    save_original(weights | {"model_ema.decay": torch.ones(())}, original)
    model = load_model(original, device="cpu")
    assert capfd.readouterr() == ("", "")
    assert same(model.unet.state_dict(), tiny_sd.unet.state_dict())
    assert same(model.vae.state_dict(), tiny_sd.vae.state_dict())
    assert torch.equal(model.prompt, tiny_sd.prompt) and model.label == "mine.safetensors"
    assert (model.fingerprint, model.native_size) == (tiny_sd.fingerprint, 512)
    assert torch.equal(model.alphas_cumprod, tiny_sd.alphas_cumprod) and model.prediction_type == "epsilon"
    model = load_model(original, device="cpu", dtype=torch.float64, vae=TINY_SD / "vae")
    assert {p.dtype for part in (model.unet, model.vae) for p in part.parameters()} == {torch.float64}
    edit(original.parent / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    half = load_model(original, device="cpu", dtype=torch.float16)
    assert (half.prediction_type, half.dtype, half.vae.dtype) == ("v_prediction", torch.float16, torch.float16)
    torch.testing.assert_close(half.prompt, tiny_sd.prompt.half(), rtol=0, atol=0)


def test_single_files_that_are_refused(original, monkeypatch):
    weights, prefix = original_layout(TINY_SD), "model.diffusion_model."
    for state in (
        weights | {f"{prefix}input_blocks.0.0.weight": torch.ones(16, 9, 3, 3)},
        {k: v for k, v in weights.items() if "output_blocks.3.1" not in k},
        {k: v for k, v in weights.items() if "layers.1.mlp.fc1" not in k},
        {"x.lora_A.weight": torch.ones(2, 2)},
    ):
        refused(save_original(state, original), "^model: cannot read .*mine.safetensors: .")
    original.write_bytes(original.read_bytes()[:20])
    refused(original, r"^model: cannot read .*mine.safetensors: ")
    original.with_suffix(".ckpt").write_bytes(pickle.dumps(Malicious()))
    refused(original.with_suffix(".ckpt"), "a .ckpt file may hold code and is not read; expected .safetensors$")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    original.with_name("alone").mkdir()
    alone = save_original(weights, original.parent / "alone" / "a.safetensors")  # its configs are on the Hub
    refused(alone, "^model: cannot read .*a.safetensors, or its configs, which are not beside it, on the Hub: Cannot")
