import json
import shutil
import subprocess
import sys
import warnings

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tiny import TINY_SD, random, save_tiny
from transformers.utils import logging as text_logging

from gooddrag import loading as module
from gooddrag.config import Preset
from gooddrag.loading import load_model
from gooddrag.model import LORA_LR, DiffusionModel

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.fixture
def copy_sd(tmp_path):
    return shutil.copytree(TINY_SD, tmp_path / "model")


def refused(name, match, **options):
    with pytest.raises(ValueError, match=match) as caught:
        load_model(name, device="cpu", **options)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model: ")


def test_storybook_shape(tiny, tiny_folder):
    assert tiny.name == str(tiny_folder) and tiny.label == "tiny" and "asked for" in tiny.why
    assert isinstance(tiny.vae, AutoencoderTiny) and tiny.vae_scale == 4 and tiny.native_size == 64
    assert tiny.prompt.shape == (1, 1, 8) and tiny.prompt.abs().sum() == 0
    assert tiny.device == torch.device("cpu") and tiny.dtype == torch.float32 and tiny.steps_offset == 1


def test_stable_diffusion_shape(tiny_sd):
    assert isinstance(tiny_sd.vae, AutoencoderKL) and tiny_sd.vae_scale == 8
    assert tiny_sd.native_size == 512  # trained at 128, but no KL autoencoder needs less
    assert tiny_sd.prompt.shape == (1, 77, 32) and tiny_sd.prompt.abs().sum() > 0


def test_frozen_and_in_eval_mode(tiny, tiny_sd):
    for model in (tiny, tiny_sd):
        for part in (model.unet, model.vae):
            assert not part.training and not any(p.requires_grad for p in part.parameters())


def test_schedule_is_the_released_one(tiny, tiny_sd):
    """What decides the algorithm does not come from the folder: first drag time step 741, last 621."""
    for model in (tiny, tiny_sd):
        schedule = model.schedule(50)
        assert (schedule.timestep(38), schedule.timestep(32), schedule.timestep(35)) == (741, 621, 681)
        assert model.alphas_cumprod.dtype == torch.float32 and len(model.alphas_cumprod) == 1000
        reference = DDIMScheduler(**module.SD_DDIM)
        assert torch.equal(model.alphas_cumprod, reference.alphas_cumprod)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_of_the_backbone(tiny_folder, dtype):
    model = load_model(str(tiny_folder), device="cpu", dtype=dtype)
    assert {p.dtype for part in (model.unet, model.vae) for p in part.parameters()} == {dtype}
    assert model.prompt.dtype == model.dtype == dtype and model.alphas_cumprod.dtype == torch.float32
    wide = torch.promote_types(dtype, torch.float32)
    z = model.encode(torch.zeros(1, 3, 32, 32))
    assert z.dtype == wide  # the latent is never in half precision
    assert model.eps(z, 301).dtype == wide and model.decode(z).dtype == wide
    assert all(part.dtype == wide for part in model.eps_and_features(z, 301))


def test_loading_says_nothing_to_a_user(tiny_folder, capfd):
    for folder in (tiny_folder, TINY_SD):  # without and with a text encoder
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_model(folder, device="cpu", dtype=torch.float64)
        assert capfd.readouterr() == ("", "")
    assert text_logging.is_progress_bar_enabled()  # what others load is theirs


def test_encode_is_the_scaled_mean(tiny_sd):
    x = random(1, 3, 32, 48, dtype=torch.float32).clamp(-1, 1)
    with torch.no_grad():
        want = tiny_sd.vae.encode(x).latent_dist.mean * tiny_sd.vae.config.scaling_factor
        assert torch.equal(tiny_sd.encode(x), want)
        decoded = tiny_sd.vae.decode(want / tiny_sd.vae.config.scaling_factor).sample
        assert torch.equal(tiny_sd.decode(want), decoded)
        assert torch.equal(tiny_sd.decode_image(want), (decoded / 2 + 0.5).clamp(0, 1))
    assert want.shape == (1, 4, 4, 6) and tiny_sd.vae.config.scaling_factor == 0.18215


def test_encode_refuses_what_the_vae_would_crop(tiny, tiny_sd):
    for model in (tiny, tiny_sd):
        with pytest.raises(ValueError, match=r"^image: sides \(34, 32\); expected multiples of [48]$"):
            model.encode(torch.zeros(1, 3, 34, 32))
    assert tiny.decode(tiny.encode(torch.zeros(1, 3, 36, 20))).shape == (1, 3, 36, 20)


@pytest.mark.parametrize("block", [-3, -2, -1])
def test_features_are_an_up_blocks_output(tiny, block):
    z = random(1, 4, 8, 12, dtype=torch.float32)
    eps, F = tiny.eps_and_features(z, 301, block)
    assert torch.equal(eps, tiny.eps(z, 301))
    seen = []
    with tiny.unet.up_blocks[block].register_forward_hook(lambda module, args, output: seen.append(output)):
        tiny.eps(z, 301)
    assert torch.equal(F, seen[0])
    assert F.shape == {-3: (1, 16, 4, 6), -2: (1, 16, 8, 12), -1: (1, 8, 8, 12)}[block]


def test_hook_is_removed_even_after_a_failure(tiny):
    block = tiny.unet.up_blocks[-2]
    tiny.eps_and_features(random(1, 4, 8, 8, dtype=torch.float32), 301)
    with pytest.raises(RuntimeError):
        tiny.eps_and_features(torch.zeros(1, 3, 8, 8), 301)
    assert not block._forward_hooks


def test_block_that_is_not_there(tiny):
    with pytest.raises(ValueError, match=r"^feature_block: -4; expected -3 to -1, as tiny has 3 up blocks$"):
        tiny.eps_and_features(torch.zeros(1, 4, 8, 8), 301, -4)


def test_gradients_reach_the_latent_only(tiny):
    z = random(1, 4, 8, 8, dtype=torch.float32).requires_grad_()
    eps, F = tiny.eps_and_features(z, 301)
    (eps.sum() + F.sum()).backward()
    assert z.grad.abs().sum() > 0
    assert all(p.grad is None for p in tiny.unet.parameters())


def test_fingerprint_is_of_the_weights_and_not_of_their_place(tiny, copy):
    assert load_model(copy, device="cpu").fingerprint == tiny.fingerprint


def test_fingerprint_tells_weights_apart(tiny, tiny64, tiny_folder, tmp_path):
    assert tiny.fingerprint == load_model(tiny_folder, device="cpu").fingerprint
    assert tiny.fingerprint != load_model(save_tiny(tmp_path / "other", seed=1), device="cpu").fingerprint


def test_the_preset_is_the_released_one_unless_the_folder_asks_for_another(tiny, copy):
    assert tiny.preset is Preset.released and load_model("storybook", device="cpu").preset is Preset.storybook
    (copy / "training.json").write_text('{"preset": "fast"}')
    model = load_model(copy, device="cpu")
    assert model.preset is Preset.fast and model.lora_lr == LORA_LR
    assert model.fingerprint == tiny.fingerprint  # the weights are the same, and so are their LoRAs


def test_the_lora_rate_is_the_released_one_unless_the_folder_asks_for_another(tiny, copy):
    assert tiny.lora_lr == LORA_LR == 5e-4
    (copy / "training.json").write_text('{"lora_lr": 0.002}')
    model = load_model(copy, device="cpu")
    assert model.lora_lr == 0.002
    assert model.fingerprint != tiny.fingerprint  # its edits come out differently
    for nothing in ("{}", "[1]", "null"):  # the last two: somebody else's file
        (copy / "training.json").write_text(nothing)
        assert load_model(copy, device="cpu").lora_lr == LORA_LR


@pytest.mark.parametrize(
    "card",
    ["{", '{"lora_lr": 0}', '{"lora_lr": true}', '{"lora_lr": "fast"}', '{"lora_lr": NaN}', '{"preset": "quick"}',
     '{"preset": null}', '{"preset": ["fast"]}'],
)  # fmt: skip
def test_a_lora_rate_or_a_preset_that_is_none(copy, card):
    (copy / "training.json").write_text(card)
    with pytest.raises(ValueError, match="^model: cannot read .*training.json"):
        load_model(copy, device="cpu")


def test_a_loaded_model_does_not_need_its_files(copy, tmp_path):
    """In a process of its own: reading a mapped file that has been cut off ends with a bus error."""
    code = ("import sys, torch; from pathlib import Path; from gooddrag.loading import load_model; "
            "model = load_model(sys.argv[1], device='cpu'); before = model.fingerprint; "
            "[file.write_bytes(b'') for file in Path(sys.argv[1]).rglob('*.safetensors')]; "
            "assert model.fingerprint == before; model.eps(torch.zeros(1, 4, 16, 16), 301); "
            "model.decode(torch.zeros(1, 4, 16, 16))")  # fmt: skip
    subprocess.run([sys.executable, "-c", code, str(copy)], check=True, timeout=280)


def test_another_vae(tiny, copy, tmp_path):
    other = save_tiny(tmp_path / "other", seed=1) / "vae"
    model = load_model(copy, device="cpu", vae=other)
    assert isinstance(model.vae, AutoencoderTiny)
    want = load_file(other / WEIGHTS)
    assert all(torch.equal(v, want[k]) for k, v in model.vae.state_dict().items())
    assert torch.equal(model.unet.conv_in.weight, tiny.unet.conv_in.weight)
    with pytest.raises(ValueError, match="^vae: '.*gone/vae' is neither a folder nor a Hub id"):
        load_model(copy, device="cpu", vae=tmp_path / "gone" / "vae")


@pytest.mark.parametrize("device", ["nonsense", "cpu:x", "meta2", 3.5, pytest.param("cuda", marks=pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is one here"))])  # fmt: skip
def test_a_device_that_is_not_here(copy, device):
    with pytest.raises(ValueError, match=f"^device: '{device}' .*; expected 'cpu', or 'cuda' where there is one$"):
        load_model(copy, device=device)


@pytest.mark.parametrize("dtype", ["float16", torch.int64, 16])
def test_a_dtype_that_is_none(copy, dtype):
    with pytest.raises(ValueError, match=f"^dtype: {dtype!r}; expected torch.float32"):
        load_model(copy, device="cpu", dtype=dtype)


def test_a_wish_of_the_environment_is_named_where_it_cannot_be_met(monkeypatch):
    monkeypatch.setenv("GOODDRAG_MODEL", "bogus")
    with pytest.raises(ValueError, match=r"^model: 'bogus', which \$GOODDRAG_MODEL asks for, is neither"):
        load_model()
    with pytest.raises(ValueError, match="^model: '' is neither"):
        load_model("")


# choosing


@pytest.fixture
def no_wish(monkeypatch):
    monkeypatch.delenv("GOODDRAG_MODEL", raising=False)


@pytest.mark.usefixtures("no_wish")
def test_auto_without_a_gpu(monkeypatch, tiny_folder):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(module, "STORYBOOK", tiny_folder)
    model = load_model()
    assert model.name == "storybook" and model.why == "storybook: no CUDA GPU here"
    assert model.device.type == "cpu" and model.dtype == torch.float32
    assert load_model("auto", device="cpu").why == "storybook: device cpu was asked for"


@pytest.mark.usefixtures("no_wish")
@pytest.mark.parametrize("free, want", [(4.0, "storybook"), (6.0, "sd15")])
def test_auto_on_a_gpu(monkeypatch, free, want):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: asked.append(gpu) or (int((free - 1) * 2**30), 2**34))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda gpu: 3 * 2**30)  # of which one is free to be had
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda gpu: 2 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: "A100")
    name, why = module.choose_model()
    assert name == want and f"{free:.1f} GiB free" in why
    assert module.choose_model("cuda:1")[0] == want and asked == [torch.device("cuda"), torch.device("cuda:1")]


def test_auto_takes_the_model_that_the_environment_names(monkeypatch, tiny_folder):
    monkeypatch.setenv("GOODDRAG_MODEL", str(tiny_folder))
    model = load_model("auto", device="cpu")
    assert model.name == str(tiny_folder) and "GOODDRAG_MODEL" in model.why
    assert load_model("storybook", device="cpu").name == "storybook"  # what is asked for by name is what one gets
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for nothing in ("auto", ""):
        monkeypatch.setenv("GOODDRAG_MODEL", nothing)
        assert module.choose_model() == ("storybook", "storybook: no CUDA GPU here")


# what cannot be loaded


@pytest.mark.parametrize("name", ["nosuch", "", "/no/such/folder", "./no/such", "a/b/c", "~/model"])
def test_unknown_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(name, "is neither 'storybook', 'sd15' or 'auto', nor a folder|is missing")


def test_folder_that_may_have_been_meant_as_a_hub_id(monkeypatch, tmp_path, tiny_folder):
    """A typing error in a relative path must not look like a trouble with the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("models/mine", r"^model: 'models/mine' is no folder here, and as a Hub id: cannot load models/mine/unet: ")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(tiny_folder)
    assert load_model("models/mine", device="cpu").why == "models/mine: asked for"
    refused("models/mine", "'some/vae' is no folder here, and as a Hub id: cannot load some/vae: ", vae="some/vae")


@pytest.mark.parametrize("part", ["unet", "vae", "scheduler"])
def test_part_missing(copy, part):
    shutil.rmtree(copy / part)
    refused(copy, rf"/{part} is missing; expected a folder in diffusers' layout with {part}/$")


def test_tokenizer_missing_beside_a_text_encoder(copy_sd):
    shutil.rmtree(copy_sd / "tokenizer")
    refused(copy_sd, "/tokenizer is missing")


def test_text_encoder_missing_that_the_model_names(copy_sd):
    """Without it the U-Net would be told nothing at all, and nobody would notice."""
    shutil.rmtree(copy_sd / "text_encoder")
    refused(copy_sd, "/text_encoder is missing")
    (copy_sd / "model_index.json").write_text("[]")
    refused(copy_sd, "^model: cannot read .*model_index.json")


def test_text_encoder_of_wrong_shape_or_without_config(copy_sd, capfd):
    config = copy_sd / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 64}))
    refused(copy_sd, "/text_encoder: its weights have other shapes than its config.json says$")
    config.unlink()
    refused(copy_sd, "^model: .*/text_encoder has no config.json$")
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_model_without_text_encoder_gets_a_zero_token(copy_sd):
    shutil.rmtree(copy_sd / "text_encoder")
    (copy_sd / "model_index.json").unlink()
    assert torch.equal(load_model(copy_sd, device="cpu").prompt, torch.zeros(1, 1, 32))


@pytest.mark.filterwarnings("ignore:It is deprecated:FutureWarning")  # what diffusers makes of []
@pytest.mark.parametrize("part", ["unet", "vae", "scheduler"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00"])
def test_corrupt_config(copy, part, content):
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    (copy / part / name).write_bytes(content)
    refused(copy, rf"^model: cannot load .*/{part}: .")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("keep", [0, 4, 1000, -100])
def test_truncated_weights(copy_sd, part, keep):
    file = next((copy_sd / part).glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:keep])
    refused(copy_sd, rf"^model: cannot load .*/{part}: .")


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_weights_file_missing(copy, part):
    (copy / part / WEIGHTS).unlink()
    refused(copy, rf"^model: .*/{part} has no \*.safetensors or \*.bin$")


@pytest.mark.parametrize(
    ("name", "needed"),
    [("vocab.json", "vocab.json or tokenizer.json"), ("merges.txt", "merges.txt or tokenizer.json")],
)
def test_tokenizer_file_missing(copy_sd, name, needed):
    (copy_sd / "tokenizer" / name).unlink()
    refused(copy_sd, rf"^model: .*/tokenizer has no {needed}$")


def test_weights_of_wrong_shape(copy):
    state = load_file(copy / "unet" / WEIGHTS)
    save_file(state | {"conv_in.weight": torch.zeros(8, 5, 3, 3)}, copy / "unet" / WEIGHTS, metadata={"format": "pt"})
    refused(copy, r"/unet: conv_in.weight expected shape \S*8, 4, 3, 3\S*, but got \S*8, 5, 3, 3\S*$")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_some_weights_missing(copy_sd, part):
    """diffusers and transformers would go on with random ones."""
    file = next((copy_sd / part).glob("*.safetensors"))
    state = load_file(file)
    gone = next(k for k in sorted(state) if k.endswith("bias"))
    save_file({k: v for k, v in state.items() if k != gone}, file, metadata={"format": "pt"})
    refused(copy_sd, rf"^model: cannot load .*/{part}: 1 weights are missing, .*{gone.split('.', 1)[1]} among them$")


def test_unet_and_vae_that_do_not_fit(copy):
    config = json.loads((copy / "unet" / "config.json").read_text())
    unet = UNet2DConditionModel.from_config({**config, "in_channels": 9})
    unet.save_pretrained(copy / "unet")
    refused(copy, "U-Net takes 9 channels; expected its VAE's 4")


def test_other_predictions_are_refused(copy):
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prediction_type": "v_prediction"}))
    refused(copy, "predicts 'v_prediction'; expected 'epsilon'$")


def test_contract_from_parts(tiny):
    model = DiffusionModel("mine", tiny.unet, tiny.vae, DDIMScheduler(**module.SD_DDIM), torch.ones(1, 3, 8))
    assert model.prompt.shape == (1, 3, 8) and model.why == "mine: asked for"


def test_a_vae_on_another_device_comes_to_the_latents_and_goes_back(tiny, monkeypatch):
    """Where there is no GPU, what is moved is only told."""
    moves = []

    class Parked(type(tiny.vae)):
        device = torch.device("meta")  # as it says

        def to(self, device):
            moves.append(torch.device(device).type)
            return self

    z = torch.zeros(1, 4, 8, 8)
    want = tiny.decode(z)
    monkeypatch.setattr(tiny.vae, "__class__", Parked)
    assert torch.equal(tiny.decode(z), want) and moves == ["cpu", "meta"]
