"""Several edits in one batch: the results of one by one, whatever each of them is and whenever it stops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import picture

import gooddrag as gd
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.lora import applied, applied_each, fit
from gooddrag.sample import Sample

QUICK = DragConfig(num_steps=6, K=4, B=2, J=2, r2=3, stop_unmoved=None)  # T = 4, two of them dragged
LORA = LoraConfig(rank=2, steps=3, batch_size=1, lr=1e-2)
TOLERANCE = dict(rtol=0, atol=1e-6)


def mask(*box):
    m = np.zeros((64, 64), bool)
    m[box[0] : box[2], box[1] : box[3]] = True
    return m


SAMPLES = [
    Sample(picture(), [[[20, 20], [40, 35]]], mask(8, 8, 56, 56)),
    Sample(picture(seed=1), [[[10, 50], [30, 20]], [[40, 40], [44, 60]]]),
    Sample(picture((62, 64), seed=2), [[[30, 31], [33, 31]]], mask(0, 0, 64, 64)[:, :62]),
]


def same(batch, single):
    torch.testing.assert_close(batch.latent, single.latent, **TOLERANCE)
    assert np.array_equal(batch.path, single.path) and np.array_equal(batch.handles, single.handles)
    for a, b in zip(batch.history, single.history, strict=True):
        assert a.losses == pytest.approx(b.losses, abs=1e-5) and (a.k, a.t, a.timestep) == (b.k, b.t, b.timestep)


@pytest.mark.parametrize("lora", [None, LORA], ids=["bare", "own LoRAs"])
@pytest.mark.parametrize("changes", [{}, dict(tracking="updated", adam="once", masactrl=False, reference="inverted")])
def test_the_results_of_one_by_one(tiny64, lora, changes):
    config = replace(QUICK, **changes)
    batch = gd.drag_batch(tiny64, SAMPLES, config, lora)
    assert len(batch) == len(SAMPLES)
    for sample, result in zip(SAMPLES, batch, strict=True):
        assert result.sample is sample and result.image.size == sample.image.size
        same(result, gd.drag(tiny64, sample, config, lora))
    assert not torch.allclose(batch[0].latent, batch[1].latent, atol=1e-2)


class Batches:
    """The sizes of the batches that go through the U-Net."""

    def __init__(self, unet):
        self.unet, self.sizes = unet, []

    def __enter__(self):
        self.hook = self.unet.register_forward_pre_hook(lambda unet, args: self.sizes.append(len(args[0])))
        return self

    def __exit__(self, *_):
        self.hook.remove()


@pytest.mark.parametrize("lora", [None, LORA], ids=["bare", "own LoRAs"])
def test_an_early_stop_leaves_the_batch(tiny64, lora):
    """Edit 1 stops in its second operation, at the first level: from the next one on it borrows from its source."""
    config = replace(QUICK, stop_distance=None)

    def stop(state):
        return state.event == "update" and state.updates == 3

    singles = [gd.drag(tiny64, s, config, lora, callback=stop if i == 1 else None) for i, s in enumerate(SAMPLES)]
    with Batches(tiny64.unet) as seen:  # the LoRAs are in the cache by now
        batch = gd.drag_batch(tiny64, SAMPLES, config, lora, callback=lambda i, state: i == 1 and stop(state))
    for result, single in zip(batch, singles, strict=True):
        same(result, single)
    assert [len(r.history) for r in batch] == [4, 1, 4]
    inversion = [3] * 4
    first = [3] + [3] * 4 + [2]  # source; 1 learns of its stop in the fourth pass, whose eps it denoises with
    second = [3] + [2] * 4 + [2] + [3, 1]  # source; the others; the source for 1, which borrows from it
    assert seen.sizes == inversion + first + second + [3, 3] * 2


def test_one_is_a_batch(tiny):
    (result,) = gd.drag_batch(tiny, SAMPLES[:1], QUICK, LORA)
    assert torch.equal(result.latent, gd.drag(tiny, SAMPLES[0], QUICK, LORA).latent)


def test_low_memory_is_the_same(tiny64):
    full, low = (gd.drag_batch(tiny64, SAMPLES, QUICK, LORA, memory=m) for m in ("full", "low"))
    for a, b in zip(full, low, strict=True):
        torch.testing.assert_close(a.latent, b.latent, **TOLERANCE)


def test_nothing_is_left_in_the_model(tiny64):
    before = {k: v.clone() for k, v in tiny64.unet.state_dict().items()}
    gd.drag_batch(tiny64, SAMPLES, replace(QUICK, K=1), LORA)
    after = tiny64.unet.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in after)
    assert not any(m._forward_hooks for m in tiny64.unet.modules())
    assert all(p.grad is None and not p.requires_grad for p in tiny64.unet.parameters())


def test_a_shared_lora_and_what_is_put_back(tiny64, tmp_path):
    shared = gd.DragEditor(tiny64, LORA).set_image(picture(seed=5)).lora
    batch = gd.drag_batch(tiny64, SAMPLES, QUICK, shared, keep_outside=True, keep=["latents"])
    for sample, result in zip(SAMPLES, batch, strict=True):
        single = gd.drag(tiny64, sample, QUICK, shared, keep_outside=True)
        same(result, single)
        assert all(op.latent is not None for op in result.history)
        if sample.mask is not None:
            assert np.array_equal(np.array(result.image)[~sample.mask], np.array(sample.image)[~sample.mask])


def test_rows_have_their_own_weights(tiny64):
    """Any choice of rows in any order: the same as each LoRA written into the weights."""
    loras = [fit(tiny64, gd.DragEditor(tiny64).set_image(s.image).z_0, LORA) for s in SAMPLES]
    z = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        want = []
        for i, lora in enumerate(loras):
            with applied(tiny64.unet, lora):
                want.append(tiny64.eps(z[i : i + 1], 300))
        with applied_each(tiny64.unet, loras) as rows:
            for chosen in ([0, 1, 2], [2, 0], [1]):
                rows(chosen)
                torch.testing.assert_close(tiny64.eps(z[chosen], 300), torch.cat([want[i] for i in chosen]))
    assert not torch.allclose(want[0], want[1])


def test_loras_of_different_kinds(tiny64):
    z_0 = gd.DragEditor(tiny64).set_image(picture()).z_0
    two, three = fit(tiny64, z_0, LORA), fit(tiny64, z_0, replace(LORA, rank=3))
    with pytest.raises(ValueError, match=r"^lora: .* differs among the edits: .*; expected one kind$"):
        with applied_each(tiny64.unet, [two, three]):
            pass
    with pytest.raises(ValueError, match=r"^lora: .* differs among the edits"):
        with applied_each(tiny64.unet, [two, {}]):
            pass
    assert not any(m._forward_hooks for m in tiny64.unet.modules())


@pytest.mark.parametrize(
    "samples, message",
    [
        ([], "^samples: none given; expected one or more$"),
        ([SAMPLES[0], "a"], r"^samples: str among them; expected Sample\(image, points, mask\)$"),
        ([SAMPLES[0], Sample(picture((64, 72)), [[[1, 2], [30, 40]]])],
         r"^samples: number 1 is worked at as 64 x 72 px, number 0 as 64 x 64 px; expected one size$"),
    ],
)  # fmt: skip
def test_bad_samples(tiny, samples, message):
    with pytest.raises(ValueError, match=message):
        gd.drag_batch(tiny, samples, QUICK)


def test_bad_settings(tiny):
    with pytest.raises(ValueError, match="^config: dict; expected DragConfig$"):
        gd.drag_batch(tiny, SAMPLES, {"K": 3})
    with pytest.raises(ValueError, match="^lora: int; expected"):
        gd.drag_batch(tiny, SAMPLES, QUICK, lora=3)


def test_no_memory_says_how_many(tiny):
    def fails(unet, args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = tiny.unet.register_forward_pre_hook(fails)
    try:
        with pytest.raises(MemoryError, match="^samples: 3 at once are too many for the memory of cpu; "):
            gd.drag_batch(tiny, SAMPLES, QUICK, lora=None)
    finally:
        hook.remove()
