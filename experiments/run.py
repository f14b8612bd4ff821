"""Compute results and keep them, write the documents, execute the notebooks: python -m experiments.run NAME ...

Studies (aldd, aldd_control, ip, lora, masactrl, differences, presets, preset_steps, preset_lora) and questions about
latents (inversion_sweep, fig04_noise, features_matching) write results/NAME.json; so do cost_sd15 and drag100_bounds.
A study that was interrupted goes on with the next edit. `nearest_page` fills that column of a folder of `gooddrag bench
storybook100`; `sheet` draws every fourth edit of one, `fig08` and `fig09` two more; `animation` draws README's picture,
`samples` the model card's. `documents` fills ledger, documents and card; `notebooks` executes the notebooks and keeps
their outputs, cleaned.
"""

import argparse
import base64
import io
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image
from tqdm import tqdm

from experiments import claims, cost, differences, edits, ideas, latents, tables
from experiments.keep import RESULTS, save_results, write_json
from gooddrag.evaluation import datasets
from gooddrag.evaluation.jobs import one_thread
from gooddrag.evaluation.methods import CopyPaste, Unedited
from gooddrag.evaluation.metrics import GAMMAS, dai
from gooddrag.files import atomic_file
from gooddrag.model import load_model
from gooddrag.sample import Sample

PRIVATE = re.compile(r"(/(?:home|root|tmp|Users|usr|opt|work|mnt|var)/|[A-Z]:\\)[^\s\"'<>)]*|0x[0-9a-f]{6,}")
WIDGET = "application/vnd.jupyter.widget-view+json"


def bounds(samples: list[Sample], radius: int = 20) -> dict[str, dict[str, list[float]]]:
    """Mean DAI of doing nothing and of copying pixels, by convention, at Table 1's radii; no model is needed."""
    found: dict = {}
    for name, method in (("unedited", Unedited()), (f"copy-paste, radius {radius}", CopyPaste(radius))):
        edits = [(s.image, method(None, s), s.points) for s in samples]
        for rule in ("paper", "released"):
            each = [[dai(*edit, gamma, rule) for gamma in GAMMAS] for edit in edits]
            found.setdefault(name, {})[rule] = np.mean(each, axis=0).tolist()
    return found


def execute(path: Path, weights: str) -> None:
    """Run one notebook as a reader does, and write it back with its cleaned outputs."""
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}).execute()
    with atomic_file(path) as temporary:
        temporary.write_text(nbformat.writes(cleaned(notebook, weights)) + "\n", encoding="utf-8")
    for cell in notebook.cells:
        if "thumbnail" in cell.metadata.get("tags", []):
            thumbnail(cell, edits.FIGURES / "notebooks" / f"{path.name[:2]}.jpg")


def thumbnail(cell: nbformat.NotebookNode, path: Path) -> None:
    """A cell's first picture, made small for README."""
    data = next(output.data for output in cell.outputs if "image" in "".join(output.get("data", {})))
    picture = Image.open(io.BytesIO(base64.b64decode(data.get("image/png") or data["image/jpeg"]))).convert("RGB")
    if (left := picture.width - 24 * picture.height // 11) > 0:  # the last panels, from a gap between two
        left += int((np.asarray(picture)[:, left : left + picture.height].min((0, 2)) > 235).argmax())
        picture = picture.crop((left, 0, *picture.size))
    picture.thumbnail((240, 110))
    picture.save(path, quality=80)


def cleaned(notebook: nbformat.NotebookNode, weights: str) -> nbformat.NotebookNode:
    """Without what differs from run to run and from machine to machine; in place.

    Execution counts, times, progress bars, paths and addresses go; a widget is replaced by the static picture that it
    comes with; large pictures become JPEG. The metadata say which weights made the outputs.
    """
    notebook.metadata.pop("widgets", None)
    notebook.metadata["gooddrag"] = {"weights": weights}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.execution_count, kept = None, []
        for output in cell.outputs:
            if output.get("name") == "stderr":  # progress bars and warnings
                continue
            if "execution_count" in output:
                output.execution_count = None
            if "text" in output:
                output.text = PRIVATE.sub("...", output.text)
            data = output.get("data", {})
            if data.pop(WIDGET, None) is not None:
                data.pop("text/plain", None)
            for kind in [k for k in data if k.startswith("text/")]:
                data[kind] = PRIVATE.sub("...", data[kind])
            png = data.get("image/png", "")
            if len(png) > 50_000 and len(smaller := jpeg(png)) < len(png):
                data["image/jpeg"] = smaller
                del data["image/png"]
                output.metadata["image/jpeg"] = output.metadata.pop("image/png", {})  # its size on the screen
            if data or output.output_type not in ("display_data", "execute_result"):
                kept.append(output)
        cell.outputs = kept
    return notebook


def jpeg(png: str) -> str:
    """A picture in base64, as JPEG; one of many panels, whose file is large, at a lower quality."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    for quality in (72, 55, 42):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() < 80_000:
            break
    return base64.b64encode(buffer.getvalue()).decode()


def question(options: argparse.Namespace, name: str) -> None:
    """Compute one file of results that is not a study."""
    model, (settings, compute), start = load_model(options.model), latents.QUESTIONS[name], time.perf_counter()
    with one_thread(model.device):
        data = compute(model)
    save_results(RESULTS / f"{name}.json", model, settings, data, time.perf_counter() - start)


def drag100_bounds(options: argparse.Namespace) -> None:
    data = datasets.drag100(options.drag100)
    about = {"command": "python -m experiments.run drag100_bounds", "samples": len(data)}
    about |= {"sha256": datasets.fingerprint(data), "radii": GAMMAS}
    write_json(RESULTS / "drag100_bounds.json", {**about, "dai": bounds(list(data))})


def notebooks(options: argparse.Namespace) -> None:
    weights = load_model(options.model).fingerprint
    for path in tqdm(sorted(tables.ROOT.glob(f"notebooks/{options.only}*.ipynb"))):
        execute(path, weights)


STUDIES = (*ideas.STUDIES, differences.STUDY, edits.PRESETS, edits.PRESET_STEPS, edits.PRESET_LORA)
COMMANDS: dict[str, Callable[[argparse.Namespace], object]] = {
    **{study.name: lambda o, study=study: study.compute(load_model(o.model)) for study in STUDIES},
    **{name: partial(question, name=name) for name in latents.QUESTIONS},
    "cost_sd15": lambda o: write_json(RESULTS / "cost_sd15.json", {"full": cost.needs(), "low": cost.needs(low=True)}),
    "drag100_bounds": drag100_bounds,
    "nearest_page": lambda o: edits.fill_nearest_page(o.bench),
    "sheet": lambda o: edits.preset_sheet(o.bench).save(edits.FIGURES / "storybook100.jpg", quality=88),
    "fig08": lambda o: edits.fig08(o.bench, o.preset_bench, load_model(o.model)).save(
        RESULTS / "fig08.jpg", quality=80
    ),
    "fig09": lambda o: edits.fig09(o.bench, o.preset_bench).save(RESULTS / "fig09.jpg", quality=80),
    "samples": lambda o: edits.samples(load_model(o.model)).save(edits.FIGURES / "storybook_samples.jpg", quality=90),
    "animation": lambda o: edits.animation(load_model(o.model), edits.FIGURES / "drag.webp"),
    "documents": lambda o: (claims.fill(), tables.write()),
    "notebooks": notebooks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=COMMANDS, metavar="NAME")
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--drag100", type=Path, help="folder or zip of Drag100; default: download it")
    parser.add_argument("--bench", type=Path, help="folder of gooddrag bench storybook100, for the page and the sheets")
    parser.add_argument("--preset-bench", type=Path, help="fig08, fig09: the same by GoodDrag with --preset storybook")
    parser.add_argument("--only", default="", help="notebooks: those whose names begin so, like 04")
    options = parser.parse_args()
    for name in options.names:
        COMMANDS[name](options)


if __name__ == "__main__":
    main()
