"""Training at tiny sizes: it resumes bit by bit, folds the latents' moments, and writes what diffusers reads."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from gooddrag.storybook.pictures import Pictures
from gooddrag.storybook.recipe import Recipe
from gooddrag.storybook.sitting import Sitting
from gooddrag.storybook.train import train
from gooddrag.storybook.train_autoencoder import fold, moments, train_autoencoder
from gooddrag.storybook.train_unet import quicken, train_unet
from gooddrag.storybook.training_files import load_checkpoint, save_checkpoint
from safetensors.torch import load_file
from tiny import TINY_SD

from gooddrag.loading import load_model
from storybook import pictures

pytest.importorskip("skimage")

TINY = dict(size=32, shard=12, photos=3, first_shards=1, grow_shards=1, pictures_per_sample=1.0, ae_channels=8,
            ae_blocks=(1, 1, 1), ae_batch=2, ae_crop=16, channels=(16, 32, 32), batch=3, warmup=2,
            eval_pages=2, eval_photos=2, eval_every=2, save_seconds=0.0)  # fmt: skip
RECIPE = Recipe(**TINY)
STEPS = {"autoencoder": 4, "unet": 6}
COOLING = STEPS | {"cooldown": 10}
CHECKPOINTS = ("autoencoder.safetensors", "unet.safetensors")
PHASES = ["autoencoder", "unet", "unet", "unet"]


def run(folder: Path, **changes) -> dict:
    settings = dict(work=folder / "work", recipe=RECIPE, steps=STEPS, processes=0) | changes
    return train(folder / "out", **settings)


def assert_same_training(one: Path, two: Path, names: tuple[str, ...] = CHECKPOINTS) -> None:
    for name in names:
        a, b = load_file(one / "work" / name), load_file(two / "work" / name)
        assert a.keys() == b.keys()
        assert [k for k in a if not torch.equal(a[k], b[k])] == []


def phases(folder: Path) -> list[str]:
    return [json.loads(line)["phase"] for line in (folder / "work" / "metrics.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    return folder, run(folder)


@pytest.fixture
def again(straight, tmp_path):
    """A folder with all pictures drawn, but nothing trained."""
    shutil.copytree(straight[0] / "work", tmp_path / "work", ignore=shutil.ignore_patterns(*CHECKPOINTS, "*.jsonl"))
    return tmp_path


@pytest.fixture
def trained(straight, tmp_path):
    shutil.copytree(straight[0] / "work", tmp_path / "work")
    return tmp_path


@pytest.fixture
def weights(straight, tmp_path):
    """The exported folder, as if it had taken long."""
    folder = tmp_path / "weights"
    shutil.copytree(straight[0] / "out", folder)
    card = json.loads((folder / "training.json").read_text()) | {"hours": 5.0}
    (folder / "training.json").write_text(json.dumps(card))
    return folder


class Interrupted(Sitting):
    """Hears the signal before step `at` of `phase`."""

    def __init__(self, work: Path, phase: str, at: int):
        super().__init__(work, 0, RECIPE.save_seconds, {}, COOLING)
        self.where = phase, at

    def over(self, phase, progress):
        if (phase, progress["step"]) == self.where:
            with self.watching_signals():
                signal.raise_signal(signal.SIGTERM)
        return super().over(phase, progress)


@pytest.mark.parametrize("phase, at", [("autoencoder", 2), ("autoencoder", 3), ("unet", 3)])
def test_stop_and_resume_give_the_same_weights(straight, again, phase, at):
    work = again / "work"
    sitting, source = Interrupted(work, phase, at), Pictures(work, 32, 12, 3, processes=0)
    vae, progress = train_autoencoder(RECIPE, source, sitting)
    assert progress["done"] == (phase == "unet")
    if phase == "unet":
        _, progress = train_unet(RECIPE, vae, source, sitting)
    assert progress["step"] == at
    run(again)
    assert_same_training(straight[0], again)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_kill_loses_nothing_that_was_saved(straight, again):
    script = f"""
from pathlib import Path
from gooddrag.storybook.recipe import Recipe
from gooddrag.storybook.train import train
folder = Path({str(again)!r})
train(folder / "out", work=folder / "work", recipe=Recipe(**{TINY!r}), steps={STEPS!r}, processes=0)
"""
    saved = again / "work" / "unet.safetensors"
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not saved.exists():
            time.sleep(0.01)
        process.kill()
    assert saved.exists()
    run(again)
    assert_same_training(straight[0], again)


def test_exported_folder_loads(straight):
    folder, card = straight
    out = folder / "out"
    assert all(t.dtype == torch.float16 for part in ("vae", "unet")
               for t in load_file(out / part / "diffusion_pytorch_model.safetensors").values())  # fmt: skip
    vae = AutoencoderTiny.from_pretrained(out, subfolder="vae")
    unet = UNet2DConditionModel.from_pretrained(out, subfolder="unet")
    config = DDIMScheduler.from_pretrained(out, subfolder="scheduler").config
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (0.00085, 0.012, "scaled_linear")
    assert (config.clip_sample, config.set_alpha_to_one, config.steps_offset) == (False, False, 1)
    assert vae.config.scaling_factor == 1
    averaged = {k.removeprefix("ema/"): t for k, t in load_file(folder / "work" / "unet.safetensors").items()
                if k.startswith("ema/")}  # fmt: skip
    assert all(torch.equal(t, averaged[k].half().float()) for k, t in unet.float().state_dict().items())

    model = load_model(out)
    assert (model.vae_scale, model.native_size) == (4, 32)
    z = model.encode(torch.zeros(1, 3, 32, 32))
    eps, features = model.eps_and_features(z, 500)
    assert z.shape == eps.shape == (1, 4, 8, 8) and features.shape[-2:] == (8, 8)
    assert model.decode(z).shape == (1, 3, 32, 32)
    assert any("up_blocks.1.attentions" in name and "attn1" in name for name in unet.attn_processors)

    assert json.loads((out / "training.json").read_text()) == card
    assert card["steps"] == 6 and card["samples"] == 18 and card["ae_steps"] == 4 and card["pictures"] == 24
    assert set(card["held_out"]) == {"db_storybook", "db_photos", "eps_mse_storybook", "eps_mse_photos"}
    readme = (out / "README.md").read_text()
    assert f"{card['held_out']['eps_mse_storybook']:.4g}" in readme and card["command"] in readme
    assert phases(folder) == PHASES
    assert (out / "history.jsonl").read_bytes() == (folder / "work" / "metrics.jsonl").read_bytes()


def test_export_alone_writes_the_same(straight, tmp_path):
    folder, card = straight
    again = train(tmp_path, work=folder / "work", recipe=RECIPE, export_only=True)
    assert again | {"command": card["command"]} == card
    for part in ("vae", "unet"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_folding_normalises_and_is_undone_by_the_decoder():
    torch.manual_seed(0)
    vae = RECIPE.autoencoder().double()
    x = torch.rand(8, 3, 32, 32, dtype=torch.float64) * 2 - 1
    before, (mean, std) = vae.encode(x).latents, moments(vae, x)
    seen = torch.nn.functional.conv2d(before, vae.decoder.layers[0].weight, vae.decoder.layers[0].bias)
    fold(vae, mean, std)
    z = vae.encode(x).latents
    affine = (before - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(z, affine)
    torch.testing.assert_close(moments(vae, x), (torch.zeros_like(mean), torch.ones_like(std)), atol=1e-9, rtol=1e-9)
    # behind the clamp the decoder sees the same numbers as before, but for the border, where the padding differs
    torch.testing.assert_close(vae.decoder.layers[0](z)[..., 1:-1, 1:-1], seen)


def test_trained_latents_are_normalised(straight):
    _, card = straight
    assert max(map(abs, card["latent_mean"])) < 0.05
    assert max(abs(s - 1) for s in card["latent_std"]) < 0.05


def test_cooldown_is_a_branch(trained):
    trunk = (trained / "work" / "unet.safetensors").read_bytes()
    card = run(trained, cooldown=1.0, steps=COOLING)
    assert card["cooled_down"] and card["steps"] == 10
    assert (trained / "work" / "unet.safetensors").read_bytes() == trunk
    log = [json.loads(line) for line in (trained / "work" / "metrics.jsonl").read_text().splitlines()]
    assert log[-1]["phase"] == "cooldown" and log[-1]["lr"] < RECIPE.lr
    card = run(trained, steps=STEPS | {"unet": 8})  # the trunk goes on from where it was
    assert card["steps"] == 8 and not card["cooled_down"]


def test_the_trunk_is_trained_before_its_cooldown(straight, again):
    card = run(again, cooldown=1.0, steps=COOLING)
    assert card["cooled_down"] and card["steps"] == 10
    assert_same_training(straight[0], again)
    assert phases(again) == [*PHASES, "cooldown", "cooldown"]
    trunk = again / "work" / "unet.safetensors"
    before = trunk.stat().st_mtime_ns
    assert run(again, cooldown=1.0, steps=COOLING) == card  # all is done, the cooldown too
    assert trunk.stat().st_mtime_ns == before and phases(again) == [*PHASES, "cooldown", "cooldown"]


def test_minutes_come_before_the_cooldown(again):
    card = run(again, minutes=0.001, cooldown=0.001, steps={"autoencoder": 4})
    trunk = load_checkpoint(again / "work" / "unet.safetensors", {})
    assert trunk["step"] > 0 and trunk["seconds"] >= 0.06
    assert card["cooled_down"] and card["steps"] > trunk["step"]


@pytest.mark.parametrize("minutes", [None, 0])
def test_cooldown_alone_needs_a_trunk(straight, trained, minutes):
    alone = dict(minutes=minutes, cooldown=1.0, steps={"autoencoder": 4, "cooldown": 10})
    assert run(trained, **alone)["steps"] == 10
    assert_same_training(straight[0], trained)
    before = contents(trained)
    with pytest.raises(ValueError, match="^cooldown: .* has no unet.safetensors to branch off"):
        run(trained, resume=False, **alone)
    assert contents(trained) == before


def test_interrupted_cooldown_goes_on_until_the_trunk_has_grown(straight, trained, tmp_path):
    name, other = "unet-cooled.safetensors", tmp_path / "other"
    shutil.copytree(straight[0] / "work", other / "work")
    run(other, cooldown=1.0, steps=COOLING)

    work = trained / "work"
    sitting, source = Interrupted(work, "cooldown", 8), Pictures(work, 32, 12, 3, processes=0)
    vae, _ = train_autoencoder(RECIPE, source, sitting)
    _, progress = train_unet(RECIPE, vae, source, sitting, cooldown=1.0)
    assert progress["step"] == 8
    stopped = (work / name).read_bytes()
    run(trained, cooldown=1.0, steps=COOLING)
    assert_same_training(other, trained, (name,))

    (work / name).write_bytes(stopped)
    run(trained, cooldown=1.0, steps=COOLING | {"unet": 9})
    assert load_checkpoint(work / name, {})["branched_at"] == 9


def test_more_minutes_for_the_autoencoder_refine_the_decoder_only(trained):
    before = load_file(trained / "work" / "autoencoder.safetensors")
    card = run(trained, steps={"autoencoder": 8, "unet": 6})
    after = load_file(trained / "work" / "autoencoder.safetensors")
    changed = {name.split("/")[1].split(".")[0] for name in before
               if name.startswith("vae/") and not torch.equal(before[name], after[name])}  # fmt: skip
    assert changed == {"decoder"}
    assert card["ae_steps"] == 8 and card["steps"] == 6
    assert run(trained, steps={"autoencoder": 8, "unet": 6})["ae_steps"] == 8


def test_begins_with_weights_and_a_new_optimiser(straight, tmp_path):
    folder, before = straight
    card = run(tmp_path, start=folder / "out", steps={"unet": 8}, ae_minutes=0)
    assert card["steps"] == 8 and card["samples"] == before["samples"] + 2 * RECIPE.batch
    assert all(card[name] == before[name] for name in ("ae_steps", "latent_mean", "latent_std"))
    name = "vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_cooldown_of_given_weights(straight, weights, tmp_path):
    card = run(tmp_path, start=weights, cooldown=0.001, steps={}, ae_minutes=0)
    assert card["cooled_down"] and card["steps"] > straight[1]["steps"] and card["hours"] >= 5
    progress = load_checkpoint(tmp_path / "work" / "unet-cooled.safetensors", {})
    assert (progress["branched_at"], progress["branched_seconds"]) == (straight[1]["steps"], 5 * 3600)
    assert progress["seconds"] >= 5 * 3600 + 0.06
    again = run(tmp_path, start=weights, cooldown=0.001, steps={}, ae_minutes=0)
    assert again["steps"] == card["steps"]
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="^start: none given; .* has a cooldown of weights"):
        run(tmp_path, steps={"unet": 50})  # or it would begin from nothing
    assert contents(tmp_path) == before


def test_weights_of_another_encoder_are_refused(straight, tmp_path):
    train(tmp_path / "vae", work=tmp_path / "work", recipe=RECIPE, steps=STEPS, processes=0, minutes=0, seed=1)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="^start: .*out' has another encoder than "):
        run(tmp_path, start=straight[0] / "out", steps={"unet": 8})
    assert contents(tmp_path) == before
    shutil.copy(straight[0] / "work" / "autoencoder.safetensors", tmp_path / "work")
    assert run(tmp_path, start=straight[0] / "out", steps={"unet": 8}, ae_minutes=0)["steps"] == 8


def test_no_resume_begins_again(straight, trained):
    run(trained, steps={"autoencoder": 4, "unet": 7})
    run(trained, resume=False)
    assert_same_training(straight[0], trained)
    assert phases(trained) == PHASES


def test_an_autoencoder_never_lies_beside_the_unet_of_another(straight, again):
    shutil.copytree(straight[0] / "out", again / "out")
    before = contents(again)
    with pytest.raises(ValueError, match="^out: .*out' has a U-Net"):
        run(again, minutes=0)
    assert contents(again) == before  # not even trained
    train(again / "vae", work=again / "work", recipe=RECIPE, steps=STEPS, processes=0, minutes=0)
    before = contents(again / "out")
    with pytest.raises(ValueError, match="^out: .*out' has a U-Net"):
        run(again, export_only=True)
    assert contents(again / "out") == before


def test_the_card_says_how_it_was_made(straight, trained):
    common, threads = f"--work {trained / 'work'} --channels 16 32 32", torch.get_num_threads()
    card = run(trained, minutes=0.5, cooldown=2.0, seed=3, threads=threads, steps=COOLING)
    shown, own = card["command"].split("  # ")
    assert shown == (
        f"gooddrag train-storybook --output {trained / 'out'} {common} "
        f"--minutes 0.5 --ae-minutes 15 --cooldown 2 --seed 3 --threads {threads} --processes 0"
    )
    assert "'size': 32" in own and "'cooldown': 10" in own and "'channels'" not in own
    assert card["command"] in (trained / "out" / "README.md").read_text()
    shown = run(trained, export_only=True)["command"].split("  # ")[0]
    assert shown == f"gooddrag train-storybook --output {trained / 'out'} {common} --export-only"


def test_pictures_do_not_depend_on_who_draws_them(tmp_path):
    alone, helped = (Pictures(tmp_path / n, 32, 6, 2, processes=p) for n, p in (("a", 0), ("b", 1)))
    alone.grow(2)
    helped.grow(1)
    assert (alone.shard(0) == helped.shard(0)).all()
    assert alone.shard(0).shape == (6, 32, 32, 3)
    assert (alone.shard(0) != alone.shard(1)).any()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGALRM, signal.SIGKILL])
def test_who_draws_ends_with_the_training(tmp_path, sent):
    """However it was killed: a pipe is read to its end when the last process that may write to it has ended."""
    script = f"""
from pathlib import Path
from gooddrag.storybook.pictures import Pictures
Pictures(Path({str(tmp_path)!r}), 32, 1, 0, processes=2).grow(100_000)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(tmp_path.glob("*/0*.npy")):
            time.sleep(0.01)
        process.send_signal(sent)
        process.communicate(timeout=60)
    assert process.returncode == -sent


def test_held_out_is_never_drawn():
    assert not set(pictures.PHOTOS) & set(pictures.HELD_OUT_PHOTOS)
    recipe = Recipe()
    assert recipe.max_shards * recipe.shard <= pictures.HELD_OUT_PAGES < 10**9 - 10_000


def test_default_model_fits_its_budget():
    recipe = Recipe()
    unet, vae = recipe.unet(), recipe.autoencoder()
    half = 2 * sum(p.numel() for module in (unet, vae) for p in module.parameters())
    assert half <= 40e6
    features = []
    unet.up_blocks[-2].register_forward_hook(lambda module, args, output: features.append(output))
    with torch.no_grad():
        unet(torch.zeros(1, 4, 32, 32), 1, encoder_hidden_states=torch.zeros(1, 1, recipe.channels[0]))
    assert features[0].shape[1] >= 96 and features[0].shape[2:] == (32, 32)


def test_what_is_faster_to_train_is_the_same_model():
    torch.manual_seed(0)
    unet = RECIPE.unet().double()
    z, token = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.zeros(2, 1, 16, dtype=torch.float64)
    before = unet(z, torch.tensor([10, 700]), encoder_hidden_states=token).sample
    quicken(unet)
    after = unet(z, torch.tensor([10, 700]), encoder_hidden_states=token).sample
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrong, message", [
    ({"minutes": -1.0}, "minutes"),
    ({"cooldown": float("nan")}, "cooldown"),
    ({"start": Path("nowhere")}, "start"),
    ({"export_only": True}, "work"),
    ({"work": Path(__file__) / "below"}, "work"),
    ({"work": Path("/proc/none")}, "work"),
    ({"recipe": Recipe(channels=(64, 100, 256))}, "channels"),
])  # fmt: skip
def test_wrong_arguments(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=f"^{message}: "):
        run(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []


def test_another_model_is_refused_before_diffusers_prints_what_it_misses(tmp_path, monkeypatch):
    monkeypatch.setattr(AutoencoderTiny, "from_pretrained", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ValueError, match="^start: .*tiny-sd' is not a folder of weights .*training.json"):
        run(tmp_path, start=TINY_SD)


def test_out_is_checked_before_the_work_begins(tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="^out: .* is a file"):
            train(out, work=tmp_path / "work", recipe=RECIPE, steps=STEPS, processes=0)
    assert not (tmp_path / "work").exists()


def test_without_scikit_image(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    for call in (lambda: run(tmp_path, processes=1), lambda: Pictures(tmp_path, 32, 6, 2, processes=1).grow(1)):
        with pytest.raises(ValueError, match=r'^photos: scikit-image is missing; .*pip install -e "\.\[train\]"'):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export_only", [False, True])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_damaged_checkpoint(trained, name, export_only):
    path = trained / "work" / name
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"^work: {re.escape(str(path))} cannot be read .*; expected a whole"):
        run(trained, export_only=export_only)


def test_checkpoint_of_other_channels(trained):
    with pytest.raises(ValueError, match="^work: .*unet.safetensors cannot be read .*with these channels$") as error:
        run(trained, recipe=Recipe(**TINY | {"channels": (16, 16, 16)}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file, content, said", [
    ("training.json", "{}", "training.json has no ae_steps, ae_hours, "),
    ("training.json", "3", "not iterable"),
    ("unet/diffusion_pytorch_model.safetensors", "damaged", ""),
    ("unet/config.json", "{}", ""),
])  # fmt: skip
def test_wrong_weights_to_begin_with(trained, weights, file, content, said):
    (weights / file).write_text(content)
    before = contents(trained)
    with pytest.raises(ValueError, match=f"^start: .*weights' is not a folder of weights .*{said}") as error:
        run(trained, start=weights, resume=False)
    assert contents(trained) == before and "\n" not in str(error.value)


def test_half_written_checkpoint_never_replaces_a_whole_one(tmp_path):
    path = tmp_path / "c.safetensors"
    module = torch.nn.Linear(2, 2)
    optimizer, generator = torch.optim.AdamW(module.parameters()), torch.Generator()
    save_checkpoint(path, {"m": module}, optimizer, generator, {"step": 1})
    whole = path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(path, {"m": module}, optimizer, generator, {"step": object()})
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]
