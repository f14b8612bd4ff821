"""Finding a model by its name and reading its parts: the embedded one, a folder in diffusers' layout, or the Hub."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import logging
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import Tensor, nn
from transformers.utils import logging as text_logging

from gooddrag.config import Preset
from gooddrag.devices import free_bytes
from gooddrag.model import LORA_LR, DiffusionModel

STORYBOOK = Path(__file__).parents[1] / "storybook" / "weights"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SD15_MIN_BYTES = 5 * 2**30  # free GPU memory from which "auto" picks Stable Diffusion 1.5 in half precision

# Stable Diffusion 1.5's own scheduler is PNDM; this is the DDIM of the released code.
SD_DDIM = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
               set_alpha_to_one=False, steps_offset=1)  # fmt: skip


def load_model(
    name: str | Path = "auto",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    vae: str | Path | None = None,
) -> DiffusionModel:
    """Load a model.

    Args:
        name: "storybook" (ships with the package), "sd15" (Stable Diffusion 1.5 from the Hub), a folder in diffusers'
            layout (unet/, vae/, scheduler/, tokenizer/ + text_encoder/ if it has a text encoder, and training.json if
            its LoRAs want a learning rate of their own, or its edits a preset: {"lora_lr": 0.0025, "preset": "fast"}),
            a Hub id, or "auto": $GOODDRAG_MODEL if it is set, else sd15 on a GPU with 5 GiB free, else storybook;
            `model.why` says which and why.
        device: "cpu", "cuda", ...; default: the GPU if there is one.
        dtype: torch dtype of the backbone; default float16 on a GPU for Stable Diffusion, else float32.
        vae: folder or Hub id of another VAE, for instance "stabilityai/sd-vae-ft-mse", which the released code uses.

    Raises:
        ValueError: unknown name, a part missing or unreadable, weights of the wrong shapes.
    """
    why, chosen = None, ""
    if device is not None:
        device = _device(device)
    if str(name) == "auto":
        name, why = choose_model(device)
        chosen = ", which $GOODDRAG_MODEL asks for," if "$GOODDRAG_MODEL" in why else ""
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = {"storybook": str(STORYBOOK), "sd15": SD15}.get(str(name), str(name))
    if not _may_be(source):
        raise ValueError(f"model: {str(name)!r}{chosen} is neither 'storybook', 'sd15' or 'auto', nor a folder, nor a "
                         "Hub id like 'owner/name'")  # fmt: skip
    if vae and not _may_be(str(vae)):
        raise ValueError(f"vae: {str(vae)!r} is neither a folder nor a Hub id like 'owner/name'")
    if dtype is None:
        dtype = torch.float16 if device.type == "cuda" and str(name) != "storybook" else torch.float32
    elif not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype: {dtype!r}; expected torch.float32, float16, bfloat16 or float64")

    unet = _part(UNet2DConditionModel, source, "unet", dtype=dtype)
    autoencoder = _vae(str(vae), "", dtype) if vae else _vae(source, "vae", dtype)
    model = DiffusionModel(
        str(name),
        _owned(unet.to(device)),
        _owned(autoencoder.to(device)),
        DDIMScheduler(**SD_DDIM) if source == SD15 else _scheduler(source),
        _empty_prompt(source, device, dtype),
        **_asked(Path(source, "training.json")),
    )
    from_hub = "" if Path(source).is_dir() else "; from the Hub, as there is no such folder here"
    model.why = why or model.why + from_hub
    return model


def _device(device: str | torch.device) -> torch.device:
    """A device that is here."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except Exception as error:  # torch raises a type for every reason
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"device: {str(device)!r} ({reason}); expected 'cpu', or 'cuda' where there is one") from error
    return found


def _may_be(source: str) -> bool:
    """Whether it is a folder here, or has the form of a Hub id."""
    hub_id = source.count("/") == 1 and not source.startswith((".", "/", "~"))
    return bool(source) and (Path(source).is_dir() or hub_id)


def choose_model(device: str | torch.device | None = None) -> tuple[str, str]:
    """What "auto" stands for here: a name for `load_model`, and one line on why."""
    if (name := os.environ.get("GOODDRAG_MODEL", "auto")) != "auto" and name:
        return name, f"{name}: $GOODDRAG_MODEL asks for it"
    if device is not None and torch.device(device).type != "cuda":
        return "storybook", f"storybook: device {device} was asked for"
    if not torch.cuda.is_available():
        return "storybook", "storybook: no CUDA GPU here"
    gpu = torch.device(device or "cuda")
    free = free_bytes(gpu)
    if free < SD15_MIN_BYTES:
        return "storybook", f"storybook: {free / 2**30:.1f} GiB free on the GPU, Stable Diffusion 1.5 needs 5"
    return "sd15", f"sd15: {torch.cuda.get_device_name(gpu)} with {free / 2**30:.1f} GiB free"


def _part(cls, source: str, subfolder: str, **kwargs):
    """One part of a model folder or Hub repository, every failure as one clear ValueError."""
    where = f"{source}/{subfolder}" if subfolder else source
    local = Path(source).is_dir()
    if local and not Path(where).is_dir():
        raise ValueError(f"model: {where} is missing; expected a folder in diffusers' layout with {subfolder}/")
    if local and (missing := [files for files in _needed(cls) if not any([*Path(where).glob(f)] for f in files)]):
        raise ValueError(f"model: {where} has no {' and no '.join(map(' or '.join, missing))}")
    try:
        with _quiet(local):
            if not issubclass(cls, nn.Module):
                return cls.from_pretrained(source, subfolder=subfolder or None, **kwargs)
            part, info = cls.from_pretrained(source, subfolder=subfolder or None, output_loading_info=True, **kwargs)
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} among them")
        return part
    except Exception as error:
        # diffusers, transformers, safetensors and the Hub client raise a dozen types here; all mean the same to a user.
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        # diffusers, on how to load such weights all the same
        reason = re.sub(r"Cannot load\s+because (.*?)\. If you want .*", r"\1", reason)
        if reason.startswith("You set `ignore_mismatched_sizes`"):  # transformers, of a report that went to its log
            reason = "its weights have other shapes than its config.json says"
        if any(isinstance(cause, (LocalEntryNotFoundError, OfflineModeIsEnabled)) for cause in _causes(error)):
            reason = "it was not downloaded before, and the Hub cannot be reached (no network, or offline mode)"
        reading = "" if local else f"{source!r} is no folder here, and as a Hub id: "  # "models/mine" may mean either
        raise ValueError(f"model: {reading}cannot load {where}: {reason}") from error


def _needed(cls) -> list[tuple[str, ...]]:
    """The files of a part in a folder, each as the names that it may have."""
    if issubclass(cls, nn.Module):
        return [("config.json",), ("*.safetensors", "*.bin")]
    if issubclass(cls, DDIMScheduler):
        return [("scheduler_config.json",)]
    return [("vocab.json", "tokenizer.json"), ("merges.txt", "tokenizer.json")]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _owned(module: nn.Module) -> nn.Module:
    """The module with weights of its own: as loaded on a CPU they are the file itself, mapped into memory, and whoever
    overwrites that file would kill the process.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()
    return module


@contextmanager
def _quiet(local: bool) -> Iterator[None]:
    """diffusers' loading notes concern its own file formats; what concerns a user is raised above.

    transformers' bar goes with them where nothing is downloaded: it lasts a moment.
    """
    verbosity, text_verbosity = logging.get_verbosity(), text_logging.get_verbosity()
    bar = local and text_logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    text_logging.set_verbosity(text_logging.CRITICAL)
    if bar:
        text_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The `local_dir_use_symlinks` argument")  # diffusers to the Hub's client
            yield
    finally:
        logging.set_verbosity(verbosity)
        text_logging.set_verbosity(text_verbosity)
        if bar:
            text_logging.enable_progress_bar()


def _vae(source: str, subfolder: str, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
    try:
        with _quiet(Path(source).is_dir()):
            kind = AutoencoderKL.load_config(source, subfolder=subfolder or None).get("_class_name")
    except Exception:  # whatever is wrong with it, loading says so
        kind = None
    return _part(AutoencoderTiny if kind == "AutoencoderTiny" else AutoencoderKL, source, subfolder, dtype=dtype)


def _scheduler(source: str) -> DDIMScheduler:
    """DDIM on the model's own noise schedule; what decides the algorithm is as in the released code."""
    scheduler = _part(DDIMScheduler, source, "scheduler")
    return DDIMScheduler.from_config(scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


def _asked(card: Path) -> dict[str, Any]:
    """The LoRA's learning rate and the preset that a model's own folder asks for, or the released ones; a file of that
    name that is something else asks for nothing."""
    if not card.is_file():
        return {}
    try:
        asked = json.loads(card.read_text(encoding="utf-8"))
        asked = asked if isinstance(asked, dict) else {}
        rate, preset = asked.get("lora_lr", LORA_LR), asked.get("preset", Preset.released)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise ValueError(f"lora_lr is {rate!r}; expected a number above 0, at most 1")
        if preset not in list(Preset):
            raise ValueError(f"preset is {preset!r}; expected one of {', '.join(Preset)}")
    except (OSError, ValueError) as error:
        raise ValueError(f"model: cannot read {card}: {error}") from error
    return {"lora_lr": float(rate), "preset": Preset(preset)}


def _has_text_encoder(source: str) -> bool:
    """Whether a folder's table of contents, if it has one, says that a text encoder belongs to it."""
    contents = Path(source, "model_index.json")
    if not contents.is_file():
        return False
    try:
        return bool((json.loads(contents.read_text(encoding="utf-8")).get("text_encoder") or [None])[0])
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"model: cannot read {contents}: {error}") from error


@torch.no_grad()
def _empty_prompt(source: str, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """The text embedding of "", padded to the tokenizer's 77 tokens; None for a local model without text encoder."""
    if Path(source).is_dir() and not Path(source, "text_encoder").is_dir() and not _has_text_encoder(source):
        return None
    from transformers import CLIPTextModel, CLIPTokenizer  # slow to import, and storybook needs neither

    tokenizer = _part(CLIPTokenizer, source, "tokenizer")
    encoder = _part(CLIPTextModel, source, "text_encoder").to(device, dtype).eval()
    tokens = tokenizer("", padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return encoder(tokens.input_ids.to(device))[0]
