"""Latent-MasaCtrl (Sec. 5.1): the edited image looks at the original one while it is denoised.

Mutual self-attention (Cao et al., ICCV 2023) denoises both in one batch, whose late self-attentions take keys and
values from the source alone. The source is then unchanged: here it has a pass of its own, which is made once and kept.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

SD_BLOCKS = 16  # transformer blocks of Stable Diffusion 1.x and 2.x: the paper's "10th layer" is counted on these


def transformer_blocks(unet: UNet2DConditionModel) -> list[BasicTransformerBlock]:
    """The transformer blocks in order of execution: down, mid, up (`unet.attn_processors` lists mid last)."""
    stages = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    transformers = [t for stage in stages for t in getattr(stage, "attentions", ())]
    return [block for t in transformers for block in getattr(t, "transformer_blocks", ())]


def late_blocks(unet: UNet2DConditionModel, start: int = 10) -> list[BasicTransformerBlock]:
    """The transformer blocks from the `start`-th on, 0 to 16, counted on Stable Diffusion's 16.

    On a U-Net with another number n of blocks the same share of them: from ceil(start * n / 16) on.
    """
    blocks = transformer_blocks(unet)
    return blocks[math.ceil(start * len(blocks) / SD_BLOCKS) :]


@contextmanager
def recorded_states(unet: UNet2DConditionModel, start: int = 10) -> Iterator[list[Tensor]]:
    """Inside this context every pass appends what the late self-attentions see, (B, N, C), in order of execution."""
    states: list[Tensor] = []
    with ExitStack() as hooks:
        for block in late_blocks(unet, start):
            hook = block.attn1.register_forward_pre_hook(lambda attention, args: states.append(args[0].detach()))
            hooks.enter_context(hook)
        yield states


@contextmanager
def borrowed_attention(
    unet: UNet2DConditionModel, states: list[Tensor], start: int = 10, *, beside: bool = False
) -> Iterator[None]:
    """Inside this context the late self-attentions read keys and values from a source's recorded states, (1 or B, N, C)
    each: the edit's row of mutual self-attention. beside: they attend to the states and to their own tokens together.
    """

    def reading(state: Tensor) -> Callable:
        def hook(attention: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            x = args[0]
            source = state.to(x.dtype).expand(len(x), -1, -1)
            return args, kwargs | {"encoder_hidden_states": torch.cat([x, source], dim=1) if beside else source}

        return hook

    with ExitStack() as hooks:
        for block, state in zip(late_blocks(unet, start), states, strict=True):
            hooks.enter_context(block.attn1.register_forward_pre_hook(reading(state), with_kwargs=True))
        yield
