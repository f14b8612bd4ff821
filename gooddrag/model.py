"""One contract around any latent diffusion model of Stable Diffusion's shape: encode, decode, eps, features, levels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from gooddrag.config import Preset
from gooddrag.ddim import Schedule, check_finite

LORA_LR = 5e-4  # AdamW's rate for a single-image LoRA in the released code, made for Stable Diffusion's widths


class DiffusionModel:
    """A frozen latent diffusion model: the only thing that the algorithms know about a backbone.

    Attributes:
        name: what was asked for ("storybook", "sd15", a folder or a Hub id).
        unet, vae: diffusers modules, in eval mode, without gradients.
        why: one line on how it was chosen.
        prompt: (1, N, D) embedding of the empty prompt; one zero token for a model without a text encoder.
        alphas_cumprod: (T_train,) float32.
        vae_scale: image pixels per latent cell, 8 for Stable Diffusion, 4 for storybook.
        native_size: short side, in pixels, above which images are scaled down to it.
        lora_lr: learning rate that suits a single-image LoRA on this U-Net: narrow ones need more than the released
            5e-4, as the same step is a smaller share of their larger weights.
        preset: the settings that an edit by this model runs with when none are given: the released ones, unless the
            model's folder asks for others.
    """

    def __init__(
        self,
        name: str,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL | AutoencoderTiny,
        scheduler: DDIMScheduler,
        prompt: Tensor | None = None,
        lora_lr: float = LORA_LR,
        preset: Preset = Preset.released,
    ):
        if scheduler.config.prediction_type != "epsilon":
            raise ValueError(f"model: {name} predicts {scheduler.config.prediction_type!r}; expected 'epsilon'")
        if vae.config.latent_channels != unet.config.in_channels:
            raise ValueError(f"model: {name}'s U-Net takes {unet.config.in_channels} channels; expected its VAE's "
                             f"{vae.config.latent_channels} (inpainting models do not fit)")  # fmt: skip
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
        # A folder says the size that it was trained at; no KL autoencoder of Stable Diffusion's needs less than 512.
        trained = int(unet.config.sample_size or 64) * self.vae_scale
        self.native_size = trained if tiny else max(512, trained)
        if prompt is None:
            prompt = torch.zeros(1, 1, unet.config.cross_attention_dim)
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
        """A hash of the architecture, a sample of every weight, and `lora_lr` if it is not the released one; the same
        wherever the files are kept."""
        config = {k: v for k, v in self.unet.config.items() if k[0] != "_"}  # _name_or_path, _diffusers_version
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        for name, weight in self.unet.state_dict().items():
            flat = weight.detach().flatten()
            picked = flat[:: max(1, flat.numel() // 64)].float().cpu().numpy()
            digest.update(name.encode() + picked.tobytes())
        if self.lora_lr != LORA_LR:
            digest.update(repr(self.lora_lr).encode())
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], sides divisible by `vae_scale` -> latents (B, C, H / vae_scale, W / vae_scale).

        The mean of the VAE's distribution, times its scaling factor. Latents are at least float32.

        Raises:
            ValueError: other sides. FloatingPointError: a latent is not finite.
        """
        if image.shape[-2] % self.vae_scale or image.shape[-1] % self.vae_scale:
            raise ValueError(f"image: sides {tuple(image.shape[-2:])}; expected multiples of {self.vae_scale}")
        encoded = self.vae.encode(image.to(self.vae.device, self.vae.dtype))
        z = encoded.latents if isinstance(self.vae, AutoencoderTiny) else encoded.latent_dist.mode()
        z = (z * self.vae.config.scaling_factor).to(torch.promote_types(self.dtype, torch.float32))
        check_finite("encode", "t = 0", z_0=z)
        return z

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> (B, 3, H, W), about [-1, 1], in the latents' dtype. A VAE that waits on another
        device (see `gooddrag.memory`) comes to the latents for the call.
        """
        home = self.vae.device
        if home != z.device:
            self.vae.to(z.device)
        try:
            return self.vae.decode((z / self.vae.config.scaling_factor).to(self.vae.dtype)).sample.to(z.dtype)
        finally:
            if home != z.device:
                self.vae.to(home)

    def decode_image(self, z: Tensor) -> Tensor:
        """`decode`, as an image: (B, 3, H, W) in [0, 1]."""
        return (self.decode(z) / 2 + 0.5).clamp(0, 1)

    def schedule(self, num_steps: int) -> Schedule:
        """The levels of a DDIM run of `num_steps` steps on the time steps that this model was trained with.

        Raises:
            ValueError: fewer than 1, or more than those.
        """
        return Schedule(self.alphas_cumprod, num_steps, self.steps_offset)

    def eps(self, z_t: Tensor, timestep: int) -> Tensor:
        """eps_theta(z_t, t): noise prediction, shape and dtype of z_t. Gradients flow to z_t if it asks for them."""
        prompt = self.prompt.expand(z_t.shape[0], -1, -1)
        return self.unet(z_t.to(self.dtype), timestep, encoder_hidden_states=prompt).sample.to(z_t.dtype)

    def eps_and_features(self, z_t: Tensor, timestep: int, block: int = -2) -> tuple[Tensor, Tensor]:
        """One forward pass: noise prediction, and the output of `unet.up_blocks[block]` as features (B, C', h', w').

        Raises:
            ValueError: the U-Net has no such block.
        """
        n = len(self.unet.up_blocks)
        if not -n <= block < n:
            raise ValueError(f"feature_block: {block}; expected {-n} to -1, as {self.label} has {n} up blocks")
        seen: list[Tensor] = []
        hook = self.unet.up_blocks[block].register_forward_hook(lambda module, args, output: seen.append(output))
        try:
            eps = self.eps(z_t, timestep)
        finally:
            hook.remove()
        return eps, seen[0].to(z_t.dtype)
