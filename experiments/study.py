"""Paired studies: several ways to drag the same edits of Storybook100, resumable edit by edit."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from experiments.keep import RESULTS, read_json, save_results, write_json
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation.jobs import one_thread
from gooddrag.evaluation.metrics import dai, wilson
from gooddrag.files import cache_folder
from gooddrag.model import DiffusionModel
from gooddrag.notebook import both
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from storybook.edits import edit, plan
from storybook.nearest import nearest
from storybook.storybook100 import keys

NO_STOP = {"stop_distance": None, "stop_unmoved": None}  # as printed: all K operations, whatever the handles do
DAI_RADIUS = 5  # px, of the patch in a study's DAI
ENOUGH = 12  # edits below which no verdict is given
Records = list[dict[str, Any]]
Scenes = tuple[Any, Any]  # of the page before and after the edit


@dataclass(frozen=True)
class Study:
    """One comparison of several ways to drag, on edits of the storybook.

    Attributes:
        name: the file is results/NAME.json.
        ways: the settings of each way, as changes of DragConfig's defaults.
        measure: (editor with the image set, sample, ways as configs, scenes) -> the records of one edit.
        edits: how many, spread evenly over Storybook100.
        lora: the fit that all ways share, or that of each way.
        first_seed: instead of Storybook100, the edits `storybook.edit(seed)` from this seed on.
    """

    name: str
    ways: dict[str, dict[str, Any]]
    measure: Callable[[DragEditor, Sample, dict[str, DragConfig], Scenes], Records]
    edits: int = 40
    lora: LoraConfig | Mapping[str, LoraConfig] = LoraConfig()
    first_seed: int | None = None

    def settings(self, edits: int | None = None) -> dict[str, Any]:
        """What decides the outcome, as it stands in the file; "edits" are (category, task, seed) of each."""
        n, first = edits or self.edits, self.first_seed
        drawn = spread_edits(n) if first is None else [(None, None, seed) for seed in range(first, first + n)]
        shared = isinstance(self.lora, LoraConfig)
        lora = asdict(self.lora) if shared else {way: asdict(fit) for way, fit in self.lora.items()}
        settings = {"edits": drawn, "ways": self.ways, "lora": lora}
        return json.loads(json.dumps(settings))  # as they come back from the file

    def sample(self, number: int, size: int) -> Sample:
        """The edit that records call `number`, drawn at this size in pixels."""
        category, task, seed = self.settings(number + 1)["edits"][number]
        return edit(seed, size, category, task)

    def one_edit(self, model: DiffusionModel, number: int, part: Path) -> None:
        """Compute the records of one edit and keep them in `part`, a file that is there completely or not at all."""
        start, sample = time.perf_counter(), self.sample(number, model.native_size)
        category, task, seed = self.settings(number + 1)["edits"][number]
        scenes = plan(seed, category, task)[2:]
        with one_thread(model.device):
            configs, records = {name: DragConfig(**changes) for name, changes in self.ways.items()}, []
            groups = [(self.lora, configs)]
            if not isinstance(self.lora, LoraConfig):
                groups = [(self.lora[way], {way: config}) for way, config in configs.items()]
            for lora, ways in groups:
                editor = DragEditor(model, lora).set_image(sample.image)
                records += self.measure(editor, sample, ways, scenes)
        about = {"edit": number, "name": sample.name, "category": sample.category, "task": sample.task}
        write_json(part, [time.perf_counter() - start, [{**about, **record} for record in records]])

    def compute(self, model: DiffusionModel, folder: Path = RESULTS, edits: int | None = None) -> None:
        """Compute what is not there yet, edit by edit, and write the file when all edits are done.

        Finished edits wait in the cache folder until all of the study's are done: an interrupted run, killed ones too,
        and one of more edits go on with the next one.
        """
        settings = self.settings(edits)
        key = json.dumps([self.settings(1), model.fingerprint, model.device.type])
        parts = cache_folder("studies") / f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        files = [parts / f"{number:03d}.json" for number in range(len(settings["edits"]))]
        for number, part in enumerate(tqdm(files, desc=self.name)):
            if not part.exists():
                self.one_edit(model, number, part)
        found = [read_json(part) for part in files]
        data = [record for _, records in found for record in records]
        save_results(folder / f"{self.name}.json", model, settings, data, sum(seconds for seconds, _ in found))
        if edits is None:
            shutil.rmtree(parts)


def spread_edits(n: int) -> list[tuple[str, str, int]]:
    """(category, task, seed) of n edits, spread evenly over Storybook100; fewer of them are the first of more.

    A stride near the golden section of the hundred visits every category early and each edit once.
    """
    hundred = keys()
    if not 1 <= n <= len(hundred):
        raise ValueError(f"n: {n}; expected 1 to {len(hundred)} edits")
    return [hundred[i * 61 % len(hundred)] for i in range(n)]


def drag_each(
    editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], **options: Any
) -> Iterator[tuple[dict[str, Any], DragResult]]:
    """Drag one sample in every way; yields the record and the result. `options` are those of `DragEditor.drag`."""
    for way, config in configs.items():
        start = time.perf_counter()
        result = editor.drag(sample, config=config, **options)
        yield {"way": way, **scores(result), "seconds": round(time.perf_counter() - start, 2)}, result


def drag_and_score(editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], scenes: Scenes) -> Records:
    """The plainest `measure` of a study: the scores of every way."""
    return [record for record, _ in drag_each(editor, sample, configs)]


def drag_and_compare(editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], scenes: Scenes) -> Records:
    """The scores of every way, and the distance of its result to the nearest page."""
    drags = drag_each(editor, sample, configs)
    return [{**record, "page": page_distance(result.image, scenes)} for record, result in drags]


def scores(result: DragResult) -> dict[str, Any]:
    """The numbers of one result; `dai` by Eq. 10, `dai_released` as the released code computes it."""
    sample, numbers = result.sample, result.metrics
    left, asked = np.array(numbers["distance_left_px"]), np.array(numbers["distance_asked_px"])
    pictures = sample.image, result.image, sample.points, DAI_RADIUS
    return {
        "asked_px": float(asked.mean()),
        "way_gone": float(1 - (left / asked).mean()),  # share of the way that the handles went
        "truth": numbers.get("truth_error_ratio"),
        "damage": numbers.get("damage_outside_mask"),
        "dai": dai(*pictures),
        "dai_released": dai(*pictures, "released"),
    }


def page_distance(image: Image.Image, scenes: Scenes) -> float:
    """Mean squared difference to the nearest page of the book that shows the same thing."""
    return float(nearest(image, *scenes)[0])


class Paired(NamedTuple):
    """How two ways compare on the same edits; lower is better.

    Attributes:
        n: pairs. wins: of the first way; ties: equal pairs, left out of the share of wins.
        low, high: 95 % Wilson interval of that share.
    """

    n: int
    wins: int
    ties: int
    low: float
    high: float


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Compare two ways by their errors on the same edits, in the same order.

    Raises:
        ValueError: lengths differ, nothing is there, or a value is not finite.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape or a.ndim != 1 or not a.size or not np.isfinite([a, b]).all():
        raise ValueError(f"first, second: shapes {a.shape} and {b.shape}; expected equally many finite errors")
    wins, ties, low, high = int((a < b).sum()), int((a == b).sum()), 0.0, 1.0
    if ties < a.size:
        _, low, high, _ = wilson(wins, a.size - ties)
    return Paired(a.size, wins, ties, low, high)


def versus(records: Records, first: str, second: str, key: str = "truth", *, higher_is_better: bool = False) -> Paired:
    """`paired` of two ways by one number, on the edits that both have."""
    sign = -1 if higher_is_better else 1
    return paired(*(sign * values for values in both(records, first, second, key)))
