"""From a user's picture and points to an edited picture of the same size, on the small random models."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from tiny import DRAG, LORA, NATIVE, mask_of, picture

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor, drag
from gooddrag.model import load_model
from gooddrag.sample import Sample

POINTS = [[[20, 20], [40, 35]]]


def pixels(image):
    return np.asarray(image).astype(int)


@pytest.fixture
def editor(tiny):
    return DragEditor(tiny).set_image(picture())


@pytest.mark.parametrize("size", [(128, 128), (130, 97), (17, 16), (16, 2000), (63, 65)])
def test_result_has_the_size_of_the_input(tiny, size):
    w, h = size
    points = [[[1, 1], [w - 2, h - 2]], [[w - 1, 0], [0, h - 1]]]
    result = DragEditor(tiny).set_image(picture(size)).drag(points, None, DRAG)
    assert result.image.size == size and result.image.mode == "RGB"
    assert result.tensor.shape[-2:] == result.frame.padded[::-1] and result.tensor.isfinite().all()
    assert 0 <= result.tensor.min() and result.tensor.max() <= 1
    assert (result.handles >= 0).all() and (result.handles <= np.array(size) - 1).all()
    assert (result.frame.scaled == size) == (min(size) <= NATIVE and max(size) <= 2 * NATIVE)


@pytest.mark.parametrize("grid", ["latent4", "image"])
@pytest.mark.parametrize("size", [(75, 52), (130, 190)])
def test_the_loss_pulls_where_the_handle_is(tiny_sd, size, grid):
    """On Stable Diffusion's shape: the gradient's centre lies within three latent cells of the handle."""
    config, seen = dataclasses.replace(DRAG, K=1, lam=0.0, grid=grid, feature_block=-1), []
    handle = np.array(size) - (30, 26)
    editor = DragEditor(tiny_sd).set_image(picture(size))
    result = editor.drag([[handle, handle - (0, 20)]], config=config, callback=lambda state: seen.append(state.grad))
    assert result.image.size == size and len(result.history) == 1
    energy = next(grad for grad in seen if grad is not None)[0].square().sum(dim=0)  # (h, w) of the latent
    cells = [8 * torch.arange(n) + 3.5 for n in energy.shape]  # their centres, in pixels
    centre = [float((energy.sum(dim=1 - axis) * cells[axis]).sum() / energy.sum()) for axis in (1, 0)]
    assert np.abs(np.array(centre) - handle).max() < 24


def test_keep_outside_is_exact_and_its_seam_is_feathered_inwards(editor):
    mask = mask_of((64, 64), (10, 20, 45, 50))
    config = dataclasses.replace(DRAG, J=2, lr=0.2)
    kept = editor.drag(POINTS, mask, config, keep_outside=True)
    loose = editor.drag(POINTS, mask, config)
    original, edited, got = (pixels(image) for image in (editor.image, loose.image, kept.image))
    assert np.array_equal(got[~mask], original[~mask])
    inner = mask_of((64, 64), (14, 24, 41, 46))  # one latent cell of 4 px further in
    assert np.array_equal(got[inner], edited[inner])
    seam = mask & ~inner
    low, high = np.minimum(original, edited)[seam], np.maximum(original, edited)[seam]
    assert (low <= got[seam]).all() and (got[seam] <= high).all() and not np.array_equal(got[seam], edited[seam])
    assert not np.array_equal(edited[~mask], original[~mask])
    assert torch.equal(kept.tensor, loose.tensor)
    assert kept.metrics["damage_outside_mask"] == 0 < loose.metrics["damage_outside_mask"]
    whole = editor.drag(POINTS, None, config)
    assert whole.keeping_outside() is whole  # nothing is outside


def test_under_the_hard_mask_the_outside_ends_as_the_unedited_latent(editor):
    mask = mask_of((64, 64), (16, 16, 48, 48))
    config = dataclasses.replace(DRAG, J=2, lr=0.2)
    soft, hard = (editor.drag(POINTS, mask, dataclasses.replace(config, mask_mode=m)) for m in ("penalty", "replace"))
    unedited = editor.source(config)
    unedited.reference(1)
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[4:12, 4:12] = False
    assert torch.equal(hard.latent[..., outside], unedited.latents[0][..., outside])
    assert not torch.equal(soft.latent[..., outside], unedited.latents[0][..., outside])
    assert not torch.equal(hard.latent[..., ~outside], unedited.latents[0][..., ~outside])


def test_empty_mask_changes_nothing_and_says_so_once(editor):
    with pytest.warns(UserWarning, match="mask: empty .* nothing may change") as caught:
        result = editor.drag(POINTS, np.zeros((64, 64)), DRAG)
    assert len(caught) == 1
    assert np.array_equal(pixels(result.image), pixels(editor.image))
    assert result.metrics["damage_outside_mask"] == 0 and "truth_error_inside_mask" not in result.metrics


def test_what_will_not_move_is_said(tiny):
    editor, config = DragEditor(tiny).set_image(picture((64, 48))), DragConfig(grid="image", stop_distance=2.0)
    sample = Sample(editor.image, [[[10, 10], [11, 10]], [[30, 30], [30, 30]]])
    with pytest.warns(UserWarning, match="^points: every target is less than 2 px from its handle; nothing is dragged"):
        task = editor.task(sample, config)
    assert task.size == (48, 64) and task.p_0.tolist() == [[10, 10], [30, 30]] and task.q[0].tolist() == [10, 11]
    sample = Sample(editor.image, [[[10, 10], [14, 10]]], mask_of((64, 48), (9, 9, 12, 12)))  # no corner of a cell
    with pytest.warns(UserWarning, match="^mask: none of its 9 editable pixels is on the model's grid; the drag"):
        assert editor.task(sample, config).frozen.all()


def test_image_first(tiny, editor, tmp_path):
    empty, before = DragEditor(tiny), editor.image
    for call in (lambda: empty.drag(POINTS), empty.invert):
        with pytest.raises(ValueError, match=r"^image: none set; expected set_image\(image\) before this call$"):
            call()
    with pytest.raises(ValueError, match="^image: "):
        editor.set_image(tmp_path / "none.png")
    assert editor.image is before and editor.drag(POINTS, None, DRAG)


def test_bad_arguments(editor, tiny):
    with pytest.raises(ValueError, match=r"^sample: ndarray; expected Sample"):
        drag(tiny, np.zeros((64, 64, 3)))
    with pytest.raises(ValueError, match=r"^keep: a, b; expected maps or latents$"):
        editor.drag(POINTS, None, DRAG, keep=["b", "a", "maps"])
    with pytest.raises(ValueError, match=r"^model: str; expected what load_model\(\) returns$"):
        DragEditor("storybook")
    for foreign in ("down", "conv_in.lora_B.weight"):  # would have changed nothing, silently
        with pytest.raises(ValueError, match=f"^lora: {foreign.split('.lora')[0]} does not fit this model"):
            DragEditor(tiny, lora={foreign: torch.ones(2, 2)}).set_image(picture()).invert()
    for image in (picture(seed=1), picture((64, 70))):
        with pytest.raises(ValueError, match=r"^points: Sample\('', 64 x .* is of another image; expected set_image"):
            editor.drag(Sample(image, POINTS), config=DRAG)
    with pytest.raises(ValueError, match=r"^mask: given beside a Sample, which has its own"):
        editor.drag(Sample(picture(), POINTS), np.ones((64, 64)), DRAG)


def test_same_bytes_twice_and_after_another_image(tiny, monkeypatch, tmp_path):
    def edit(editor):
        result = editor.set_image(picture()).drag(POINTS, mask_of((64, 64), (8, 8, 56, 56)), DRAG)
        return result.image.tobytes(), result.latent.numpy().tobytes(), result.handles.tobytes()

    editor = DragEditor(tiny, LORA)
    first = edit(editor)
    torch.manual_seed(99)
    editor.set_image(picture((50, 70), seed=5)).drag([[[10, 10], [30, 60]]], None, DRAG)
    assert edit(editor) == first
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path))  # the LoRA is fitted anew
    assert edit(DragEditor(tiny, LORA)) == first
    assert edit(DragEditor(tiny, LORA, seed=1)) != first


def test_overflow_is_named(tiny_folder):
    """Also where it only shows in the decoder."""
    model = load_model(tiny_folder, device="cpu")
    editor = DragEditor(model).set_image(picture())
    with torch.no_grad():
        model.vae.decoder.layers[-1].bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="^decoding: nan in image at t = 0; likely half"):
        editor.drag(POINTS, None, DRAG)
    with torch.no_grad():
        model.unet.conv_in.bias.fill_(torch.inf)
    editor = DragEditor(model).set_image(picture())
    with pytest.raises(FloatingPointError, match=r"^inversion: nan in z_t at t = 1 \(time step \d+\); likely half"):
        editor.drag(POINTS, None, DRAG)


def test_progress_bars_are_text_on_stderr_and_end_full(tiny, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path))
    editor = DragEditor(tiny, LORA, progress=True).set_image(picture())
    editor.drag(POINTS, None, dataclasses.replace(DRAG, K=3), callback=lambda state: state.k == 1)  # an early end
    out, err = capsys.readouterr()
    lines = [line.split("\r")[-1] for line in err.split("\n")]  # as a notebook keeps them
    assert out == "" and [line.split(":")[0] for line in lines] == ["LoRA", "inversion", "drag", ""]
    assert all(": 100%|" in line for line in lines[:3]) and "1 of 3 operations" in lines[2]
    drag(tiny, Sample(picture(), POINTS), DRAG, lora=LORA)
    assert capsys.readouterr() == ("", "")


def test_the_lora_suits_the_model_where_no_settings_are_given(tiny, monkeypatch):
    quick = dataclasses.replace(LORA, layers="all")
    monkeypatch.setattr(LoraConfig, "preset", {"fast": quick}.get)
    monkeypatch.setattr(tiny, "preset", "fast")
    sample = Sample(picture(), POINTS)
    assert "conv_in.lora_A.weight" in DragEditor(tiny, True).set_image(picture()).lora
    suited, as_fitted = drag(tiny, sample), drag(tiny, sample, DragConfig.fast(), lora=quick)
    assert torch.equal(suited.latent, as_fitted.latent)
    given = drag(tiny, sample, DRAG), drag(tiny, sample, DRAG, lora=LoraConfig())
    assert torch.equal(given[0].latent, given[1].latent)
    assert given[0].sample is sample and given[0].model is tiny and given[0].config is DRAG


def test_low_memory_is_the_same_edit_with_checkpoints(tiny, monkeypatch, tmp_path):
    def edit(low_memory):
        monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / str(low_memory)))
        return DragEditor(tiny, LORA, low_memory=low_memory).set_image(picture()).drag(POINTS, None, DRAG)

    full, seen = edit(False), []
    hook = tiny.unet.register_forward_pre_hook(lambda unet, _: seen.append(unet.is_gradient_checkpointing))
    low = edit(True)
    hook.remove()
    assert all(seen) and not tiny.unet.is_gradient_checkpointing
    assert torch.equal(full.latent, low.latent) and full.image.tobytes() == low.image.tobytes()


OUT = ("can't allocate memory", "MPS backend out of memory (...)", "CUBLAS_STATUS_ALLOC_FAILED when ...")


@pytest.mark.parametrize("said", [*OUT, "something else"])
def test_out_of_memory_says_what_to_reduce(tiny, said):
    def runs_out(*_):
        raise RuntimeError(said)

    kind = MemoryError if said in OUT else RuntimeError
    told = "memory: not enough on cpu; use low_memory=True" if said in OUT else said
    editor = DragEditor(tiny, low_memory=True).set_image(picture())
    with tiny.unet.register_forward_pre_hook(runs_out), pytest.raises(kind, match=f"^{told}"):
        editor.drag(POINTS, None, DRAG)
    assert not tiny.unet.is_gradient_checkpointing


def test_an_error_that_is_kept_keeps_no_activations(tiny, monkeypatch):
    """As a notebook keeps the last one: the next try needs the memory."""
    editor, seen = DragEditor(tiny).set_image(picture()), []
    editor.invert(DRAG)

    def runs_out(x):
        seen.append(weakref.ref(x))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(tiny.unet.conv_out, "forward", runs_out)
    with pytest.raises(MemoryError) as kept:
        editor.drag(POINTS, None, DRAG)
    gc.collect()
    assert kept.value.__cause__ and seen[-1]() is None
