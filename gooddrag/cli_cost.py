"""The command line of the cost model: `gooddrag profile`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gooddrag.config import Preset


def register(app: typer.Typer, one_line_errors: Callable[[], AbstractContextManager]) -> None:
    """Add the command to an app."""

    @app.command()
    def profile(
        model: Annotated[
            str, typer.Option(metavar="NAME|PATH", help='"storybook", "sd15", "auto", a model folder or a Hub id.')
        ] = "storybook",
        edit: Annotated[int, typer.Option(min=0, help="Which storybook edit.")] = 100,
        preset: Annotated[Preset, typer.Option(help="Settings of the drag and of its LoRA.")] = Preset.released,
        k: Annotated[
            int | None, typer.Option("--drag-operations", "-k", min=1, help="K.", show_default="the preset's")
        ] = None,
        lora_steps: Annotated[int, typer.Option(min=0, help="0 for no LoRA.")] = 70,
        runs: Annotated[
            int, typer.Option(min=1, help="So many whole runs: the table is the middle one's, by the whole ratio.")
        ] = 1,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the JSON there, a list of runs.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
    ) -> None:
        """Run one edit and print passes, time, memory and the ratio to the bare U-Net calls, phase by phase."""
        from gooddrag import DragConfig, LoraConfig, cost, load_model, storybook
        from gooddrag.files import atomic_file, check_writable_file

        with one_line_errors():
            if output:
                check_writable_file(output)
            config = DragConfig.preset(preset, **({} if k is None else {"K": k}))
            lora = replace(LoraConfig.preset(preset), steps=lora_steps) if lora_steps else None
            loaded, sample = load_model(model), storybook.edit(edit)
            reports = [cost.profile(loaded, sample, config, lora) for _ in range(runs)]
            text = json.dumps(reports, indent=1)
            if output:
                with atomic_file(output) as temporary:
                    temporary.write_text(text + "\n", encoding="utf-8")
        typer.echo(text if as_json else cost.table(*reports))
