"""The project's own files: what a fresh clone would trip over."""

import json
import pkgutil
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from tiny import ROOT, python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = ("pip install -e . && gooddrag demo", 'pip install -e ".[test]" && pytest')


def tracked():
    """What git would commit, so that a virtual environment or a build inside the tree does not count."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_conda_environment_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    extras = PROJECT["optional-dependencies"]
    expected = [f"python{PROJECT['requires-python']}", "pip", *PROJECT["dependencies"], *extras["notebooks"]]
    assert [dependency.replace("pytorch>", "torch>") for dependency in conda] == expected
    (install,) = pip["pip"]
    match = re.fullmatch(r"-e \.\[(.+)\]", install)
    assert set(match[1].split(",")) <= set(extras)


def test_readme_has_the_two_commands_and_ci_runs_the_second():
    lines = (ROOT / "README.md").read_text().splitlines()
    for command in COMMANDS:
        assert lines.count(command) == 1
    assert COMMANDS[1] in (ROOT / ".ci" / "run").read_text()


def test_readme_lists_every_notebook_and_its_links_lead_somewhere():
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"(notebooks/{notebook.name})" in (ROOT / "README.md").read_text(), notebook.name
    for document in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / document).read_text()):
            assert (ROOT / link).exists(), f"{document}: {link}"


def test_no_path_of_one_machine():
    somebodys = re.compile(r"(?<![\w.])(/(?:home|root|work|farm|opt|tmp|Users)/|[A-Z]:\\)")
    found, texts = [], {".py", ".md", ".ipynb", ".toml", ".yml", ".yaml", ".json", ".txt"}
    for path in tracked():
        if path.suffix in texts or path.parent.name == ".ci":
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":  # what it says, not how JSON escapes it: "N:" at a line's end is no drive
                text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
            found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in somebodys.finditer(text)]
    assert not found


def test_weights_are_safetensors_and_small():
    files = tracked()
    assert not [path.name for path in files if path.suffix in {".pt", ".pth", ".pkl", ".bin", ".ckpt"}]
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") < 40e6


def test_wheel_holds_the_whole_package(tmp_path):
    wheel_builder = pytest.importorskip("hatchling.builders.wheel")
    wheel = next(wheel_builder.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    listing = subprocess.run([sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True)
    packed = {line.split()[0] for line in listing.stdout.splitlines()}
    names = {str(path.relative_to(ROOT)) for path in tracked()}
    assert {name for name in names if name.startswith(("gooddrag/", "storybook/"))} <= packed


def test_import_is_light():
    done = python("import sys, gooddrag; print(*({'torch', 'diffusers', 'matplotlib', 'PIL'} & set(sys.modules)))")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done


def test_no_module_takes_the_place_of_a_function():
    # importing gooddrag/drag.py would set gooddrag.drag to the module, and `gd.drag(...)` would fail from then on
    names = python("import gooddrag; print(*gooddrag._HOME)").stdout.split()
    assert "drag" in names
    assert not [name for name in names if (ROOT / "gooddrag" / f"{name}.py").exists()]


def test_the_index_leads_from_every_equation_to_a_function():
    done = python("import gooddrag; print(gooddrag.__doc__)").stdout
    named = re.findall(r"\b((?:ddim|motion|config|algorithm|evaluation|lora|editor|masactrl)\.[\w.]+)", done)
    assert {f"Eq. {n}" for n in range(1, 13)} <= set(re.findall(r"Eq\. \d+", done)) and len(named) >= 16
    assert all(callable(pkgutil.resolve_name(f"gooddrag.{name}")) for name in named)


def test_every_public_name_is_there():
    names = "[getattr(gd, name) for name in gd.__all__]; assert {'drag', 'storybook'} <= set(dir(gd))"
    done = python(f"import gooddrag as gd; {names}; gd.dragg")
    assert "has no attribute 'dragg'; it has load_model, " in done.stderr, done.stderr
