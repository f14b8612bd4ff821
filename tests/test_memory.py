"""Memory tiers: the same results with less at hand, and what happens when memory runs out."""

import pytest
import torch
from tiny import picture

from gooddrag import memory
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.loading import load_model
from gooddrag.lora import fit

QUICK = DragConfig(num_steps=4, K=2, B=1, J=2, stop_unmoved=None)
POINTS = [[[20, 20], [40, 35]]]
LORA = LoraConfig(rank=2, steps=2, batch_size=1)


class RunsOut:
    """The first n passes that are not checkpointed find no memory; with `always`, every pass."""

    def __init__(self, unet, n=1, always=False):
        self.unet, self.n, self.always = unet, n, always

    def __enter__(self):
        self.hook = self.unet.register_forward_pre_hook(self.maybe)
        return self

    def maybe(self, *_):
        if self.always or (self.n and not self.unet.is_gradient_checkpointing):
            self.n -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")

    def __exit__(self, *_):
        self.hook.remove()


def edit(model, **kwargs):
    return DragEditor(model, **kwargs).set_image(picture()).drag(POINTS, None, QUICK)


def test_low_is_the_same_edit_with_checkpoints(tiny):
    full, seen = edit(tiny, memory="full"), []
    hook = tiny.unet.register_forward_pre_hook(lambda unet, _: seen.append(unet.is_gradient_checkpointing))
    low = edit(tiny, memory="low")
    hook.remove()
    assert all(seen) and not tiny.unet.is_gradient_checkpointing
    assert torch.equal(full.latent, low.latent) and full.image.tobytes() == low.image.tobytes()


def test_a_lora_fitted_with_checkpoints_is_the_same(tiny):
    z_0 = DragEditor(tiny).set_image(picture()).z_0
    plain = fit(tiny, z_0, LORA)
    with memory.tier("low", tiny):
        again = fit(tiny, z_0, LORA)
    assert plain.keys() == again.keys() and all(torch.equal(plain[k], again[k]) for k in plain)


def test_running_out_falls_back_once_with_a_warning(tiny):
    want = edit(tiny, memory="full").latent
    editor = DragEditor(tiny, memory="full").set_image(picture())
    editor.drag(POINTS, None, QUICK)
    with RunsOut(tiny.unet), pytest.warns(UserWarning, match=r"^memory: ran out \(CUDA out of memory.*'low'") as caught:
        got = editor.drag(POINTS, None, QUICK)
    assert len(caught) == 1 and editor.memory == "low" and editor.why == "low: memory ran out in full"
    assert torch.equal(got.latent, want) and len(got.history) == 2  # nothing of the failed attempt is left


def test_running_out_in_low_says_what_to_reduce(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path))
    with RunsOut(tiny.unet, always=True), pytest.raises(MemoryError, match=r"^memory: not enough .* a smaller image"):
        edit(tiny, memory="low")
    with RunsOut(tiny.unet, always=True), pytest.warns(UserWarning, match="ran out"):
        with pytest.raises(MemoryError, match="even in 'low'"):
            DragEditor(tiny, LORA, memory="full").set_image(picture())
    assert not tiny.unet.is_gradient_checkpointing


def test_other_errors_pass(tiny):
    def wrong(*_):
        raise RuntimeError("something else")

    hook = tiny.unet.register_forward_pre_hook(wrong)
    with pytest.raises(RuntimeError, match="^something else$"):
        edit(tiny, memory="full")
    hook.remove()


@pytest.mark.parametrize("free, tier", [(2**40, "full"), (2**10, "low"), (None, "full")])
def test_auto_goes_by_what_is_free_and_says_so(tiny, monkeypatch, free, tier):
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    editor = DragEditor(tiny)
    assert editor.memory == tier and editor.why.startswith(f"{tier}: ") and "cpu" in editor.why


def test_which_words(tiny):
    assert DragEditor(tiny, memory="low").why == "low: asked for"
    with pytest.raises(ValueError, match="^memory: 'tiny'; expected 'auto', 'full' or 'low'$"):
        DragEditor(tiny, memory="tiny")
    assert memory.free_bytes(torch.device("cpu")) > 0


def test_running_out_while_decoding_keeps_the_edit(tiny, monkeypatch):
    want, decode, calls = edit(tiny), tiny.decode, []

    def runs_out(z, times):
        calls.append(z)
        if len(calls) <= times:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(z)

    monkeypatch.setattr(tiny, "decode", lambda z: runs_out(z, 1))
    assert edit(tiny).image.tobytes() == want.image.tobytes() and len(calls) == 2
    monkeypatch.setattr(tiny, "decode", lambda z: runs_out(z, 9))
    with pytest.raises(MemoryError, match="^memory: not enough on cpu to decode; use a smaller image"):
        edit(tiny)


def test_a_compiled_unet_gives_the_same_edit(tiny_folder):
    """Dynamo sees the LoRA come and go, the hook on the features, and attention that looks at the source."""
    plain, compiled = (load_model(str(tiny_folder)) for _ in range(2))
    compiled.unet.compile(backend="eager")
    results = [DragEditor(model, LORA).set_image(picture()).drag(POINTS, config=QUICK) for model in (plain, compiled)]
    torch._dynamo.reset()
    assert torch.equal(results[0].latent, results[1].latent)
