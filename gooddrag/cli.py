"""The command line: `gooddrag demo`, `drag`, `bench` and `figures`. What a command needs is imported when it runs."""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

import gooddrag
from gooddrag.config import PRESETS
from gooddrag.files import atomic_file, atomic_folder, expand
from gooddrag.sample import Sample, parse_points

EXPECTED = (ValueError, FloatingPointError, MemoryError, ImportError, OSError)  # also an extra missing, the disk full
SHOWN = ["dai_1", "dai_released_1", "md", "truth_error_inside_mask", "damage_outside_mask"]

# Typer makes an option of each parameter, so that `drag` and `bench` have more of them than a function should.
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")]
NAMES = '"storybook", "sd15", "auto", a folder, a .safetensors file, a Hub id.'
ModelName = Annotated[str, typer.Option(metavar="NAME|PATH", help=NAMES)]
PRESET_HELP = f"Settings: {', '.join(PRESETS)}."
PresetName = Annotated[str | None, typer.Option(help=PRESET_HELP, show_default="what suits the model")]


class Command(TyperCommand):
    """Reports a user's mistake as one line with exit code 2, and each warning once."""

    def invoke(self, ctx):
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: typer.echo(f"note: {message}", err=True)
            warnings.simplefilter("default", UserWarning)
            try:
                return super().invoke(ctx)
            except EXPECTED as error:
                extra = '; expected `pip install -e ".[bench,notebooks]"` in the clone'
                typer.echo(f"gooddrag: {error}{extra if isinstance(error, ImportError) else ''}", err=True)
                raise typer.Exit(2) from error
            except KeyboardInterrupt:
                typer.echo("gooddrag: interrupted, nothing half written", err=True)
                raise typer.Exit(130) from None


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """Drag points of an image with a diffusion model (GoodDrag, ICLR 2025)."""
    if version:
        typer.echo(f"gooddrag {gooddrag.__version__}")
        raise typer.Exit


@app.command(cls=Command, epilog="Example: gooddrag demo --seed 107 -o first-edit")
def demo(
    *,
    output: Output = Path("gooddrag-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Which storybook edit.")] = 128,
    model: ModelName = "storybook",
    preset: PresetName = None,
) -> None:
    """Drag one page of the storybook and compare with the truth."""
    from storybook import edit

    sample = edit(seed)
    typer.echo(f"storybook edit {seed}: {sample.category}, {sample.task}, {len(sample.points)} pair(s)", err=True)
    metrics = drag_to(output, sample, preset, {"name": model})
    asked, left = (max(metrics[f"distance_{name}_px"]) for name in ("asked", "left"))
    error = f"squared error to the truth inside the mask: {metrics['truth_error_ratio']:.2f} of the unedited image's"
    typer.echo(f"dragged {asked:.0f} px, {left:.0f} px left; {error}")
    typer.echo(f"written: {output}/overview.png (before, user edit, after, truth), result.png, metrics.json and more")
    typer.echo('next: gooddrag drag IMAGE --points "x,y>x,y" -o DIR, or notebooks/00_quickstart.ipynb')


@app.command(cls=Command, epilog='Example: gooddrag drag cat.jpg --points "147,67>202,46" --mask mask.png -o out')
def drag(
    image: Annotated[Path, typer.Argument(help="Any image file.", show_default=False)],
    *,
    points: Annotated[str, typer.Option(help='"x,y>x,y;...": handle > target in pixels; or a points.json.')],
    output: Output,
    mask: Annotated[Path | None, typer.Option(help="Image of the same size, white where it may change.")] = None,
    model: ModelName = "auto",
    vae: Annotated[str | None, typer.Option(metavar="NAME|PATH", help="Another VAE for the model.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...", show_default="a GPU, if any")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16, ...", show_default="what suits both")] = None,
    preset: PresetName = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the LoRA's fit; nothing else is random.")] = 0,
    lora: Annotated[Path | None, typer.Option(help="Use this LoRA file instead of fitting one.")] = None,
    no_lora: Annotated[bool, typer.Option("--no-lora", help="Use no LoRA at all.")] = False,
    keep_outside: Annotated[bool, typer.Option("--keep-outside", help="Put back the pixels outside the mask.")] = False,
    low_memory: Annotated[bool, typer.Option("--low-memory", help="Half the memory, a third slower.")] = False,
) -> None:
    """Drag points of IMAGE and write result.png, overview.png, metrics.json and the edit itself to DIR."""
    import torch

    sample = Sample(image, parse_points(points), mask, name=image.stem)
    for path in (image, mask, None if ">" in points else Path(points)):
        if path and expand(path).resolve().parent == expand(output).resolve():  # an edit writes the sample, too
            raise ValueError(f"output: {str(output)!r} holds {path.name}, which is given; expected another folder")
    loaded_by = {"name": model, "vae": vae, "device": device, "dtype": dtype and getattr(torch, dtype, dtype)}
    given = expand(lora) if lora else not no_lora
    how = {"lora": given, "seed": seed, "keep_outside": keep_outside, "low_memory": low_memory}
    metrics = drag_to(output, sample, preset, loaded_by, **how)
    typer.echo(json.dumps(metrics, indent=2))
    typer.echo(f"written: {output}/result.png and overview.png, by {metrics['model']}", err=True)


def drag_to(
    output: Path,
    sample: Sample,
    preset: str | None,
    loaded_by: dict,
    *,
    lora: Path | bool = True,
    keep_outside: bool = False,
    **editing,
) -> dict:
    """Load a model by its arguments, drag and write; returns the metrics. `lora`: a file; True: fit one; False: none.
    `editing`: "seed" and "low_memory" of DragEditor."""
    from gooddrag import DragConfig, DragEditor, LoraConfig, load_model

    if preset:
        DragConfig.preset(preset)  # or the error, before the model is loaded
    with atomic_folder(output) as temporary:
        model = load_model(**loaded_by)
        preset = preset or model.preset
        config = DragConfig.preset(preset)
        typer.echo(f"model: {model.why}, on {model.device.type}; settings: {preset}", err=True)
        lora = LoraConfig.preset(preset) if lora is True else lora or None
        editor = DragEditor(model, lora, progress=sys.stderr.isatty(), **editing).set_image(sample.image)
        if editor.frame.scaled != editor.frame.user:
            note = "note: edited at {}x{}, scaled back to {}x{}".format(*editor.frame.scaled, *editor.frame.user)
            note += "" if keep_outside else "; --keep-outside leaves what is outside a mask as sharp as it was"
            typer.echo(note, err=True)
        result = editor.drag(sample, config=config, keep_outside=keep_outside)
        result.save(temporary)
    return result.metrics


@app.command(cls=Command, epilog="Example: gooddrag bench storybook100 --methods Unedited,GoodDrag --only 0-9 -o out")
def bench(
    data: Annotated[str, typer.Argument(help="storybook100, drag100, dragbench, sde_dragbench, or a folder or zip.")],
    *,
    output: Output,
    source: Annotated[Path | None, typer.Option(metavar="PATH", help="Folder or zip of a published set.")] = None,
    methods: Annotated[str | None, typer.Option(help='"GoodDrag,SDE-Drag".', show_default="all")] = None,
    preset: Annotated[str, typer.Option(help="Settings of GoodDrag and its ablations.")] = "released",
    only: Annotated[str | None, typer.Option(help='Places in the data set, "0-9,42".', show_default="all")] = None,
    model: ModelName = "auto",
    vae: Annotated[str | None, typer.Option(metavar="NAME|PATH", help="Another VAE for the model.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes: one per GPU, or sharing the cores.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Stop if a sample cannot be used.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Forget the folder's failed edits first.")] = False,
) -> None:
    """Run methods on a data set and score them; the same command goes on where it was stopped."""
    from gooddrag.evaluation import benchmark
    from gooddrag.evaluation.methods import methods_with

    known = methods_with(preset)
    asked = list(known) if methods is None else [name.strip() for name in methods.split(",")]
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"methods: {', '.join(map(repr, unknown))}; expected some of {', '.join(known)}")
    samples = find_samples(data, source, only)
    if retry:
        benchmark.forget_failures(output)
    chosen, loaded_by = {name: known[name] for name in asked}, {"name": model, "vae": vae}
    table = benchmark.run(output, samples, chosen, model=loaded_by, workers=workers, strict=strict)
    with atomic_file(output / "table.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    means = benchmark.summary(table, SHOWN)
    if "Unedited" in means.index:
        for score in SHOWN[:2]:
            means[f"{score}, unedited = 1"] = means[score] / means.loc["Unedited", score]
    typer.echo(means.to_string(float_format="{:.4f}".format))
    for row in table[table["state"] == "failed"].head(10).itertuples():
        typer.echo(f"failed: {row.method} on {row.sample} (seed {row.seed}): {row.error}", err=True)
    typer.echo(f"written: {output}/table.csv", err=True)
    if not (table["state"] == "done").any():
        raise ValueError("no edit of this folder is done; see the failures above")


def find_samples(data: str, source: Path | None, only: str | None):
    """The samples of a data set by its name or path, or those at some places of it: "0-2,7"."""
    from gooddrag.evaluation import datasets
    from storybook.storybook100 import storybook100

    published = {name: getattr(datasets, name) for name in ("drag100", "dragbench", "sde_dragbench")}
    if data in published:
        if source is None and data != "drag100":  # which alone can be downloaded
            raise ValueError(f"source: none given; expected --source with a folder or a zip of {data}")
        samples = published[data](source)
    elif data == "storybook100" or expand(data).exists():
        samples = storybook100() if data == "storybook100" else datasets.folder(data)
    else:
        raise ValueError(f"data: {data!r}; expected storybook100, {', '.join(published)}, or a folder or zip")
    if only is None:
        return samples
    spans, known = [part.partition("-") for part in only.split(",")], range(len(samples))
    try:
        places = [known[i] for first, _, last in spans for i in range(int(first), int(last or first) + 1)]
    except (ValueError, IndexError) as error:
        raise ValueError(f'only: {only!r} ({error}); expected places from 0 to {known[-1]}, "0-9,42"') from error
    if isinstance(samples, datasets.Dataset):  # some of which may be unusable, which `run` reports
        folders = {samples.names[i]: samples.folders[samples.names[i]] for i in places}
        return datasets.Dataset(samples.title, folders, samples.read)
    return [samples[i] for i in places]


@app.command(cls=Command, epilog="Example: gooddrag figures 01 04")
def figures(
    which: Annotated[list[str] | None, typer.Argument(help="Which notebooks, like 01 04; all if none.")] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="For the figures.")] = Path("figures"),
) -> None:
    """Draw the figures again by running notebooks/, which stay as they are. $GOODDRAG_MODEL is what "auto" means."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    found = {path.name[:2]: path for path in sorted(Path("notebooks").absolute().glob("[0-9][0-9]_*.ipynb"))}
    chosen = [number.zfill(2) for number in which or found]
    if not chosen or not set(chosen) <= set(found):
        known = ", ".join(found) or "a clone of the repository as the working folder"
        raise ValueError(f"notebooks: {', '.join(chosen) or 'none'}; expected {known}")
    with atomic_folder(output) as temporary:
        for path in (found[number] for number in chosen):
            typer.echo(f"running {path.name}", err=True)
            book = NotebookClient(nbformat.read(path, 4), timeout=None, resources={"metadata": {"path": path.parent}})
            try:
                book.execute(env={**os.environ, "GOODDRAG_FIGURES": str(temporary.absolute())})
            except (CellExecutionError, DeadKernelError) as error:  # the latter where memory ran out, for instance
                reason = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else error
                raise ValueError(f"figures: {path.name} stopped: {reason}") from error
        for path in sorted(temporary.iterdir()):
            typer.echo(output / path.name)
