"""The command line: `gooddrag demo`, `drag`, `figures`, `train-storybook`; cli_benchmark and cli_cost add the rest."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gooddrag.cli_benchmark import register as register_benchmark
from gooddrag.cli_cost import register as register_cost
from gooddrag.config import Preset

app = typer.Typer(help="Drag points of an image with a diffusion model (GoodDrag, ICLR 2025).", no_args_is_help=True,
                  add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)  # fmt: skip


NOTHING = "interrupted, nothing written"


Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")]
ModelName = Annotated[
    str, typer.Option(metavar="NAME|PATH", help='"storybook", "sd15", "auto", a model folder or a Hub id.')
]
PresetName = Annotated[
    Preset | None,
    typer.Option(
        help="Settings: the released code's, the text's, the predecessor's, quick, the embedded model's.",
        show_default="those that suit the model: storybook for the embedded one, else released",
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Seed of the LoRA's fit; everything else is deterministic.")
]


@contextmanager
def _one_line_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """What a user got wrong is one line on stderr and exit code 2, never a traceback; warnings are one line too.

    Args:
        interrupted: what is said on Ctrl-C.
    """

    shown: set[str] = set()

    def show(message, *_args, **_kwargs) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            typer.echo(f"note: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except (ValueError, FloatingPointError, MemoryError, ImportError, OSError) as error:
            # ImportError: an extra is missing; OSError: the disk is full, a file has gone
            typer.echo(f"gooddrag: {error}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.echo(f"gooddrag: {interrupted}", err=True)
            raise typer.Exit(130) from None


def _edit(sample, model_name: str, preset: Preset | None, seed: int, output: Path, lora=None, no_lora: bool = False,
          keep_outside: bool = False, inputs=()):  # fmt: skip
    """Drag and write, with a few lines on what is going on; `inputs` are files that must stay as they are."""
    from gooddrag.config import DragConfig, LoraConfig
    from gooddrag.editor import DragEditor
    from gooddrag.files import check_writable
    from gooddrag.loading import load_model
    from gooddrag.result import FILES

    check_writable(output, files=FILES, inputs=inputs)
    model = load_model(model_name)
    preset = preset or model.preset
    typer.echo(f"model: {model.why}, on {model.device.type}; settings: {preset}", err=True)
    how = None if no_lora else (lora or LoraConfig.preset(preset))
    editor = DragEditor(model, how, seed, progress=sys.stderr.isatty()).set_image(sample.image)
    frame = editor.frame
    if frame.scaled != frame.user:
        typer.echo("note: edited at {}x{}, the size this model works at, and scaled back to {}x{}".format(
            *frame.scaled, *frame.user), err=True)  # fmt: skip
    result = editor.drag(sample, config=DragConfig.preset(preset), keep_outside=keep_outside)
    result.save(output)
    return result


@app.command()
def demo(
    output: Output = Path("gooddrag-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Which storybook edit.")] = 100,
    model: ModelName = "storybook",
    preset: PresetName = None,
) -> None:
    """Drag one page of the storybook and compare with the truth."""
    from gooddrag import storybook

    with _one_line_errors(NOTHING):
        sample = storybook.edit(seed)
        typer.echo(f"storybook edit {seed}: {sample.category}, {sample.task}, {len(sample.points)} pair(s)", err=True)
        metrics = _edit(sample, model, preset, 0, output).metrics
    left, asked = max(metrics["distance_left_px"]), max(metrics["distance_asked_px"])
    typer.echo(f"dragged {asked:.0f} px, {left:.0f} px left; squared error to the truth inside the mask: "
               f"{metrics['truth_error_ratio']:.2f} of the unedited image's")  # fmt: skip
    typer.echo(f"written: {output}/overview.png (before, user edit, after, truth), result.png, trajectory.gif, "
               "metrics.json")  # fmt: skip
    typer.echo('next: gooddrag drag IMAGE --points "x,y>x,y" -o DIR, or notebooks/00_quickstart.ipynb')


@app.command()
def drag(
    image: Annotated[Path, typer.Argument(help="Any image file.", show_default=False)],
    points: Annotated[
        str,
        typer.Option(help='"x,y>x,y;x,y>x,y": handle > target in pixels; or a points.json.', show_default=False),
    ],
    output: Output,
    mask: Annotated[Path | None, typer.Option(help="Image of the same size, above 0 = may change.")] = None,
    model: ModelName = "auto",
    preset: PresetName = None,
    seed: Seed = 0,
    lora: Annotated[Path | None, typer.Option(help="Use this LoRA file instead of fitting one.")] = None,
    no_lora: Annotated[bool, typer.Option("--no-lora", help="Use no LoRA at all.")] = False,
    keep_outside: Annotated[
        bool, typer.Option("--keep-outside", help="Put the original pixels back outside the mask.")
    ] = False,
) -> None:
    """Drag points of IMAGE and write result.png, overview.png, trajectory.gif and metrics.json to DIR."""
    from gooddrag import Sample
    from gooddrag.sample import parse_points

    with _one_line_errors(NOTHING):
        if lora and no_lora:
            raise ValueError("lora: a file and --no-lora; expected one of them")
        sample = Sample(image, parse_points(points), mask, name=image.stem)
        inputs = [image, *([mask] if mask else []), *([] if ">" in points else [points])]
        result = _edit(sample, model, preset, seed, output, lora, no_lora, keep_outside, inputs)
    typer.echo(json.dumps(result.metrics, indent=2))
    typer.echo(f"written: {output}/result.png and overview.png, by {result.model.label}", err=True)


@app.command()
def figures(
    numbers: Annotated[list[str] | None, typer.Argument(help="Which notebooks, like 01 04; all if none.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", show_default="figures")] = None,
    notebooks: Annotated[Path | None, typer.Option(metavar="DIR", help="Where they are.", show_default=False)] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help='What "auto" means in them.', show_default=False)
    ] = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute the kept results anew, too.")] = False,
) -> None:
    """Draw every figure again by running the notebooks, without Jupyter open."""
    from gooddrag.figures import find_notebooks, regenerate

    with _one_line_errors():
        written = regenerate(find_notebooks(notebooks, numbers or ()), output, model, recompute)
    for path in written:
        typer.echo(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")


@app.command("train-storybook")
def train_storybook(
    output: Output = Path("storybook-weights"),
    work: Annotated[Path, typer.Option(metavar="DIR", help="Pictures, checkpoints and metrics.jsonl.")] = Path(
        ".training"
    ),
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Budget of the U-Net over all sittings; 0: none; without it, until you stop it."),
    ] = None,
    ae_minutes: Annotated[float, typer.Option(min=0, help="Budget of the autoencoder over all sittings.")] = 15.0,
    cooldown: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Minutes of falling learning rate at the end, on a branch of its own; without --minutes, only this.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from the checkpoints in the work folder; --no-resume forgets them and the log.")
    ] = True,
    start: Annotated[Path | None, typer.Option("--from", help="Weights to begin with, with a fresh optimiser.")] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Only write what has been reached.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1)] = 0,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    processes: Annotated[
        int, typer.Option(min=0, help="That draw pictures while the training waits; 0: it draws them itself.")
    ] = 2,
    channels: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Of the U-Net's three levels.", show_default="64 128 256")
    ] = None,
) -> None:
    """Train the embedded model from nothing on the CPU; stop it and start it again as you like."""
    with _one_line_errors():
        from gooddrag.storybook.recipe import Recipe
        from gooddrag.storybook.train import train

        recipe = Recipe(channels=channels) if channels else Recipe()
        card = train(output, work=work, minutes=minutes, ae_minutes=ae_minutes, cooldown=cooldown, resume=resume,
                     start=start, export_only=export_only, seed=seed, threads=threads, processes=processes,
                     recipe=recipe)  # fmt: skip
    typer.echo(json.dumps(card["held_out"], indent=2))


register_benchmark(app, _one_line_errors)
register_cost(app, _one_line_errors)

if __name__ == "__main__":
    app()
