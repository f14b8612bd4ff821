"""Paired studies: several ways to drag the same edits of Storybook100, resumable edit by edit."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from experiments.keep import RESULTS, one_thread, plain, read_results, save_results, write_json
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation.metrics import Paired, dai, paired
from gooddrag.files import cache_folder
from gooddrag.model import DiffusionModel, load_model
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from storybook.storybook100 import storybook100

NO_STOP = {"stop_distance": None, "stop_unmoved": None}  # as printed: all K operations, whatever the handles do
DAI_RADIUS = 5  # px, of the patch in a study's DAI
ENOUGH = 12  # edits below which no verdict is given
Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Study:
    """One comparison of several ways to drag, on edits of Storybook100.

    Attributes:
        name: the file is results/NAME.json.
        ways: the settings of each way, as changes of DragConfig's defaults.
        measure: (editor with the image set, sample, ways as configs) -> the records of one edit.
        edits: how many, spread evenly over the hundred.
        lora: the fit that all ways share.
    """

    name: str
    ways: dict[str, dict[str, Any]]
    measure: Callable[[DragEditor, Sample, dict[str, DragConfig]], Records]
    edits: int = 40
    lora: LoraConfig = LoraConfig()

    def settings(self, edits: int | None = None) -> dict[str, Any]:
        """What decides the outcome, as it stands in the file."""
        return plain({"edits": edit_numbers(edits or self.edits), "ways": self.ways, "lora": asdict(self.lora)})

    def one_edit(self, number: int, sample: Sample, model: DiffusionModel, part: Path) -> None:
        """Compute the records of one edit and keep them in `part`, a file that is there completely or not at all."""
        start = time.perf_counter()
        with one_thread(model):
            editor = DragEditor(model, self.lora).set_image(sample.image)
            configs = {name: DragConfig(**changes) for name, changes in self.ways.items()}
            records = self.measure(editor, sample, configs)
        about = {"edit": number, "name": sample.name, "category": sample.category, "task": sample.task}
        write_json(part, [time.perf_counter() - start, [{**about, **record} for record in records]])

    def compute(
        self, model: DiffusionModel, folder: Path = RESULTS, edits: int | None = None, *, workers: int = 1
    ) -> dict[str, Any]:
        """Compute what is not there yet, edit by edit, and write the file when all edits are done.

        An interrupted run goes on with the next edit: finished ones wait in the cache folder.

        Args:
            model: from `load_model`. With several workers each loads it anew by `model.name`.
            workers: processes.
        """
        settings = self.settings(edits)
        key = json.dumps([settings, model.fingerprint, str(model.device.type)])
        parts = cache_folder("studies") / f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        drawn = dict(zip(settings["edits"], samples(model, len(settings["edits"])), strict=True))
        missing = {n: sample for n, sample in drawn.items() if not (parts / f"{n:03d}.json").exists()}
        work = [(self, n, sample, parts / f"{n:03d}.json") for n, sample in missing.items()]
        bar = partial(tqdm, total=len(drawn), initial=len(drawn) - len(work), desc=self.name)
        if workers > 1 and work:
            with ProcessPoolExecutor(workers, get_context("spawn"), _load, (model.name,)) as pool:
                list(bar(pool.map(_compute, work)))
        else:
            for study, number, sample, part in bar(work):
                study.one_edit(number, sample, model, part)
        found = [json.loads((parts / f"{n:03d}.json").read_text(encoding="utf-8")) for n in drawn]
        data = [record for _, records in found for record in records]
        made = save_results(folder / f"{self.name}.json", model, settings, data, sum(seconds for seconds, _ in found))
        shutil.rmtree(parts)
        return made

    def results(self, model: DiffusionModel | None = None, folder: Path = RESULTS) -> dict[str, Any]:
        """The file of this study; see `read_results`."""
        return read_results(folder / f"{self.name}.json", model)


def _load(name: str) -> None:
    global _model
    torch.set_num_threads(1)
    _model = load_model(name)


def _compute(work: tuple[Study, int, Sample, Path]) -> None:
    study, number, sample, part = work
    study.one_edit(number, sample, _model, part)


def edit_numbers(n: int) -> list[int]:
    """Which n edits of Storybook100; fewer of them are the first of more.

    A stride near the golden section of the hundred visits every category early and each edit once.
    """
    if not 1 <= n <= 100:
        raise ValueError(f"n: {n}; expected 1 to 100 edits")
    return [i * 61 % 100 for i in range(n)]


def samples(model: DiffusionModel, n: int) -> list[Sample]:
    """Those n edits, drawn at the model's size."""
    hundred = storybook100(model.native_size)
    return [hundred[number] for number in edit_numbers(n)]


def drag_each(
    editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], **options: Any
) -> Iterator[tuple[dict[str, Any], DragResult]]:
    """Drag one sample in every way; yields the record and the result. `options` are those of `DragEditor.drag`."""
    for way, config in configs.items():
        start = time.perf_counter()
        result = editor.drag(sample, config=config, **options)
        yield {"way": way, **scores(result), "seconds": round(time.perf_counter() - start, 2)}, result


def drag_and_score(editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig]) -> Records:
    """The plainest `measure` of a study: the scores of every way."""
    return [record for record, _ in drag_each(editor, sample, configs)]


def scores(result: DragResult) -> dict[str, Any]:
    """The numbers of one result; `dai` by Eq. 10, `dai_released` as the released code computes it."""
    sample, numbers = result.sample, result.metrics
    left, asked = np.array(numbers["distance_left_px"]), np.array(numbers["distance_asked_px"])
    pictures = sample.image, result.image, sample.points, DAI_RADIUS
    return {
        "operations": numbers["drag_operations"],
        "asked_px": float(asked.mean()),
        "left_px": float(left.mean()),
        "moved": float(1 - (left / asked).mean()),  # share of the way that the handles went
        "truth": numbers.get("truth_error_ratio"),
        "damage": numbers.get("damage_outside_mask"),
        "dai": dai(*pictures),
        "dai_released": dai(*pictures, "released"),
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


def versus(records: Records, first: str, second: str, key: str = "truth", *, higher_is_better: bool = False) -> Paired:
    """`paired` of two ways by one number."""
    sign = -1 if higher_is_better else 1
    return paired(*([sign * value for value in column(records, way, key)] for way in (first, second)))
