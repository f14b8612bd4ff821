import pytest
import torch
from tiny import random

from gooddrag.masactrl import MutualSelfAttention, late_blocks, mutual_self_attention, transformer_blocks


def processors(unet):
    return {name: id(processor) for name, processor in unet.attn_processors.items()}


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
    known = {module: name for name, module in unet.named_modules()}
    where = [known[block].split(".attentions")[0] for block in blocks]
    downs, ups = [f"down_blocks.{i}" for i in (0, 1, 2)], [f"up_blocks.{i}" for i in (1, 2, 3)]
    assert where == [d for d in downs for _ in range(2)] + ["mid_block"] + [u for u in ups for _ in range(3)]
    assert list(unet.attn_processors)[-1].startswith("mid_block")  # why these are not asked for the order


def test_same_share_of_a_smaller_unet(tiny):
    blocks = transformer_blocks(tiny.unet)
    assert len(blocks) == 7  # 2 down, 1 mid, 4 up
    assert late_blocks(tiny.unet, 10) == blocks[5:]  # ceil(10 / 16 * 7)
    assert late_blocks(tiny.unet, 0) == blocks and late_blocks(tiny.unet, 16) == []
    for start in (-1, 17):
        with pytest.raises(ValueError, match=rf"^start: {start}; expected 0 to 16$"):
            late_blocks(tiny.unet, start)


def test_attention_by_hand(tiny):
    """softmax(Q K_s^T / sqrt(d)) V_s, heads apart, for one layer."""
    layer = late_blocks(tiny.unet)[-1].attn1
    x = random(2, 6, layer.to_q.in_features, dtype=torch.float32)
    with torch.no_grad():
        got = MutualSelfAttention()(layer, x)
        q, k, v = layer.to_q(x), layer.to_k(x[:1]), layer.to_v(x[:1])
        heads = [
            torch.softmax(a @ b.mT * layer.scale, dim=-1) @ c
            for a, b, c in zip(*(t.chunk(layer.heads, dim=-1) for t in (q, k, v)), strict=True)
        ]
        want = layer.to_out[0](torch.cat(heads, dim=-1))
    torch.testing.assert_close(got, want, rtol=0, atol=2e-5)


def test_only_the_late_self_attentions_are_replaced(tiny_sd):
    with mutual_self_attention(tiny_sd.unet, 10):
        installed = [n for n, p in tiny_sd.unet.attn_processors.items() if isinstance(p, MutualSelfAttention)]
    assert len(installed) == 6
    assert all(name.startswith(("up_blocks.2", "up_blocks.3")) and ".attn1." in name for name in installed)


def test_processors_are_restored_after_an_exception_too(tiny_sd):
    before = processors(tiny_sd.unet)
    with pytest.raises(RuntimeError, match="stop"), mutual_self_attention(tiny_sd.unet):
        assert processors(tiny_sd.unet) != before
        raise RuntimeError("stop")
    assert processors(tiny_sd.unet) == before
