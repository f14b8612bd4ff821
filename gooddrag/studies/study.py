"""What every comparison over many edits has in common: which edits, which ways to drag, one record per edit and way."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gooddrag import experiments, metrics
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.model import DiffusionModel
from gooddrag.progress import Progress, tracked
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from gooddrag.storybook import benchmark
from gooddrag.storybook.edits import edit

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

    def compute(self, model: DiffusionModel, samples: Sequence[Sample], progress: Progress = False) -> Records:
        """One record per sample and way, in this order."""
        configs = {name: DragConfig(**changes) for name, changes in self.ways.items()}
        records = []
        for i, sample in tracked(list(enumerate(samples)), self.name, len(samples), progress):
            editor = DragEditor(model, self.lora).set_image(sample.image)
            about = {"edit": i, "name": sample.name, "category": sample.category, "task": sample.task}
            records += [{**about, **record} for record in self.measure(editor, sample, configs)]
        return records

    def results(self, model: DiffusionModel, folder: str | Path, recompute: bool = False, n: int | None = None,
                progress: Progress = False) -> dict[str, Any]:  # fmt: skip
        """The kept results as `experiments.kept` returns them; nothing is computed unless `recompute` says so.

        A model that has no file of its own gets the one that ships: its "model" says whose numbers they are.

        Raises:
            ValueError: there is no file, and `recompute` is off.
        """
        path, n = Path(folder) / f"{self.name}.json", n or self.n
        settings = {"edits": [list(key) for key in spread(n)], "ways": self.ways, "lora": vars(self.lora)}
        if recompute:
            compute = partial(self.compute, model, samples(model, n), progress)
            return experiments.kept(path, model, settings, compute, recompute=True)
        record = experiments.latest(path, model)
        if record["model"] == model.label and record["settings"] != experiments.plain(settings):
            warnings.warn(f"{path.name} was made with other settings; recompute it", stacklevel=2)
        return record


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
