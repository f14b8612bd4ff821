"""The command line of the benchmark: `gooddrag bench`, `score`, `gscore` and `join`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from gooddrag.cli_asked import check_files, check_method, find_methods, find_samples, numbers
from gooddrag.config import Preset

Table = Annotated[Path | None, typer.Option(metavar="CSV", help="Where else to write the table.", show_default=False)]
Sheet = Annotated[
    Path | None,
    typer.Option(metavar="JPG", help="Where to draw twelve samples with all results.", show_default=False),
]
ModelOf = Annotated[
    str | None,
    typer.Option(metavar="NAME|PATH", help="Default: the folder's, if storybook or sd15.", show_default=False),
]
Vae = Annotated[str | None, typer.Option(metavar="PATH", help="Another VAE for the model.", show_default=False)]
SheetOf = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="Draw twenty-four samples of this method there instead.", show_default=False),
]
SHOWN = ["dai_1", "dai_20", "md", "truth_error_inside_mask", "damage_outside_mask"]


def register(app: typer.Typer, one_line_errors: Callable[[], AbstractContextManager]) -> None:
    """Add the commands to an app."""

    @app.command()
    def bench(
        data: Annotated[
            str,
            typer.Argument(
                help="storybook100, drag100, dragbench, sde_dragbench, or a folder of samples.", show_default=False
            ),
        ],
        output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")],
        source: Annotated[
            Path | None, typer.Option(metavar="PATH", help="Folder or zip of a published set.", show_default=False)
        ] = None,
        methods: Annotated[
            str | None, typer.Option(help='"GoodDrag,SDE-Drag"; default: all of the tables.', show_default=False)
        ] = None,
        preset: Annotated[
            Preset, typer.Option(help="Settings of GoodDrag and its ablations; DragDiffusion takes its lambda.")
        ] = Preset.released,
        only: Annotated[
            str | None, typer.Option(help='Places in the data set, "0-9,42"; default: all.', show_default=False)
        ] = None,
        seeds: Annotated[str, typer.Option(help='"0,1,2": every method once with each.')] = "0",
        model: Annotated[str, typer.Option(metavar="NAME|PATH")] = "auto",
        vae: Vae = None,
        workers: Annotated[
            int, typer.Option(min=0, help="Dask processes here: one per GPU, or sharing the cores.")
        ] = 0,
        scheduler: Annotated[
            str | None, typer.Option(metavar="ADDRESS", help="A Dask cluster that is up.", show_default=False)
        ] = None,
        batch: Annotated[
            int, typer.Option(min=1, help="Samples of one size dragged at once, on a GPU with the memory for it.")
        ] = 1,
        retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed edits again.")] = False,
        table: Table = None,
        sheet: Sheet = None,
        sheet_of: SheetOf = None,
    ) -> None:
        """Run methods on a data set and score them; the same command goes on where it was stopped."""
        with one_line_errors():
            from gooddrag.benchmark import run

            check_files(table, sheet, sheet_of)
            picked = None if only is None else numbers(only, "only")
            arguments = dict(seeds=numbers(seeds, "seeds"), model=model, vae=vae, workers=workers, scheduler=scheduler,
                             retry_failed=retry_failed, batch=batch)  # fmt: skip
            chosen = find_methods(methods, preset)
            check_method(sheet_of, output, chosen)
            samples = find_samples(data, source, picked)
            try:
                results = run(output, samples, chosen, **arguments)
            except KeyboardInterrupt:
                typer.echo("gooddrag: interrupted; what was finished is there, the same command goes on", err=True)
                raise typer.Exit(130) from None
            report(output, results, table, sheet, sheet_of)
            mine = {"sample": [s.name for s in samples], "method": list(chosen), "seed": arguments["seeds"]}
            states = results.loc[results[list(mine)].isin(mine).all(axis=1), "state"]
            if (states == "failed").all():
                typer.echo(f"gooddrag: all {len(states)} edits of this run failed", err=True)
                raise typer.Exit(1)

    @app.command()
    def score(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="What bench wrote.", show_default=False)],
        model: ModelOf = None,
        vae: Vae = None,
        keep: Annotated[bool, typer.Option("--keep", help="Keep the scores that are there; only write.")] = False,
        learned: Annotated[
            str | None, typer.Option(help='"IF,TReS,MUSIQ,TOPIQ", or some of them, too.', show_default=False)
        ] = None,
        table: Table = None,
        sheet: Sheet = None,
        sheet_of: SheetOf = None,
    ) -> None:
        """Compute the scores of finished edits again, from their images, and write the table."""
        with one_line_errors():
            from gooddrag.benchmark import load
            from gooddrag.benchmark import score as rescore

            check_files(table, sheet, sheet_of)
            load(folder)  # or the error that says that this is no such folder
            check_method(sheet_of, folder)
            if not keep:
                asked = [name.strip() for name in learned.split(",")] if learned else []
                typer.echo(f"scored: {rescore(folder, model, vae, progress=True, learned=asked)}", err=True)
            report(folder, load(folder), table, sheet, sheet_of)

    @app.command()
    def gscore(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="What bench wrote.", show_default=False)],
        rater: Annotated[str, typer.Option(help="A Gemini model.")] = "gemini-2.5-flash",
        methods: Annotated[str | None, typer.Option(help="Default: all of the folder.", show_default=False)] = None,
        prompt: Annotated[str, typer.Option(help="single-1, comparative-1, released.")] = "single-1",
        repeats: Annotated[int, typer.Option(min=1, help="How often each question is put.")] = 1,
        seed: Annotated[int, typer.Option(min=0, help="Of the edits; and of the order in a comparison.")] = 0,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="DIR", help="Default: DIR/gscore.", show_default=False)
        ] = None,
        endpoint: Annotated[
            str | None, typer.Option(help="Another server of this protocol.", show_default=False)
        ] = None,
    ) -> None:
        """Have a Gemini model rate finished edits (GScore, Table 2); every reply is kept, none is asked for twice.

        The key comes from GEMINI_API_KEY or GOOGLE_API_KEY.
        """
        with one_line_errors():
            from gooddrag import benchmark
            from gooddrag import gscore as scoring

            names = [name.strip() for name in methods.split(",")] if methods is not None else None
            asked = scoring.GeminiRater(rater, endpoint=endpoint)
            samples, results = benchmark.edited(folder, names, seed)
            kept = output or folder / "gscore"
            try:
                ratings = scoring.rate(asked, samples, results, kept, prompt, repeats, seed)
            except scoring.RaterError as error:
                rated = " (what was rated is kept; the same command goes on)" if any(kept.glob("[!.]*.json")) else ""
                raise ValueError(f"{error}{rated}") from error
            import pandas as pd  # not before benchmark, which says how to install it

            told = pd.DataFrame(scoring.summary(ratings))
            typer.echo(told.to_string(index=False, float_format="{:.3f}".format))
            typer.echo(f"written: {kept}", err=True)

    @app.command()
    def join(
        tables: Annotated[list[Path], typer.Argument(metavar="CSV...", help="Tables of bench.", show_default=False)],
        output: Annotated[Path, typer.Option("--output", "-o", metavar="CSV", help="The table of all.")],
    ) -> None:
        """Join the tables of runs that could not share a folder: other sittings, other machines."""
        with one_line_errors():
            from gooddrag import benchmark

            joined = benchmark.join([benchmark.read(file) for file in tables])
            benchmark.save(joined, output)
            tell(joined, [output])


def report(folder: Path, results, table: Path | None, sheet: Path | None, sheet_of: str | None) -> None:
    """Write DIR/table.csv, the copies asked for, and a few lines to read."""
    from gooddrag import benchmark, plots
    from gooddrag.files import atomic_file

    for file in filter(None, (folder / "table.csv", table)):
        benchmark.save(results, file)
    if sheet:
        drawn = plots.method_sheet(folder, results, sheet_of) if sheet_of else plots.results_sheet(folder, results)
        with atomic_file(sheet, "sheet") as temporary:
            drawn.save(temporary, quality=80, optimize=True)
    tell(results, [folder / "table.csv", *filter(None, (table, sheet))])


def tell(results, written: list[Path]) -> None:
    """A table's means, what failed or is missing, and where it was written to."""
    from gooddrag import benchmark

    typer.echo(benchmark.summary(results, SHOWN).to_string(float_format="{:.4f}".format))
    failed = results[results["state"] == "failed"]
    for row in failed.head(10).itertuples():
        typer.echo(f"failed: {row.method} on {row.sample} (seed {row.seed}): {row.error}", err=True)
    if (open_ := int((results["state"] == "missing").sum())) or len(failed):
        typer.echo(f"not finished: {open_} missing, {len(failed)} failed; means need every edit", err=True)
    typer.echo(f"written: {', '.join(map(str, written))}", err=True)
