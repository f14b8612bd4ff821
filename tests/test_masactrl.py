import torch
from tiny import random

from gooddrag.masactrl import borrowed_attention, late_blocks, transformer_blocks


def test_order_of_execution(tiny_sd):
    """As the forward pass meets them: 6 down, the mid block 7th (index 6), 9 up."""
    unet, met = tiny_sd.unet, []
    blocks = transformer_blocks(unet)
    hooks = [b.register_forward_pre_hook(lambda module, args: met.append(module)) for b in blocks]
    with torch.no_grad():
        tiny_sd.eps(random(1, 4, 8, 8, dtype=torch.float32), 301)
    for hook in hooks:
        hook.remove()
    assert met == blocks and len(blocks) == 16
    assert blocks[6] in unet.mid_block.modules()


def test_same_share_of_a_smaller_unet(tiny):
    blocks = transformer_blocks(tiny.unet)
    assert len(blocks) == 7  # 2 down, 1 mid, 4 up
    assert late_blocks(tiny.unet, 10) == blocks[5:]  # ceil(10 / 16 * 7)
    assert late_blocks(tiny.unet, 0) == blocks and late_blocks(tiny.unet, 16) == []


def test_beside_its_own_means_both(tiny64):
    attention = late_blocks(tiny64.unet)[-1].attn1
    x, state = (random(2, 6, attention.to_q.in_features, seed=seed) for seed in (0, 1))
    both = attention(x, torch.cat([x, state[:1].expand_as(x)], dim=1))
    with borrowed_attention(tiny64.unet, [state[:1]] * 2, beside=True):
        assert torch.equal(attention(x), both)
    assert not torch.allclose(attention(x), both)
