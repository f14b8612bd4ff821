"""What every comparison over many edits has in common: which edits, which ways to drag, one record per edit and way."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gooddrag import __version__, experiments, metrics
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.files import atomic_file, cache_folder
from gooddrag.model import DiffusionModel
from gooddrag.progress import Progress, tracked
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from storybook import benchmark
from storybook.edits import edit

NO_STOP = dict(stop_distance=None, stop_unmoved=None)  # as printed: all K operations, whatever the handles do
PATCH = 5  # px, the radius of DAI's patch (Eq. 10) in the records
ENOUGH = 12  # edits below which no verdict is given
Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Study:
    """One comparison of several ways to drag, over edits of Storybook100.

    Attributes:
        name: the file is results/<name>.json.
        ways: the settings of each way; DragConfig's fields, as changes of the default.
        measure: what is recorded of one image: (editor with the image set, sample, ways as configs) -> records.
        n: edits, spread evenly over the hundred.
        lora: the fit that all ways of an image share.
    """

    name: str
    ways: dict[str, dict[str, Any]]
    measure: Callable[[DragEditor, Sample, dict[str, DragConfig]], Records]
    n: int = 16
    lora: LoraConfig = field(default_factory=LoraConfig)

    def compute(self, model: DiffusionModel, samples: Sequence[Sample], progress: Progress = False,
                parts: Path | None = None, share: tuple[int, int] = (0, 1)) -> Records:  # fmt: skip
        """One record per sample and way, in this order.

        Args:
            parts: a folder for the records of each sample: what is there already is not computed again.
            share: (k, n): only every n-th sample from the k-th on, for n processes that fill the same `parts`.
        """
        configs = {name: DragConfig(**changes) for name, changes in self.ways.items()}
        mine, records = list(enumerate(samples))[share[0] :: share[1]], []
        for i, sample in tracked(mine, self.name, len(mine), progress):
            part = parts / f"{i:03d}.json" if parts else None
            if part and part.exists():
                records += json.loads(part.read_text(encoding="utf-8"))[1]
                continue
            start = time.perf_counter()
            editor = DragEditor(model, self.lora).set_image(sample.image)
            about = {"edit": i, "name": sample.name, "category": sample.category, "task": sample.task}
            made = experiments.plain([{**about, **record} for record in self.measure(editor, sample, configs)])
            if part:
                with atomic_file(part) as temporary:
                    temporary.write_text(json.dumps([time.perf_counter() - start, made]), encoding="utf-8")
            records += made
        return records

    def settings(self, n: int | None = None) -> dict[str, Any]:
        """What decides the outcome, as it stands in the file of results."""
        return {"edits": [list(key) for key in spread(n or self.n)], "ways": self.ways, "lora": vars(self.lora)}

    def parts(self, model: DiffusionModel, n: int | None = None) -> Path:
        """The cache folder in which a recomputation on this model keeps what it has, until it is complete."""
        decides = json.dumps([__version__, model.fingerprint, experiments.plain(self.settings(n))], sort_keys=True)
        return cache_folder("studies") / f"{self.name}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}"

    def results(self, model: DiffusionModel, folder: str | Path, recompute: bool = False, n: int | None = None,
                progress: Progress = False) -> dict[str, Any]:  # fmt: skip
        """The kept results as `experiments.kept` returns them; nothing is computed unless `recompute` says so.

        A recomputation that was interrupted goes on with the next edit.

        A model that has no file of its own gets the one that ships: its "model" says whose numbers they are.

        Raises:
            ValueError: there is no file, and `recompute` is off.
        """
        path, n = Path(folder) / f"{self.name}.json", n or self.n
        settings = self.settings(n)
        if recompute:
            parts = self.parts(model, n)
            compute = partial(self.compute, model, samples(model, n), progress, parts)
            spent = partial(_seconds, parts)
            record = experiments.kept(path, model, settings, compute, recompute=True, seconds=spent)
            shutil.rmtree(parts, ignore_errors=True)
            return record
        record = experiments.latest(path, model)
        if record["model"] == model.label and record["settings"] != experiments.plain(settings):
            warnings.warn(f"{path.name} was made with other settings; recompute it", stacklevel=2)
        return record


def _seconds(parts: Path) -> float:
    """What the edits in a folder of parts took, in whichever process."""
    return sum(json.loads(part.read_text(encoding="utf-8"))[0] for part in parts.glob("[!.]*.json"))


def spread(n: int) -> list[tuple[str, str, int]]:
    """(category, task, seed) of n edits, spread evenly over Storybook100; fewer of them are the first of more.

    A stride near the golden section of the hundred visits every category early and each edit once.
    """
    keys = benchmark.keys()
    if not 1 <= n <= len(keys):
        raise ValueError(f"n: {n}; expected 1 to {len(keys)} edits")
    return [keys[i * 61 % len(keys)] for i in range(n)]


def samples(model: DiffusionModel, n: int) -> list[Sample]:
    """Those n edits, drawn at the model's size."""
    return [edit(seed, model.native_size, category, task) for category, task, seed in spread(n)]


def dragged(editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], **how: Any
            ) -> Iterator[tuple[dict[str, Any], DragResult]]:  # fmt: skip
    """Drag one sample in every way: its record, and the result itself for whoever measures more."""
    for way, config in configs.items():
        start = time.perf_counter()
        result = editor.drag(sample, config=config, **how)
        seconds = time.perf_counter() - start
        yield {"way": way, **measured(result), "seconds": round(seconds, 2)}, result


def measured(result: DragResult) -> dict[str, Any]:
    """The numbers of one result: `DragResult.metrics`, DAI and the share of the way that the handles went."""
    sample, numbers = result.sample, result.metrics
    left, asked = np.array(numbers["distance_left_px"]), np.array(numbers["distance_asked_px"])
    return {
        "operations": numbers["drag_operations"],
        "asked_px": float(asked.mean()),
        "left_px": float(left.mean()),
        "way_gone": float(1 - (left / asked).mean()),
        "truth": numbers.get("truth_error_ratio"),
        "damage": numbers.get("damage_outside_mask"),
        "dai": metrics.dai(sample.image, result.image, sample.points, PATCH),
    }


def column(records: Records, way: str, key: str) -> list[float]:
    """One number of one way, edit by edit.

    Raises:
        ValueError: no record has this way.
    """
    values = [record[key] for record in records if record["way"] == way]
    if not values:
        known = sorted({record["way"] for record in records})
        raise ValueError(f"way: {way!r}; expected one of {', '.join(known)}")
    return values


def versus(records: Records, first: str, second: str, key: str = "truth", sign: int = 1) -> experiments.Paired:
    """`experiments.paired` of two ways by one number; `sign=-1` where higher is better."""
    a, b = ([sign * x for x in column(records, way, key)] for way in (first, second))
    return experiments.paired(a, b)


def clearest(records: Records, first: str, second: str, *keys: str) -> int:
    """The edit on which the first way is furthest ahead of the second, as a ratio over all these numbers (lower is
    better): what a figure shows, and says that it shows.
    """
    keys = keys or ("truth",)
    ratios = [np.log(np.divide(column(records, first, key), column(records, second, key))) for key in keys]
    return int(np.sum(ratios, axis=0).argmin())
