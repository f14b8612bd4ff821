"""Latent-MasaCtrl (Sec. 5.1): the edited image looks at the original one while it is denoised.

Mutual self-attention (Cao et al., ICCV 2023): with a batch of [source, edit], the self-attentions of the late layers
take keys and values from the source for both rows, so the source is unchanged and the edit borrows its texture.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

SD_BLOCKS = 16  # transformer blocks of Stable Diffusion 1.x and 2.x: the paper's "10th layer" is counted on these


class MutualSelfAttention(AttnProcessor2_0):
    """Self-attention in which both halves of the batch [sources, edits] read the sources' keys and values."""

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **kwargs):
        if encoder_hidden_states is not None:
            raise ValueError("MutualSelfAttention: installed on a cross-attention; expected a self-attention")
        source = hidden_states.chunk(2)[0]  # (B, N, C) -> (B / 2, N, C)
        return super().__call__(attn, hidden_states, source.repeat(2, 1, 1), **kwargs)


def transformer_blocks(unet: UNet2DConditionModel) -> list[BasicTransformerBlock]:
    """The transformer blocks in order of execution: down, mid, up (`unet.attn_processors` lists mid last)."""
    stages = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    transformers = [t for stage in stages for t in getattr(stage, "attentions", ())]
    return [block for t in transformers for block in getattr(t, "transformer_blocks", ())]


def late_blocks(unet: UNet2DConditionModel, start: int = 10) -> list[BasicTransformerBlock]:
    """The transformer blocks from the `start`-th on, counted from 0 on Stable Diffusion's 16.

    On a U-Net with another number n of blocks the same share of them: from ceil(start * n / 16) on.
    """
    if not 0 <= start <= SD_BLOCKS:
        raise ValueError(f"start: {start}; expected 0 to {SD_BLOCKS}")
    blocks = transformer_blocks(unet)
    return blocks[math.ceil(start * len(blocks) / SD_BLOCKS) :]


class RecordedSelfAttention(AttnProcessor2_0):
    """Plain self-attention that keeps what it sees: of the source latent, in a pass of its own."""

    def __init__(self, states: list[Tensor]):
        super().__init__()
        self.states = states

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **kwargs):
        self.states.append(hidden_states.detach())
        return super().__call__(attn, hidden_states, encoder_hidden_states, **kwargs)


class BorrowedSelfAttention(AttnProcessor2_0):
    """Self-attention whose keys and values come from a source's recorded state, (1 or B, N, C)."""

    def __init__(self, state: Tensor):
        super().__init__()
        self.state = state

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **kwargs):
        source = self.state.to(hidden_states.dtype).expand(len(hidden_states), -1, -1)
        return super().__call__(attn, hidden_states, source, **kwargs)


@contextmanager
def _processors(unet: UNet2DConditionModel, start: int, made: Callable[[int], AttnProcessor2_0]) -> Iterator[None]:
    """Other processors for the late self-attentions, the i-th from `made(i)`; afterwards the former ones."""
    layers = [block.attn1 for block in late_blocks(unet, start)]
    before = [layer.processor for layer in layers]
    try:
        for i, layer in enumerate(layers):
            layer.set_processor(made(i))
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


@contextmanager
def recorded_states(unet: UNet2DConditionModel, start: int = 10) -> Iterator[list[Tensor]]:
    """Inside this context every pass appends what the late self-attentions see, in order of execution."""
    states: list[Tensor] = []
    with _processors(unet, start, lambda i: RecordedSelfAttention(states)):
        yield states


@contextmanager
def borrowed_attention(unet: UNet2DConditionModel, states: list[Tensor], start: int = 10) -> Iterator[None]:
    """Inside this context the late self-attentions read keys and values from recorded states: Latent-MasaCtrl's edited
    branch alone, the same as its row of `mutual_self_attention`.
    """
    with _processors(unet, start, lambda i: BorrowedSelfAttention(states[i])):
        yield


@contextmanager
def mutual_self_attention(unet: UNet2DConditionModel, start: int = 10) -> Iterator[None]:
    """Inside this context a batch of [source, edit] shares the source's keys and values from the start-th layer on."""
    with _processors(unet, start, lambda i: MutualSelfAttention()):
        yield
