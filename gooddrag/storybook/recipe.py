"""What is trained and how: every number of the training, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from gooddrag.config import Preset


@dataclass(frozen=True)
class Recipe:
    """The settings of a training. Those marked (*) decide which pictures are drawn, or the shape of the weights.

    Defaults were chosen by measurement on two cores with bf16 matrix units.
    """

    # pictures
    size: int = 128  # (*) px; latents are a quarter of it
    shard: int = 512  # (*) pictures per file
    photos: int = 16  # (*) photo crops among them, 3 %: with 10 %, a quarter of what the model dreamt was texture
    first_shards: int = 8  # before the training starts
    grow_shards: int = 8  # drawn at a time
    max_shards: int = 400  # 200,000 pictures, 10 GB
    pictures_per_sample: float = 0.12  # so a latent is seen about four times: to make one costs a sixth of a sample

    # autoencoder
    ae_channels: int = 32  # (*)
    ae_blocks: tuple[int, ...] = (1, 3, 3)  # (*) per level of the encoder; the decoder has them in reverse
    ae_batch: int = 16
    ae_crop: int = 64  # px; local statistics are all that it learns
    ae_lr: float = 2e-3
    ae_photo_share: float = 0.3  # more than the U-Net's: it must also carry a user's photo
    ae_square: float = 4.0  # weight of the squared error: eyes and outlines are small, and L1 may give them up
    latent_noise: float = 0.05  # latents that bear a little noise are smooth

    # U-Net
    channels: tuple[int, ...] = (64, 128, 256)  # (*) the last level is nearly free, and sees the whole picture
    layers_per_block: int = 1  # (*)
    batch: int = 16  # early on, steps count more than samples: 32 needed as many steps
    lr: float = 6e-4
    warmup: int = 200  # steps
    weight_decay: float = 0.01
    min_snr: float = 5.0  # Hang et al. 2023
    ema_power: float = 16.0  # the average's lag is 1 / (power + 2) of the training so far (Karras et al. 2024)

    # what comes with the weights
    lora_lr: float = 2.5e-3  # of single-image LoRAs on them: the released 5e-4 times 320 / 64, the widths' ratio
    preset: str = Preset.storybook.value  # of edits by them, when no settings are given

    # bookkeeping
    eval_pages: int = 64
    eval_photos: int = 32
    eval_every: int = 500  # steps of the U-Net; twice as many of the autoencoder's
    save_seconds: float = 180.0

    def autocast(self) -> torch.autocast:
        """bf16 where the CPU computes in it; elsewhere everything stays float32."""
        return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def autoencoder(self) -> AutoencoderTiny:
        channels = (self.ae_channels,) * len(self.ae_blocks)
        return AutoencoderTiny(
            encoder_block_out_channels=channels,
            decoder_block_out_channels=channels,
            num_encoder_blocks=self.ae_blocks,
            num_decoder_blocks=self.ae_blocks[::-1],
        )

    def unet(self) -> UNet2DConditionModel:
        """Stable Diffusion's layout with three levels: attention at 1/2 and 1/4 of the latent's side."""
        return UNet2DConditionModel(
            sample_size=self.size // 4,
            in_channels=4,
            out_channels=4,
            layers_per_block=self.layers_per_block,
            block_out_channels=self.channels,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=self.channels[0],
            attention_head_dim=tuple(max(1, c // 32) for c in self.channels),  # diffusers means the number of heads
            norm_num_groups=16,
        )
