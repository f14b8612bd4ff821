"""Paired studies: several ways to drag the same edits of Storybook100, resumable edit by edit."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.keep import RESULTS, read_json, save_results, write_json
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation.jobs import one_thread
from gooddrag.evaluation.metrics import dai
from gooddrag.files import cache_folder
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from storybook.edits import edit, plan
from storybook.nearest import nearest
from storybook.storybook100 import keys

NO_STOP = {"stop_distance": None, "stop_unmoved": None}  # as printed: all K operations, whatever the handles do
DAI_RADIUS = 5  # px, of the patch in a study's DAI
Records = list[dict[str, Any]]
Scenes = tuple[Any, Any]  # of the page before and after the edit


def changes(config: DragConfig) -> dict[str, Any]:
    """The fields that differ from DragConfig's defaults."""
    return {name: value for name, value in asdict(config).items() if value != getattr(DragConfig(), name)}


def drag_each(
    editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], **options: Any
) -> Iterator[tuple[dict[str, Any], DragResult]]:
    """Drag one sample in every way; yields the record and the result. `options` are those of `DragEditor.drag`."""
    for way, config in configs.items():
        start = time.perf_counter()
        result = editor.drag(sample, config=config, **options)
        yield {"way": way, **scores(result), "seconds": round(time.perf_counter() - start, 2)}, result


def drag_and_compare(editor: DragEditor, sample: Sample, configs: Mapping[str, DragConfig], scenes: Scenes) -> Records:
    """The plainest `measure` of a study: each way's scores, and the distance of its result to the nearest page."""
    drags = drag_each(editor, sample, configs)
    return [{**record, "page": nearest(result.image, *scenes)[0]} for record, result in drags]


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
    measure: Callable[[DragEditor, Sample, dict[str, DragConfig], Scenes], Records] = drag_and_compare
    edits: int = 40
    lora: LoraConfig | Mapping[str, LoraConfig] = LoraConfig()
    first_seed: int | None = None

    def settings(self) -> dict[str, Any]:
        """What decides the outcome, as it stands in the file; "edits" are (category, task, seed) of each."""
        hundred, numbers = keys(), range(self.edits)
        edits = [hundred[i * 61 % 100] for i in numbers]  # near the golden section: every category is visited early
        if self.first_seed is not None:
            edits = [(None, None, self.first_seed + i) for i in numbers]
        shared = isinstance(self.lora, LoraConfig)
        lora = asdict(self.lora) if shared else {way: asdict(fit) for way, fit in self.lora.items()}
        return json.loads(json.dumps({"edits": edits, "ways": self.ways, "lora": lora}))  # as they come back

    def one_edit(self, model: DiffusionModel, number: int) -> Records:
        """The records of one edit."""
        category, task, seed = self.settings()["edits"][number]
        sample, scenes = edit(seed, model.native_size, category, task), plan(seed, category, task)[2:]
        configs, records = {name: DragConfig(**changed) for name, changed in self.ways.items()}, []
        groups = [(self.lora, configs)]
        if not isinstance(self.lora, LoraConfig):
            groups = [(self.lora[way], {way: config}) for way, config in configs.items()]
        with one_thread(model.device):
            for lora, ways in groups:
                editor = DragEditor(model, lora).set_image(sample.image)
                records += self.measure(editor, sample, ways, scenes)
        about = {"edit": number, "name": sample.name, "category": sample.category, "task": sample.task}
        return [{**about, **record} for record in records]

    def compute(self, model: DiffusionModel, folder: Path = RESULTS) -> None:
        """Compute the records edit by edit, and write the file when all are done.

        Those of finished edits wait in the cache folder: an interrupted run, a killed one too, goes on with the next.
        """
        settings, waiting = self.settings(), cache_folder("studies") / f"{self.name}.json"
        so_far = {"of": [settings, model.fingerprint, model.device.type], "records": [], "edits": 0, "seconds": 0.0}
        if waiting.exists() and (earlier := read_json(waiting))["of"] == so_far["of"]:
            so_far = earlier
        for number in tqdm(range(so_far["edits"], self.edits), desc=self.name):
            start = time.perf_counter()
            so_far["records"] += self.one_edit(model, number)
            so_far["edits"] += 1
            so_far["seconds"] += time.perf_counter() - start
            write_json(waiting, so_far)
        save_results(folder / f"{self.name}.json", model, settings, so_far["records"], so_far["seconds"])
        waiting.unlink(missing_ok=True)


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
