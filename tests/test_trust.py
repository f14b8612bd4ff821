"""What comes from strangers is data: no code of a file is run, and no name becomes HTML."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import picture

from gooddrag.sample import Sample
from gooddrag.widgets import PointPicker

PACKAGE = Path(__file__).parents[1] / "gooddrag"
MODULES = sorted(PACKAGE.rglob("*.py"))


RUNS = ("pickle.load", "pickle.loads", "joblib.load", "yaml.load", "eval", "exec", "os.system")


def forbidden(source):
    """What in a source runs code that a file brings: calls, and any Unpickler."""
    found = ["an unpickler"] if "Unpickler" in source else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            is_torchs = called == "torch.load" and keywords.get("weights_only") != "True"
            if called in RUNS or is_torchs or "allow_pickle" in keywords or keywords.get("shell") == "True":
                found.append(called)
    return found


def test_no_module_runs_what_a_file_says():
    assert len(MODULES) > 30
    found = {p.name: forbidden(p.read_text(encoding="utf-8")) for p in MODULES}
    assert {name: f for name, f in found.items() if f} == {"unpack.py": ["an unpickler"]}  # of a few named classes


@pytest.mark.parametrize(
    "code", ["torch.load(p)", "pickle.loads(b)", "np.load(p, allow_pickle=True)", "run(t, shell=True)"]
)
def test_the_scan_sees_it(code):
    assert forbidden(code)


def test_a_hostile_name_is_text_in_the_picker(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    picker = PointPicker(Sample(picture((40, 30)), [[[3, 4], [30, 20]]], name=name))
    picker.act(lambda: Sample.open(tmp_path / name))
    assert name in picker.message
    assert "<img" not in picker.notice.value and "&lt;img" in picker.notice.value


def test_no_display_and_no_home(tmp_path, tiny_folder):
    """An edit through the command line where home cannot be written and no screen is there."""
    picture().save(tmp_path / "in.png")
    (tmp_path / "home").write_text("no folder")
    gone = {"DISPLAY", "GOODDRAG_CACHE", "XDG_CACHE_HOME", "WAYLAND_DISPLAY"}
    env = {k: v for k, v in os.environ.items() if k not in gone}
    env |= {"HOME": str(tmp_path / "home"), "MPLBACKEND": "TkAgg", "PYTHONPATH": str(PACKAGE.parent),
            "HF_HUB_OFFLINE": "1", "MPLCONFIGDIR": str(tmp_path / "mpl")}  # fmt: skip
    code = ("from gooddrag import DragConfig, LoraConfig, Sample, drag, load_model; import sys;"
            "drag(load_model(sys.argv[1]), Sample('in.png', [[[20, 20], [40, 35]]]), DragConfig(num_steps=4, K=1, B=1,"
            "J=1), LoraConfig(rank=2, steps=1, batch_size=1)).save('out')")  # fmt: skip
    ended = subprocess.run([sys.executable, "-W", "always::UserWarning", "-c", code, str(tiny_folder)], cwd=tmp_path,
                           env=env, capture_output=True, text=True)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "LoRA not cached in" in ended.stderr and (tmp_path / "out" / "overview.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by setrlimit on Linux")
def test_an_edit_of_the_embedded_model_fits_into_4_gib(tmp_path):
    """The demo with fewer steps, whose number memory does not depend on; with it torch, libraries and all."""
    code = ("import resource; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30,) * 2); import gooddrag as gd; "
            "gd.drag(gd.load_model('storybook', device='cpu'), gd.storybook.edit(100), gd.DragConfig(K=2), "
            "lora=gd.LoraConfig(steps=2)).save('out')")  # fmt: skip
    env = {**os.environ, "GOODDRAG_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True, timeout=280)
    assert (tmp_path / "out" / "result.png").is_file()
