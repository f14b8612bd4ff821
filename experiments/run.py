"""Compute results and keep them, write the documents, execute the notebooks: python -m experiments.run NAME ...

Studies (aldd, aldd_control, ip, lora, masactrl, differences, presets, preset_steps, preset_lora) and questions
about latents (inversion_sweep, fig04_noise, features_matching) write results/NAME.json; so do storybook_model,
cost_sd15 and drag100_bounds. A study that was interrupted goes on with the next edit. `nearest_page` fills that column
of a folder of `gooddrag bench storybook100`, `sheet` draws every fourth edit of one, `fig08` and `fig09` two more;
`animation` draws README's picture, `documents` fills ledger, documents and card, `notebooks` executes the notebooks and
keeps their outputs, cleaned.
"""

import argparse
import base64
import io
import re
import time
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image
from tqdm import tqdm

from experiments import aldd, claims, cost, differences, edits, identity, ip, latents, tables
from experiments.keep import RESULTS, save_results, write_json
from gooddrag.evaluation import datasets
from gooddrag.evaluation.jobs import one_thread
from gooddrag.evaluation.methods import CopyPaste, Unedited
from gooddrag.evaluation.metrics import GAMMAS, dai
from gooddrag.files import atomic_file
from gooddrag.model import DiffusionModel, load_model
from gooddrag.sample import Sample

NOTEBOOKS = tables.ROOT / "notebooks"
LARGEST = 1_000_000  # bytes of a notebook with its outputs
ALL = (aldd.STUDY, aldd.CONTROL_STUDY, ip.STUDY, identity.LORA, identity.MASACTRL)
ALL += (differences.STUDY, edits.PRESETS, edits.PRESET_STEPS, edits.PRESET_LORA)
STUDIES = {study.name: study for study in ALL}
QUESTIONS = {
    **latents.QUESTIONS,
    "storybook_model": ({"pages": edits.PAGES, "samples": edits.SAMPLES}, edits.measure_model),
}
SHEETS = ("fig08", "fig09")
OTHERS = ("cost_sd15", "drag100_bounds", "nearest_page", "sheet", *SHEETS, "animation", "documents", "notebooks")
PRIVATE = re.compile(r"(/(?:home|root|tmp|Users|usr|opt|work|mnt|var)/|[A-Z]:\\)[^\s\"'<>)]*|0x[0-9a-f]{6,}")
WIDGET = "application/vnd.jupyter.widget-view+json"


def question(name: str, model: DiffusionModel) -> None:
    """Compute one file of results that is not a study."""
    settings, compute = QUESTIONS[name]
    start = time.perf_counter()
    with one_thread(model.device):
        data = compute(model)
    save_results(RESULTS / f"{name}.json", model, settings, data, time.perf_counter() - start)


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
    """Run one notebook as a reader does, and write it back with its cleaned outputs.

    Raises:
        ValueError: it is larger than `LARGEST`.
    """
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}).execute()
    text = nbformat.writes(cleaned(notebook, weights)) + "\n"
    if len(text.encode()) > LARGEST:
        raise ValueError(f"{path.name}: {len(text.encode())} bytes; expected at most {LARGEST}")
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
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
    path.parent.mkdir(exist_ok=True)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=[*STUDIES, *QUESTIONS, *OTHERS], metavar="NAME")
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--drag100", type=Path, help="folder or zip of Drag100; default: download it")
    parser.add_argument(
        "--bench", type=Path, help="nearest_page, sheet, fig08, fig09: folder of gooddrag bench storybook100"
    )
    parser.add_argument("--preset-bench", type=Path, help="fig08, fig09: the same by GoodDrag with --preset storybook")
    parser.add_argument("--only", default="", help="notebooks: those whose names begin so, like 04")
    options = parser.parse_args()
    if options.bench is None and {"nearest_page", "sheet", *SHEETS} & set(options.names):
        parser.error("expected --bench with a folder of results")
    for name in options.names:
        if name == "documents":
            claims.fill()
            tables.write()
        elif name == "cost_sd15":
            write_json(RESULTS / "cost_sd15.json", {tier: cost.needs(low=tier == "low") for tier in ("full", "low")})
        elif name == "drag100_bounds":
            data = datasets.drag100(options.drag100)
            about = {"command": "python -m experiments.run drag100_bounds", "samples": len(data)}
            about |= {"sha256": datasets.fingerprint(data), "radii": GAMMAS}
            write_json(RESULTS / "drag100_bounds.json", {**about, "dai": bounds(list(data))})
        elif name == "nearest_page":
            print(f"{edits.fill_nearest_page(options.bench)} edits measured")
        elif name == "sheet":
            sheet = edits.results_sheet(options.bench, (), preset=options.bench)
            sheet.save(edits.FIGURES / "storybook100.jpg", quality=88)
        elif name == "fig08":
            sheet = edits.beside_draggan(options.bench, options.preset_bench, load_model(options.model))
            sheet.save(RESULTS / "fig08.jpg", quality=80)
        elif name == "fig09":
            systems, places = [*claims.SYSTEMS[1:], "GoodDrag"], edits.best_median_worst()
            sheet = edits.results_sheet(options.bench, systems, places, options.preset_bench, 5)
            sheet.save(RESULTS / "fig09.jpg", quality=80)
        elif name == "animation":
            edits.animation(load_model(options.model), edits.FIGURES / "drag.webp")
        elif name in STUDIES:
            STUDIES[name].compute(load_model(options.model))
        elif name in QUESTIONS:
            question(name, load_model(options.model))
        else:
            weights = load_model(options.model).fingerprint
            for path in tqdm(sorted(NOTEBOOKS.glob(f"{options.only}*.ipynb"))):
                execute(path, weights)


if __name__ == "__main__":
    main()
