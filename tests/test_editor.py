"""From a user's picture and points to an edited picture of the same size, on the small random models."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import NATIVE, picture, random

import gooddrag
from gooddrag.config import DragConfig, LoraConfig, Preset
from gooddrag.editor import DragEditor, drag
from gooddrag.lora import fit, save_lora
from gooddrag.model import load_model
from gooddrag.motion import gradient
from gooddrag.result import DragResult
from gooddrag.sample import Sample

QUICK = DragConfig(num_steps=4, K=2, B=1, J=1, stop_unmoved=None)
POINTS = [[[20, 20], [40, 35]]]
LORA = LoraConfig(rank=2, steps=2, batch_size=1)


def pixels(image):
    return np.asarray(image).astype(int)


def mask_of(size, box):
    mask = np.zeros(size[::-1], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@pytest.fixture
def editor(tiny):
    return DragEditor(tiny).set_image(picture())


def test_names_of_the_package(tiny):
    assert gooddrag.drag is drag and gooddrag.DragEditor is DragEditor and gooddrag.DragResult is DragResult
    assert {"drag", "DragEditor", "load_model", "storybook"} <= set(dir(gooddrag))
    with pytest.raises(AttributeError, match="no attribute 'dragg'; it has load_model"):
        _ = gooddrag.dragg


@pytest.mark.parametrize("size", [(128, 128), (130, 97), (64, 200), (17, 16), (300, 200), (16, 2000), (63, 65)])
def test_result_has_the_size_of_the_input(tiny, size):
    w, h = size
    points = [[[1, 1], [w - 2, h - 2]], [[w - 1, 0], [0, h - 1]]]
    result = DragEditor(tiny).set_image(picture(size)).drag(points, None, QUICK)
    assert result.image.size == size and result.image.mode == "RGB"
    assert result.tensor.shape[-2:] == result.frame.padded[::-1] and result.tensor.isfinite().all()
    assert 0 <= result.tensor.min() and result.tensor.max() <= 1
    assert result.handles.shape == (2, 2) and (result.handles >= 0).all()
    assert (result.handles <= np.array(size) - 1).all()
    assert (result.frame.scaled == size) == (min(size) <= NATIVE and max(size) <= 2 * NATIVE)


@pytest.mark.parametrize("size", [(64, 64), (75, 52)])
def test_stable_diffusion_shape(tiny_sd, size):
    for grid in ("latent4", "image"):
        config = dataclasses.replace(QUICK, grid=grid, feature_block=-1)
        result = DragEditor(tiny_sd).set_image(picture(size)).drag([[[20, 20], [50, 40]]], None, config)
        assert result.image.size == size and len(result.history) == 2


def test_modes_and_sources(tiny, tmp_path):
    rgb = picture()
    rgba = rgb.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgb.size))
    sixteen = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    rgb.save(tmp_path / "a.png")
    for image in (rgba, rgb.convert("L"), rgb.convert("P"), rgb.convert("CMYK"), sixteen, tmp_path / "a.png",
                  (tmp_path / "a.png").read_bytes()):  # fmt: skip
        editor = DragEditor(tiny).set_image(image)
        assert editor.image.mode == "RGB" and editor.image.size == rgb.size
        assert editor.drag(POINTS, None, QUICK).image.size == rgb.size
    assert np.array_equal(pixels(DragEditor(tiny).set_image(sixteen).image)[..., 0], pixels(rgb.convert("L")))


def test_orientation_is_the_cameras(tiny, tmp_path):
    image = picture((64, 40))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned
    image.save(tmp_path / "turned.png", exif=exif)
    editor = DragEditor(tiny).set_image(tmp_path / "turned.png")
    assert editor.image.size == (40, 64)
    assert editor.drag([[[20, 60], [20, 40]]], None, QUICK).image.size == (40, 64)


def test_the_edit_changes_something(editor):
    unedited = editor.drag(POINTS, None, dataclasses.replace(QUICK, K=0, masactrl=False))
    edited = editor.drag(POINTS, None, dataclasses.replace(QUICK, J=5, lr=0.1))
    assert unedited.history == [] and unedited.handles.tolist() == [[20, 20]]
    assert np.abs(pixels(edited.image) - pixels(unedited.image)).max() > 3


def test_keep_outside_is_exact_and_its_seam_is_feathered_inwards(editor):
    mask = mask_of((64, 64), (10, 20, 45, 50))
    config = dataclasses.replace(QUICK, J=2, lr=0.2)
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


def test_keep_outside_without_a_mask_keeps_what_is_far_from_any_change(tiny):
    editor = DragEditor(tiny).set_image(picture())
    result = editor.drag(POINTS, None, QUICK)
    unedited = tiny.decode_image(editor.z_0)
    tensor = unedited.clone()
    tensor[..., 28:36, 28:36] = 1 - tensor[..., 28:36, 28:36].round()
    changed = dataclasses.replace(result, tensor=tensor, image=result.frame.to_image(tensor))
    kept = pixels(changed.keeping_outside(editor.z_0).image)
    near = mask_of((64, 64), (20, 20, 44, 44))  # two cells of 4 px around the change
    assert np.array_equal(kept[~near], pixels(editor.image)[~near])
    assert np.array_equal(kept[28:36, 28:36], pixels(changed.image)[28:36, 28:36])


def test_under_the_hard_mask_the_outside_ends_as_the_unedited_latent(editor):
    mask = mask_of((64, 64), (16, 16, 48, 48))
    config = dataclasses.replace(QUICK, J=2, lr=0.2)
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
        result = editor.drag(POINTS, np.zeros((64, 64)), QUICK)
    assert len(caught) == 1
    assert np.array_equal(pixels(result.image), pixels(editor.image))
    assert result.metrics["damage_outside_mask"] == 0 and "truth_error_inside_mask" not in result.metrics


def test_image_first(tiny):
    editor = DragEditor(tiny)
    for call in (lambda: editor.drag(POINTS), editor.invert):
        with pytest.raises(ValueError, match=r"^image: none set; expected set_image\(image\) before this call$"):
            call()


def test_failed_set_image_keeps_the_former(editor, tmp_path):
    before = editor.image
    with pytest.raises(ValueError, match="^image: "):
        editor.set_image(tmp_path / "none.png")
    assert editor.image is before and editor.drag(POINTS, None, QUICK)


@pytest.mark.parametrize(
    "points, message",
    [
        ([], "^points: none given"),
        ([[1, 2], [3, 4], [5, 6]], "^points: 3 points; expected an even number"),
        ([[[64, 2], [3, 4]]], r"^points: handle 1 at \(64, 2\) is outside the image of 64 x 64 px"),
        ([[[1, 2], [3, -1]]], r"^points: target 1 at \(3, -1\) is outside"),
        ([[[np.nan, 5], [5, 6]]], "^points: .*expected finite numbers"),
    ],
)
def test_bad_points(editor, points, message):
    with pytest.raises(ValueError, match=message):
        editor.drag(points, None, QUICK)


@pytest.mark.parametrize("size, target, px", [((64, 64), (20.3, 20), "2"), ((640, 640), (34, 20), "20")])
def test_a_drag_too_short_for_the_grid_is_a_denoising_and_says_so(tiny, size, target, px):
    """As in the released code, whose first stop test finds the handle at its target."""
    editor = DragEditor(tiny).set_image(picture(size))
    with pytest.warns(UserWarning, match=rf"^points: every target is less than {px} px from its handle") as caught:
        result = editor.drag([[[20, 20], target]], None, QUICK)
    assert len(caught) == 1 and result.history == [] and result.image.size == size


def test_a_pair_at_rest_beside_one_that_moves(editor):
    pairs = [*POINTS, [[50, 50], [50.3, 50.2]]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = editor.drag(pairs, None, QUICK)
    assert len(result.history) == 2 and result.handles.shape == (2, 2)


def test_bad_mask_and_settings(editor, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"^mask: 64 x 32; expected the size of the image, 64 x 64 px"):
        editor.drag(POINTS, np.ones((32, 64)), QUICK)
    with pytest.raises(ValueError, match=r"^config: dict; expected DragConfig$"):
        editor.drag(POINTS, None, {"K": 3})
    with pytest.raises(ValueError, match=r"^keep: everything; expected maps or latents$"):
        editor.drag(POINTS, None, QUICK, keep=["everything"])
    with pytest.raises(ValueError, match=r"^model: str; expected what load_model\(\) returns$"):
        DragEditor("storybook")
    with pytest.raises(ValueError, match=r"^lora: int; expected LoraConfig, a path, a dict of tensors or None$"):
        DragEditor(tiny, lora=3)
    with pytest.raises(ValueError, match=r"^lora: cannot read .*none.safetensors"):
        DragEditor(tiny, lora=tmp_path / "none.safetensors")
    for lora in ({"a": 1}, {"down": torch.ones(2, 2)}, {"a.lora_A.weight": 3}):  # would have changed nothing, silently
        with pytest.raises(ValueError, match="^lora: '.*expected <module>.lora_A.weight and <module>.lora_B.weight"):
            DragEditor(tiny, lora=lora)
    for seed in ("a", 1.5, None, True, -1, 2**64):
        with pytest.raises(ValueError, match=f"^seed: {seed!r}; expected a whole number from 0"):
            DragEditor(tiny, seed=seed)
    with pytest.raises(ValueError, match="^callback: int; expected a function"):
        DragEditor(tiny).set_image(picture()).drag(POINTS, callback=3)


def test_a_mask_between_the_cells_is_told(tiny):
    mask = np.zeros((64, 64), bool)
    mask[33, 33] = True
    editor = DragEditor(tiny).set_image(picture())
    with pytest.warns(UserWarning, match="^mask: nothing of its 1 editable pixels is left on the model's grid of 4 px"):
        editor.drag(POINTS, mask, QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask[32, 32] = True
        editor.drag(POINTS, mask, QUICK)
    with pytest.raises(ValueError, match=r"^sample: ndarray; expected Sample"):
        drag(tiny, np.zeros((64, 64, 3)))


# where things are


@pytest.mark.parametrize("size", [(64, 64), (100, 61), (512, 748)])
def test_handles_are_reported_where_they_were_given(tiny, size):
    """No update and no tracking: what comes back is the marker itself, up to the grid's rounding."""
    points = np.array([[[size[0] // 3, size[1] // 2], [size[0] - 1, size[1] - 1]]], dtype=float)
    result = DragEditor(tiny).set_image(picture(size)).drag(points, None, dataclasses.replace(QUICK, K=0))
    cell = size[0] / result.frame.scaled[0]
    assert (np.abs(result.handles - points[:, 0]) <= 0.5 * cell + 1e-9).all()
    assert result.path.shape == (1, 1, 2) and np.array_equal(result.path[0], points[:, 0])


# the same again


def test_same_bytes_twice_and_after_another_image(tiny):
    def edit(editor):
        result = editor.set_image(picture()).drag(POINTS, mask_of((64, 64), (8, 8, 56, 56)), QUICK)
        return result.image.tobytes(), result.latent.numpy().tobytes(), result.handles.tobytes()

    editor = DragEditor(tiny, LORA)
    first = edit(editor)
    torch.manual_seed(99)
    assert edit(editor) == first
    editor.set_image(picture((50, 70), seed=5)).drag([[[10, 10], [30, 60]]], None, QUICK)
    assert edit(editor) == first
    assert edit(DragEditor(tiny, LORA)) == first


def test_same_bytes_without_the_cache(tiny, monkeypatch, tmp_path):
    sample, results = Sample(picture(), POINTS), []
    for folder in "ab":
        monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / folder))
        results.append(drag(tiny, sample, QUICK, lora=LORA).image.tobytes())
    assert results[0] == results[1]


def test_seed_is_of_the_lora(tiny):
    sample = Sample(picture(), POINTS)
    latents = [drag(tiny, sample, QUICK, lora=LORA, seed=s).latent for s in (0, 1)]
    assert not torch.equal(*latents)
    latents = [drag(tiny, sample, QUICK, lora=None, seed=s).latent for s in (0, 1)]
    assert torch.equal(*latents)


def test_no_gradients_and_no_traces(tiny_folder):
    model = load_model(tiny_folder, device="cpu")
    before = {k: v.clone() for k, v in model.unet.state_dict().items()}
    drag(model, Sample(picture(), POINTS), QUICK, lora=LORA)
    assert all(p.grad is None and not p.requires_grad for p in model.unet.parameters())
    assert before.keys() == model.unet.state_dict().keys()
    assert all(torch.equal(v, before[k]) for k, v in model.unet.state_dict().items())


def test_inversion_is_made_once_per_setting(editor):
    first = editor.invert(QUICK)
    assert len(first) == QUICK.T + 1 and torch.equal(first[0], editor.z_0)
    assert editor.invert(dataclasses.replace(QUICK, K=1, lam=3.0)) is first
    assert editor.invert(dataclasses.replace(QUICK, inversion="source")) is not first
    editor.set_image(picture(seed=1))
    assert editor.invert(QUICK) is not first


# LoRA, however it is given


def test_ways_to_give_a_lora(tiny, tmp_path):
    editor = DragEditor(tiny, LORA).set_image(picture())
    want = editor.drag(POINTS, None, QUICK).latent
    lora = fit(tiny, editor.z_0, LORA)
    file = save_lora(lora, tmp_path / "mine.safetensors")
    for source in (lora, file, str(file)):
        assert torch.equal(DragEditor(tiny, source).set_image(picture()).drag(POINTS, None, QUICK).latent, want)
    plain = DragEditor(tiny).set_image(picture()).drag(POINTS, None, QUICK).latent
    assert not torch.equal(plain, want)


def test_lora_of_another_model(tiny, tiny_sd):
    other = DragEditor(tiny_sd, LORA).set_image(picture()).lora
    with pytest.raises(ValueError, match=r"^lora: .* does not fit this model"):
        DragEditor(tiny, other).set_image(picture()).drag(POINTS, None, QUICK)


# precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precision_of_the_backbone(tiny_folder, dtype):
    model = load_model(tiny_folder, device="cpu", dtype=dtype)
    result = drag(model, Sample(picture(), POINTS), QUICK, lora=LORA)
    assert result.latent.dtype == torch.promote_types(dtype, torch.float32)
    assert result.image.size == (64, 64) and len(result.history) == 2


def test_small_gradients_survive_float16(tiny_folder):
    """A loss so small that float16 rounds its gradient to zero gives float32's direction: it is scaled on its way."""
    z, found = random(1, 4, 16, 16, dtype=torch.float32), {}

    for dtype in (torch.float32, torch.float16):
        model = load_model(tiny_folder, device="cpu", dtype=dtype)
        latent = z.clone().requires_grad_()
        loss = 1e-6 * model.eps_and_features(latent, 301, -2)[1].abs().mean()
        found[dtype] = gradient(loss, latent, dtype).flatten()
    assert 0 < found[torch.float32].abs().max() < 6e-8  # below float16's smallest number
    assert torch.cosine_similarity(found[torch.float16], found[torch.float32], dim=0) > 0.99
    assert found[torch.float16].norm() == pytest.approx(float(found[torch.float32].norm()), rel=0.05)


def test_threads_do_not_matter(tiny):
    """Sums are taken in another order, and Adam makes much of little: within two of 255 levels on a short edit."""
    threads, images = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            images.append(np.asarray(drag(tiny, Sample(picture(), POINTS), QUICK, lora=None).image, dtype=int))
    finally:
        torch.set_num_threads(threads)
    assert np.abs(images[0] - images[1]).max() <= 2


def test_overflow_is_named(tiny_folder):
    """Also where it only shows in the decoder."""
    model = load_model(tiny_folder, device="cpu")
    editor = DragEditor(model).set_image(picture())
    with torch.no_grad():
        model.vae.decoder.layers[-1].bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="decoded image is not finite; dtype torch.float32"):
        editor.drag(POINTS, None, QUICK)
    with torch.no_grad():
        model.unet.conv_in.bias.fill_(torch.inf)
    editor = DragEditor(model).set_image(picture())
    with pytest.raises(FloatingPointError, match=r"^inversion: nan in z_t at t = 1 \(time step \d+\); half"):
        editor.drag(POINTS, None, QUICK)


# the callback


def test_callback_sees_every_event_and_can_stop(editor):
    seen = []
    result = editor.drag(POINTS, None, QUICK, callback=lambda state: seen.append(state.event))
    assert seen == ["track", "update", "track", "denoise"] * 2 + ["denoise"]
    stopped = editor.drag(POINTS, None, QUICK, callback=lambda state: state.event == "update")
    assert len(stopped.history) == 1 and len(result.history) == 2
    assert stopped.image.size == (64, 64)


def test_progress_bars_go_to_stderr(tiny, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path))
    DragEditor(tiny, LORA, progress=True).set_image(picture()).drag(POINTS, None, QUICK)
    out, err = capsys.readouterr()
    assert out == "" and all(word in err for word in ("LoRA", "inversion", "drag"))
    drag(tiny, Sample(picture(), POINTS), QUICK, lora=LORA)
    assert capsys.readouterr() == ("", "")


def test_drag_in_one_call_keeps_the_sample(tiny):
    sample = Sample(picture(), POINTS, truth=picture(seed=1), name="a name")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = drag(tiny, sample, QUICK, lora=None)
    assert result.sample is sample and result.model is tiny and result.config is QUICK
    assert "truth_error_ratio" in result.metrics


def test_a_sample_brings_its_points_mask_and_truth(tiny, editor):
    sample = Sample(picture(), POINTS, mask_of((64, 64), (8, 8, 56, 56)), truth=picture(seed=1), name="a name")
    result = editor.drag(sample, config=QUICK)
    assert result.sample is sample and "truth_error_ratio" in result.metrics
    assert torch.equal(result.latent, editor.drag(sample.points, sample.mask, QUICK).latent)
    assert torch.equal(result.latent, drag(tiny, sample, QUICK, lora=None).latent)


def test_a_sample_of_another_image_or_with_a_second_mask(editor):
    for image in (picture(seed=1), picture((64, 70))):
        with pytest.raises(ValueError, match=r"^points: Sample\('', 64 x .* is of another image; expected set_image"):
            editor.drag(Sample(image, POINTS), config=QUICK)
    with pytest.raises(ValueError, match=r"^mask: given beside a Sample, which has its own"):
        editor.drag(Sample(picture(), POINTS), np.ones((64, 64)), QUICK)


@pytest.mark.parametrize("preset", ["released", "fast"])
def test_default_settings_are_those_of_the_model(tiny, monkeypatch, preset):
    assert tiny.preset == "released"
    monkeypatch.setattr(tiny, "preset", Preset(preset))
    editor, config = DragEditor(tiny).set_image(picture()), DragConfig.preset(preset)
    assert editor.drag(POINTS, callback=lambda state: True).config == config
    assert editor.invert() is editor.invert(config)


# memory


def test_low_memory_is_the_same_edit_with_checkpoints(tiny, monkeypatch, tmp_path):
    def edit(low_memory):
        monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / str(low_memory)))
        return DragEditor(tiny, LORA, low_memory=low_memory).set_image(picture()).drag(POINTS, None, QUICK)

    full, seen = edit(False), []
    hook = tiny.unet.register_forward_pre_hook(lambda unet, _: seen.append(unet.is_gradient_checkpointing))
    low = edit(True)
    hook.remove()
    assert all(seen) and not tiny.unet.is_gradient_checkpointing
    assert torch.equal(full.latent, low.latent) and full.image.tobytes() == low.image.tobytes()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")]
)
def test_out_of_memory_says_what_to_reduce(tiny, error):
    def runs_out(*_):
        raise error

    editor = DragEditor(tiny, low_memory=True).set_image(picture())
    hook = tiny.unet.register_forward_pre_hook(runs_out)
    with pytest.raises(MemoryError, match=r"^memory: not enough on cpu; use low_memory=True, a smaller image"):
        editor.drag(POINTS, None, QUICK)
    hook.remove()
    assert not tiny.unet.is_gradient_checkpointing


def test_other_errors_pass(editor):
    def wrong(*_):
        raise RuntimeError("something else")

    hook = editor.model.unet.register_forward_pre_hook(wrong)
    with pytest.raises(RuntimeError, match="^something else$"):
        editor.drag(POINTS, None, QUICK)
    hook.remove()


def test_a_compiled_unet_gives_the_same_edit(tiny_folder):
    """Dynamo sees the LoRA come and go, the hook on the features, and attention that looks at the source."""
    plain, compiled = (load_model(str(tiny_folder)) for _ in range(2))
    compiled.unet.compile(backend="eager")
    results = [DragEditor(model, LORA).set_image(picture()).drag(POINTS, config=QUICK) for model in (plain, compiled)]
    torch._dynamo.reset()
    assert torch.equal(results[0].latent, results[1].latent)


def test_the_profiler_sees_the_phases(tiny):
    with torch.profiler.profile() as profile:
        DragEditor(tiny).set_image(picture()).drag(POINTS, None, QUICK)
    named = {event.key for event in profile.key_averages()}
    assert {"encode", "inversion", "reference", "drag", "denoise", "decode"} <= named
