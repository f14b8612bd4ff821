"""One contract around any latent diffusion model of Stable Diffusion's shape: encode, decode, eps, features, levels."""

import hashlib
import json
import os
from contextlib import ExitStack
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from gooddrag.checkpoints import check_unet, first_line, read_config, read_file, read_repository
from gooddrag.ddim import Schedule, check_finite

STORYBOOK = Path(__file__).parents[1] / "storybook" / "weights"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
LORA_LR = 5e-4  # AdamW's rate for a single-image LoRA in the released code, made for Stable Diffusion's widths


class DiffusionModel:
    """A frozen latent diffusion model: the only thing that the algorithms know about a backbone.

    Args:
        name: what was asked for ("storybook", "sd15", a folder, a file or a Hub id).
        unet, vae: diffusers modules; they are put into eval mode, without gradients.
        scheduler: gives the noise schedule and the prediction type, "epsilon" or "v_prediction".
        prompt: (1, N, D) embedding of the empty prompt; None: one zero token, for a model without a text encoder.
        lora_lr: learning rate that suits a single-image LoRA on this U-Net; narrow ones need more than the released.
        preset: the settings (`DragConfig.preset(preset)`) of an edit that is given none.

    Attributes:
        why: one line on how the model was chosen.
        alphas_cumprod: (T_train,) float32.
        vae_scale: image pixels per latent cell, 8 for Stable Diffusion.
        native_size: short side, in pixels, above which images are scaled down to it.

    Raises:
        ValueError: the parts do not fit each other, or the U-Net needs more than a prompt.
    """

    def __init__(
        self,
        name: str,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL | AutoencoderTiny,
        scheduler: DDIMScheduler,
        prompt: Tensor | None = None,
        lora_lr: float = LORA_LR,
        preset: str = "released",
    ):
        check_unet(name, unet.config, vae.config.latent_channels)
        self.prediction_type = scheduler.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise ValueError(f"model: {name} predicts {self.prediction_type!r}; expected 'epsilon' or 'v_prediction'")
        self.name = name
        self.why = f"{name}: asked for"
        self.unet = unet.requires_grad_(False).eval()
        self.vae = vae.requires_grad_(False).eval()
        self.alphas_cumprod = scheduler.alphas_cumprod.to(unet.device, torch.float32)
        self.lora_lr = lora_lr
        self.preset = preset
        self.steps_offset = int(scheduler.config.steps_offset)
        tiny = isinstance(vae, AutoencoderTiny)
        levels = len(vae.config.decoder_block_out_channels if tiny else vae.config.block_out_channels)
        self.vae_scale = 2 ** (levels - 1)
        trained = (unet.config.sample_size or 64) * self.vae_scale
        self.native_size = trained if tiny else max(512, trained)  # no autoencoder of Stable Diffusion's needs less
        prompt = torch.zeros(1, 1, unet.config.cross_attention_dim) if prompt is None else prompt
        self.prompt = prompt.to(unet.device, unet.dtype)

    @property
    def label(self) -> str:
        """The name without the folders above it, for captions."""
        return Path(self.name).name

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def fingerprint(self) -> str:
        """A hash of what a LoRA's fit depends on: the U-Net's config, a sample of every weight, what it predicts, and
        `lora_lr` if it is not the released one. It is the same wherever the files are kept."""
        config = {k: v for k, v in self.unet.config.items() if k[0] != "_"}  # _name_or_path, _diffusers_version
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(sampled_weights(self.unet))
        for value, usual in ((self.lora_lr, LORA_LR), (self.prediction_type, "epsilon")):
            digest.update(repr(value).encode() if value != usual else b"")
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], sides divisible by `vae_scale` -> latents (B, C, H / vae_scale, W / vae_scale).

        The mean of the VAE's distribution, times its scaling factor. Latents are at least float32; a FloatingPointError
        says that they are not finite.
        """
        encoded = self.vae.encode(image.to(self.vae.device, self.vae.dtype))
        z = encoded.latents if isinstance(self.vae, AutoencoderTiny) else encoded.latent_dist.mode()
        z = (z * self.vae.config.scaling_factor).to(torch.promote_types(self.dtype, torch.float32))
        check_finite("encode", "t = 0", z_0=z)
        return z

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> (B, 3, H, W), about [-1, 1], in the latents' dtype."""
        return self.vae.decode((z / self.vae.config.scaling_factor).to(self.vae.dtype)).sample.to(z.dtype)

    def decode_image(self, z: Tensor) -> Tensor:
        """`decode`, as an image: (B, 3, H, W) in [0, 1]."""
        return (self.decode(z) / 2 + 0.5).clamp(0, 1)

    def schedule(self, num_steps: int) -> Schedule:
        """The levels of a DDIM run of `num_steps` steps on the time steps that this model was trained with."""
        return Schedule(self.alphas_cumprod, num_steps, self.steps_offset)

    def eps(self, z_t: Tensor, timestep: int | Tensor) -> Tensor:
        """eps_theta(z_t, t): noise prediction, shape and dtype of z_t. Gradients flow to z_t if it asks for them.

        A U-Net that predicts v = sqrt(abar_t) eps - sqrt(1 - abar_t) z_0 (Salimans and Ho, 2022) gives
        eps = sqrt(abar_t) v + sqrt(1 - abar_t) z_t.

        Args:
            z_t: (B, C, h, w).
            timestep: one for the whole batch, or (B,).
        """
        prompt = self.prompt.expand(z_t.shape[0], -1, -1)
        predicted = self.unet(z_t.to(self.dtype), timestep, encoder_hidden_states=prompt).sample.to(z_t.dtype)
        if self.prediction_type == "epsilon":
            return predicted
        alpha = self.alphas_cumprod[timestep].to(z_t.dtype).reshape(-1, 1, 1, 1)
        return alpha.sqrt() * predicted + (1 - alpha).sqrt() * z_t

    def eps_and_features(self, z_t: Tensor, timestep: int, *blocks: int) -> tuple[Tensor, ...]:
        """One forward pass: noise prediction, and the output of `unet.up_blocks[block]` as features (B, C', h', w') for
        each of the blocks, in order of execution; by default -2. ValueError: the U-Net has no such block."""
        n, seen = len(self.unet.up_blocks), []
        with ExitStack() as hooks:
            for block in blocks or (-2,):
                if block < -n:
                    raise ValueError(f"feature_block: {block}; expected {-n} to -1, as {self.label} has {n} up blocks")
                hook = self.unet.up_blocks[block].register_forward_hook(lambda module, args, F: seen.append(F))
                hooks.enter_context(hook)
            eps = self.eps(z_t, timestep)
        return eps, *(F.to(z_t.dtype) for F in seen)


def sampled_weights(module: nn.Module) -> bytes:
    """Some values of each of a module's weights, beside its name: what a hash is made of."""
    sampled = b""
    for name, weight in module.state_dict().items():
        flat = weight.detach().flatten()
        sampled += name.encode() + flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes()
    return sampled


def load_model(
    name: str | Path = "auto",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    vae: str | Path | None = None,
) -> DiffusionModel:
    """Load a model.

    Args:
        name: "storybook" (ships with the package), "sd15" (Stable Diffusion 1.5 from the Hub), a folder in diffusers'
            layout, a single .safetensors file of Stable Diffusion 1.x (of 2.x with its configs beside it), a Hub id, or
            "auto": $GOODDRAG_MODEL if it is set, else sd15 on a GPU with 6 GiB free, else storybook. A folder's
            training.json may hold what its LoRAs and edits run with by default: {"lora_lr": 0.0025, "preset": "fast"}.
        device: "cpu", "cuda", ...; None: the CUDA GPU if there is one. "mps" is untested.
        dtype: of the U-Net and the autoencoder; None: float16 on a CUDA GPU, float32 on a CPU and for storybook.
        vae: folder or Hub id of another autoencoder, for instance "stabilityai/sd-vae-ft-mse", which the released code
            uses.

    Raises:
        ValueError: unknown name, a part missing, damaged or not supported, a device that is not here or is full.
    """
    device = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    name, why = str(name), None
    if name == "auto":
        name, why = choose_model(device)
    if dtype is None:
        dtype = torch.float16 if device.startswith("cuda") and name != "storybook" else torch.float32
    elif not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype: {dtype!r}; expected torch.float32, float16, bfloat16 or float64")
    source = {"storybook": str(STORYBOOK), "sd15": SD15}.get(name, os.path.expanduser(name))
    read = read_file if os.path.isfile(source) else read_repository
    unet, autoencoder, scheduler, prompt = read(source, dtype, vae and os.path.expanduser(vae))
    settings = read_config(source, "", "training.json") if Path(source, "training.json").is_file() else {}
    try:
        unet, autoencoder = unet.to(device), autoencoder.to(device)
    except (RuntimeError, AssertionError) as error:  # torch was built without CUDA; another model is loaded; ...
        expected = f"expected 'cpu', or 'cuda' where there is one with memory for {name}"
        raise ValueError(f"device: {device!r} ({first_line(error)}); {expected}") from error
    by_default = settings.get("lora_lr", LORA_LR), settings.get("preset", "released")
    model = DiffusionModel(name, unet, autoencoder, scheduler, prompt, *by_default)
    model.why = why or model.why
    return model


def choose_model(device: str | torch.device | None = None) -> tuple[str, str]:
    """What "auto" stands for here: a name for `load_model`, and one line on why."""
    if (name := os.environ.get("GOODDRAG_MODEL", "auto")) != "auto" and name:
        return name, f"{name}: $GOODDRAG_MODEL asks for it"
    if not torch.cuda.is_available():
        return "storybook", "storybook: no CUDA GPU here"
    gpu = str(device or "cuda")
    if not gpu.startswith("cuda"):
        return "storybook", f"storybook: device {gpu} was asked for"
    free = torch.cuda.mem_get_info(gpu)[0] + torch.cuda.memory_reserved(gpu)  # a cell run again replaces its model
    if free < 6 * 2**30:  # for half precision
        return "storybook", f"storybook: {free / 2**30:.1f} GiB free on the GPU, Stable Diffusion 1.5 needs 6"
    return "sd15", f"sd15: {torch.cuda.get_device_name(gpu)} with {free / 2**30:.1f} GiB free"
