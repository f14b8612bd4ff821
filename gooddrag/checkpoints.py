"""A model's parts as they are stored: folders in diffusers' layout, the Hub and its cache, single checkpoint files.

Configs are read first, so that a model which is not supported is refused before its weights are read.
"""

import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.utils import logging as text_logging

Parts = tuple[UNet2DConditionModel, AutoencoderKL | AutoencoderTiny, DDIMScheduler, Tensor | None]

# What the released code sets, whatever a model's own config says.
RELEASED_DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
SD_DDIM = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", **RELEASED_DDIM}
# The configs of Stable Diffusion 1.x and 2.x, which single files leave unsaid, by the width of their prompts.
SD_UNET = {
    768: {"sample_size": 64, "cross_attention_dim": 768},
    1024: {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
}
SD_TEXT = {width: {"hidden_size": width, "intermediate_size": 4 * width} for width in SD_UNET}
SD_TEXT[768] |= {"num_attention_heads": 12, "num_hidden_layers": 12}
SD_TEXT[1024] |= {"num_attention_heads": 16, "num_hidden_layers": 23, "hidden_act": "gelu"}
SD_VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}
SD_VAE |= {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
# What diffusers, transformers, safetensors, torch and the Hub's client raise where files are missing or damaged.
UNREADABLE = (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, EOFError)
UNREADABLE += (ArithmeticError, re.error, SafetensorError, UnpicklingError)
UNREADABLE += tuple(
    import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name)
)  # by the Hub client's age


def first_line(error: BaseException) -> str:
    """The first line of an error's text, the first two where it ends with a colon, or its type where it has none."""
    if isinstance(error, UnpicklingError):  # whose text recommends to run what is in the file
        return "it does not hold tensors alone"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def check_unet(name: str, unet: dict, latent_channels: int | None = None, text_width: int | None = None) -> None:
    """Refuse a U-Net by its config, if it needs more than a latent, a time step and a prompt, or others than these.

    Raises:
        ValueError: says what the U-Net needs; `name` is the model's.
    """
    wanted = "is not supported; expected one that takes a prompt alone, as those of Stable Diffusion 1.x and 2.x do"
    channels, width = unet.get("in_channels", 4), unet.get("cross_attention_dim", 1280)
    if unet.get("addition_embed_type") == "text_time":
        raise ValueError(f"model: {name}: SDXL is not supported; its U-Net {wanted}")
    for key in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(key) is not None:
            raise ValueError(f"model: {name}: a U-Net with {key} {unet[key]!r} {wanted}")
    if latent_channels not in (None, channels):  # inpainting, instructions, upscaling
        raise ValueError(f"model: {name}: a U-Net of {channels} channels {wanted}, and latents of {latent_channels}")
    if not isinstance(width, int) or text_width not in (None, width):
        raise ValueError(f"model: {name}: a U-Net for prompts of width {width} {wanted}, here of width {text_width}")


def read_repository(name: str, source: str, dtype: torch.dtype, vae: str | None = None) -> Parts:
    """U-Net, autoencoder, scheduler and (1, 77, D) embedding of the empty prompt, from a folder or a Hub id `source`.

    What is stored in half precision alone (fp16) is read too. `vae` is another autoencoder's folder or Hub id. The
    prompt is None for a model without a text encoder.

    Raises:
        ValueError: names the part that is missing, damaged or not supported.
    """
    unet = read_config(source, "unet")
    check_unet(name, unet)
    has_text = Path(source, "text_encoder").is_dir()
    if not Path(source).is_dir() or Path(source, "model_index.json").is_file():
        has_text |= bool((read_config(source, "", "model_index.json").get("text_encoder") or [None])[0])
    text_width = read_config(source, "text_encoder").get("hidden_size") if has_text else None
    where, part = (vae, "") if vae else (source, "vae")
    check_unet(name, unet, read_config(where, part).get("latent_channels", 4), text_width)
    scheduler = _scheduler(name, read_config(source, "scheduler", "scheduler_config.json"))
    prompt = _empty_prompt(source, dtype) if has_text else None
    return _part(UNet2DConditionModel, source, "unet", dtype=dtype), _vae(where, part, dtype), scheduler, prompt


def read_file(name: str, source: str, dtype: torch.dtype, vae: str | None = None) -> Parts:
    """The parts from one .safetensors file in the original layout of Stable Diffusion 1.x or 2.x.

    Such a file does not hold its configs. They are those of 1.x or 2.x, by the width of its prompts, unless they lie
    beside it in diffusers' layout (unet/config.json, ...), as in repositories that hold both. 2.x is taken to predict
    v, unless the file's metadata (modelspec.prediction_type) or a .yaml of its name says otherwise.

    Raises:
        ValueError: another kind of file, damaged or not supported.
    """
    file = Path(source)
    if file.suffix != ".safetensors":
        raise ValueError(f"model: {name}: a {file.suffix} file may hold code and is not read; expected .safetensors")
    with reading(name), safe_open(file, "pt") as opened:
        declared = (opened.metadata() or {}).get("modelspec.prediction_type")
        shapes = {key: opened.get_slice(key).get_shape() for key in opened.keys()}
        if (card := file.with_suffix(".yaml")).is_file():
            declared = "v" if re.search(r"parameterization:\W*v", card.read_text(encoding="utf-8")) else "epsilon"
    prefix = single_file_utils.LDM_UNET_KEY
    if (conv_in := shapes.get(f"{prefix}input_blocks.0.0.weight")) is None:
        raise ValueError(f"model: {name} is no checkpoint of Stable Diffusion: it holds no {prefix}...")
    if f"{prefix}label_emb.0.0.weight" in shapes:
        check_unet(name, {"addition_embed_type": "text_time"})
    width = next((shape[1] for key, shape in shapes.items() if key.endswith("attn2.to_k.weight")), None)
    is_v = declared.startswith("v") if declared else width == 1024
    configs = {"unet": SD_UNET.get(width), "vae": SD_VAE, "text_encoder": SD_TEXT.get(width)}
    configs["scheduler"] = SD_DDIM | {"prediction_type": "v_prediction" if is_v else "epsilon"}
    for part in configs:
        config = "scheduler_config.json" if part == "scheduler" else "config.json"
        if Path(file.parent, part, config).is_file():
            configs[part] = read_config(str(file.parent), part, config)
    unet, own_vae, text, scheduler = configs.values()
    if unet is None or text is None:
        known = (
            "768 (Stable Diffusion 1.x), 1024 (2.x), or unet/config.json and text_encoder/config.json beside the file"
        )
        raise ValueError(f"model: {name} takes prompts of width {width}; expected {known}")
    unet = {"sample_size": 96 if is_v and width == 1024 else 64, **unet, "in_channels": conv_in[1]}
    check_unet(name, unet, own_vae.get("latent_channels", 4), text.get("hidden_size"))
    scheduler = _scheduler(name, scheduler)
    autoencoder = _vae(vae, "", dtype) if vae else None
    with reading(name):
        with init_empty_weights():
            net, empty_vae = UNet2DConditionModel.from_config(unet), AutoencoderKL.from_config(own_vae)
        weights = load_file(file)
        _fill(net, single_file_utils.convert_ldm_unet_checkpoint(weights, unet), dtype)
        if not vae:
            _fill(empty_vae, single_file_utils.convert_ldm_vae_checkpoint(weights, empty_vae.config), dtype)
        return net, autoencoder or empty_vae, scheduler, _file_prompt(weights, text, dtype)


@contextmanager
def reading(where: str, source: str = ".") -> Iterator[None]:
    """Whatever fails inside becomes one line that names `where`; the libraries' own notes are not shown."""
    level, bar = logging.root.manager.disable, text_logging.is_progress_bar_enabled()
    logging.disable(logging.CRITICAL)
    text_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The `local_dir_use_symlinks` argument")  # from diffusers to the Hub
            yield
    except UNREADABLE as error:
        as_id = "" if Path(source).is_dir() else f"{source!r} is no folder here, and as a Hub id: "
        raise ValueError(f"model: {as_id}cannot read {where}: {first_line(error)}") from error
    finally:
        logging.disable(level)
        if bar:
            text_logging.enable_progress_bar()


def read_config(source: str, part: str, file: str = "config.json") -> dict:
    """A part's config, from a folder or the Hub."""
    inside = f"{part}/{file}" if part else file
    with reading(f"{source}/{inside}", source):
        path = Path(source, inside) if Path(source).is_dir() else Path(hf_hub_download(source, inside))
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
    return config


def _part(cls, source: str, part: str, **options):
    """One part with all its weights, in half precision where nothing else is there."""
    with reading(f"{source}/{part}" if part else source, source):
        options |= {"subfolder": part or None}
        if not issubclass(cls, nn.Module):
            return cls.from_pretrained(source, **options)
        try:
            module, info = cls.from_pretrained(source, output_loading_info=True, **options)
        except OSError as error:
            try:
                module, info = cls.from_pretrained(source, output_loading_info=True, variant="fp16", **options)
            except OSError:
                raise error from None
        _check_complete(module, info["missing_keys"])
        return module


def _vae(source: str, part: str, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
    is_tiny = read_config(source, part).get("_class_name") == "AutoencoderTiny"
    return _part(AutoencoderTiny if is_tiny else AutoencoderKL, source, part, dtype=dtype)


def _check_complete(module: nn.Module, missing: list[str]) -> None:
    """Libraries go on with random weights."""
    if missing:
        raise ValueError(f"{len(missing)} weights of {type(module).__name__} are missing, {min(missing)} among them")


def _fill(module: nn.Module, weights: dict[str, Tensor], dtype: torch.dtype) -> None:
    weights = {key: value.to(dtype) for key, value in weights.items()}
    _check_complete(module, module.load_state_dict(weights, strict=False, assign=True).missing_keys)


def _scheduler(name: str, config: dict) -> DDIMScheduler:
    """DDIM on the model's own noise schedule; what decides the algorithm is as in the released code."""
    with reading(f"{name}'s scheduler"):
        return DDIMScheduler.from_config(config, **RELEASED_DDIM)


@torch.no_grad()
def _empty_prompt(source: str, dtype: torch.dtype) -> Tensor:
    """The text embedding of "", padded to the tokenizer's 77 tokens."""
    from transformers import CLIPTextModel, CLIPTokenizer  # slow to import, and storybook needs neither

    tokenizer = _part(CLIPTokenizer, source, "tokenizer")
    if len(tokenizer) <= 2:  # what transformers makes of missing files
        raise ValueError(f"model: {source}/tokenizer holds no vocabulary; expected vocab.json and merges.txt")
    encoder = _part(CLIPTextModel, source, "text_encoder").to(torch.promote_types(dtype, torch.float32)).eval()
    return encoder(tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids)[0]


@torch.no_grad()
def _file_prompt(weights: dict[str, Tensor], config: dict, dtype: torch.dtype) -> Tensor:
    """The same from a single file, whose text encoder is CLIP (1.x) or OpenCLIP (2.x); they pad differently."""
    from transformers import CLIPTextConfig, CLIPTextModel

    with init_empty_weights():
        encoder = CLIPTextModel(CLIPTextConfig(**config))
    state, end = single_file_utils.convert_ldm_clip_checkpoint(weights), encoder.config.vocab_size - 1
    padding = end
    if not state:
        state, padding = single_file_utils.convert_open_clip_checkpoint(encoder, weights), 0
    if not hasattr(encoder, "text_model"):  # transformers from 5.6 on
        state = {key.removeprefix("text_model."): value for key, value in state.items()}
    _fill(encoder, state, torch.promote_types(dtype, torch.float32))
    return encoder.eval()(torch.tensor([[end - 1, end, *[padding] * 75]]))[0]
