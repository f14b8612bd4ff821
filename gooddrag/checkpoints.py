"""A model's parts as they are stored: folders in diffusers' layout, the Hub and its cache, single checkpoint files."""

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
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.utils import logging as part_logging
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers.utils import logging as text_logging

Parts = tuple[UNet2DConditionModel, AutoencoderKL | AutoencoderTiny, DDIMScheduler, Tensor | None]

# What the released code sets, whatever a model's own config says.
RELEASED_DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
SD_DDIM = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", **RELEASED_DDIM}

# What diffusers, transformers, safetensors, torch and the Hub's client raise where files are missing or damaged.
UNREADABLE = (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError)
UNREADABLE += (re.error, SafetensorError, SingleFileComponentError, UnpicklingError)
UNREADABLE += tuple(import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name))


def first_line(error: BaseException) -> str:
    """The first line of an error's text, the first two where it ends with a colon, or its type where it has none."""
    if isinstance(error, UnpicklingError):  # whose text recommends to run what is in the file
        return "it does not hold tensors alone"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def check_unet(name: str, unet: dict, latent_channels: int) -> None:
    """Refuse a U-Net by its config, with a ValueError, if it needs more than a latent, a time step and a prompt."""
    wanted = "is not supported; expected Stable Diffusion 1.x or 2.x, not SDXL, an inpainting model or others"
    for key in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(key) is not None:
            raise ValueError(f"model: {name}: a U-Net with {key} {unet[key]!r} {wanted}")
    if (channels := unet.get("in_channels", 4)) != latent_channels:
        raise ValueError(f"model: {name}: a U-Net of {channels} channels, with latents of {latent_channels}, {wanted}")


def read_repository(source: str, dtype: torch.dtype, vae: str | None = None) -> Parts:
    """U-Net, autoencoder, scheduler and (1, 77, D) embedding of the empty prompt, from a folder or a Hub id `source`.

    What is stored in half precision alone (fp16) is read too. `vae` is another autoencoder's folder or Hub id. The
    prompt is None for a folder without a text encoder and a model_index.json, as the storybook's.

    Raises:
        ValueError: names the part that is missing, damaged or not supported.
    """
    where, part = (vae, "") if vae else (source, "vae")
    latent_channels = read_config(where, part).get("latent_channels", 4)
    check_unet(source, read_config(source, "unet"), latent_channels)  # before its weights are read
    folder = Path(source)
    has_text = any((folder / file).exists() for file in ("text_encoder", "model_index.json")) or not folder.is_dir()
    prompt = _repository_prompt(source, dtype) if has_text else None
    scheduler = _part(DDIMScheduler, source, "scheduler", **RELEASED_DDIM)
    return _part(UNet2DConditionModel, source, "unet", dtype=dtype), _vae(where, part, dtype), scheduler, prompt


def read_file(source: str, dtype: torch.dtype, vae: str | None = None) -> Parts:
    """The parts from one .safetensors file in the original layout of Stable Diffusion 1.x or 2.x, by diffusers.

    Such a file does not hold its configs. They are read from the folder it lies in, if that is in diffusers' layout
    (model_index.json, unet/config.json, tokenizer/, ...), and else, of 1.x, from the Hub.

    Raises:
        ValueError: another kind of file, damaged or not supported.
    """
    file = Path(source)
    if file.suffix != ".safetensors":
        raise ValueError(f"model: {source}: a {file.suffix} file may hold code and is not read; expected .safetensors")
    exact = torch.promote_types(dtype, torch.float32)  # in which the prompt is computed
    given = {"torch_dtype": exact, "safety_checker": None, "feature_extractor": None}
    given |= {"vae": _vae(vae, "", exact)} if vae else {}
    beside = str(file.parent) if (file.parent / "model_index.json").is_file() else None
    with reading(source if beside else f"{source}, or its configs, which are not beside it, on the Hub"):
        from diffusers import StableDiffusionPipeline  # slow to import, and not silent

        parts = StableDiffusionPipeline.from_single_file(source, config=beside, **given)
        scheduler = DDIMScheduler.from_config(parts.scheduler.config, **RELEASED_DDIM)
        prompt = _empty_prompt(parts.tokenizer, parts.text_encoder)
        return parts.unet.to(dtype), parts.vae.to(dtype), scheduler, prompt


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries' own notes are not shown; their bars of loading stay off from here on."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    text_logging.disable_progress_bar()
    part_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def reading(where: str, source: str = ".") -> Iterator[None]:
    """Whatever fails inside becomes one line that names `where`."""
    try:
        with quiet():
            yield
    except UNREADABLE as error:
        names = "neither 'storybook' nor 'sd15'; it is no folder here, and as a Hub id"
        as_id = "" if Path(source).is_dir() else f"{source!r} is {names}: "
        raise ValueError(f"model: {as_id}cannot read {where}: {first_line(error)}") from error


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
        if missing := info["missing_keys"]:  # the libraries go on with random weights
            raise ValueError(f"{len(missing)} weights are missing, {min(missing)} among them")
        return module


def _vae(source: str, part: str, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
    is_tiny = read_config(source, part).get("_class_name") == "AutoencoderTiny"
    return _part(AutoencoderTiny if is_tiny else AutoencoderKL, source, part, dtype=dtype)


@torch.no_grad()
def _empty_prompt(tokenizer, encoder) -> Tensor:
    """The text embedding of "", padded to the tokenizer's 77 tokens."""
    return encoder.eval()(tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids)[0]


def _repository_prompt(source: str, dtype: torch.dtype) -> Tensor:
    from transformers import CLIPTextModel, CLIPTokenizer  # slow to import, and storybook needs neither

    tokenizer = _part(CLIPTokenizer, source, "tokenizer")
    if len(tokenizer) <= 2:  # what transformers makes of missing files
        raise ValueError(f"model: {source}/tokenizer holds no vocabulary; expected vocab.json and merges.txt")
    encoder = _part(CLIPTextModel, source, "text_encoder").to(torch.promote_types(dtype, torch.float32))
    return _empty_prompt(tokenizer, encoder)
