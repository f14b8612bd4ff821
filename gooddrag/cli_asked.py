"""What the benchmark's command line asks for: methods, samples, places, files; refused before any work is done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

MOST_NUMBERS = 100_000  # in one range
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def check_files(table: Path | None, sheet: Path | None, sheet_of: str | None = None) -> None:
    """Refuse what cannot be written before hours are spent on what should go into it."""
    from gooddrag.files import check_writable_file

    for argument, file in (("table", table), ("sheet", sheet)):
        if file:
            check_writable_file(file, argument)
    if sheet and sheet.suffix.lower() not in PICTURES:
        raise ValueError(f"sheet: {str(sheet)!r}; expected a name that ends in {', '.join(PICTURES)}")
    if sheet_of is not None and not sheet:
        raise ValueError(f"sheet-of: {sheet_of!r} without a sheet; expected --sheet with its file, too")


def check_method(sheet_of: str | None, folder: Path, chosen: Iterable[str] = ()) -> None:
    """Refuse a sheet of a method that is none of those chosen, and none of the results folder's."""
    from gooddrag.benchmark.folder import Folder

    if sheet_of is None:
        return
    known = list(dict.fromkeys([*chosen, *(about["name"] for about in Folder(folder).methods().values())]))
    if sheet_of not in known:
        raise ValueError(f"sheet-of: {sheet_of!r}; expected one of {', '.join(known)}")


def find_methods(names: str | None, preset: str = "released") -> dict:
    """Methods with the settings of a preset, by their names in the tables, case aside; all of them for None."""
    from gooddrag.baselines import methods_with

    methods = methods_with(preset)
    if names is None:
        return methods
    known = {name.lower(): name for name in methods}
    asked = [name.strip().lower() for name in names.split(",")]
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"methods: {', '.join(map(repr, unknown))}; expected some of {', '.join(methods)}")
    return {known[name]: methods[known[name]] for name in asked}


def find_samples(data: str, source: Path | None = None, places: list[int] | None = None) -> list:
    """The samples of a data set by its name or folder, or those at some places of it."""
    import gooddrag as gd
    from gooddrag import datasets

    published = {name: getattr(datasets, name) for name in ("drag100", "dragbench", "sde_dragbench")}
    if data == "storybook100":
        samples = gd.storybook100()
    elif data in published:
        if source is None and data != "drag100":  # which alone can be downloaded
            raise ValueError(f"source: none given; expected --source with a folder or a zip of {data}")
        samples = published[data](source)
    elif Path(data).exists():
        samples = datasets.folder(data)
    else:
        raise ValueError(
            f"data: {data!r}; expected storybook100, {', '.join(published)}, or a folder or zip of samples"
        )
    if source is not None and data not in published:
        raise ValueError(f"source: {str(source)!r} beside {data!r}; expected it with {', '.join(published)} only")
    if places is None:
        return list(samples)
    if max(places) >= len(samples):
        raise ValueError(f"only: {max(places)}; expected places from 0 to {len(samples) - 1}")
    return [samples[i] for i in places]


def numbers(text: str, argument: str) -> list[int]:
    """ "0-2,7" -> [0, 1, 2, 7]."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip(), re.ASCII)
        span = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not 1 <= len(span) <= MOST_NUMBERS:
            raise ValueError(f'{argument}: {text!r}; expected whole numbers and ranges like "0-9,42"')
        found += span
    if twice := [number for number, times in Counter(found).items() if times > 1]:
        raise ValueError(f"{argument}: {text!r} has {twice[0]} twice; expected each number once")
    return found
