"""A results folder: what belongs to it, where each thing lies, and when a result counts as there.

    model.json                              which weights made everything in this folder
    methods/METHOD.json                     name and settings of a method
    samples/SAMPLE/                         an edit, as `Sample.save` writes it; round_trip.png: it through the VAE
    plans/HASH.json                         what a run was asked for: samples x methods x seeds
    results/SAMPLE/seed-0/METHOD/           image.png and metrics.json of one task
    locks/SAMPLE-seed-0.lock                held by the process that works on these tasks

Everything appears by a rename, complete or not at all, so that a reader never meets half a file, whenever the writer
was killed. A folder is of one model, and a name in it means one sample or one method for good: whatever differs is
refused, never mixed in. Samples, methods and seeds may be added.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from gooddrag.baselines import Method
from gooddrag.benchmark.records import is_identity, is_method, is_plan, is_result, read_json, read_whole
from gooddrag.files import atomic_dir, atomic_file, check_writable
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

FORMAT_VERSION = 1


def slug(name: str, argument: str = "name") -> str:
    """A name as a file name: "DragDiffusion*" -> "dragdiffusion-star", "007 animal: nod" -> "007-animal-nod"."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("*", " star")).strip("-")[:80]
    if not text:
        raise ValueError(f"{argument}: {name!r}; expected letters or digits in it, to name a folder after it")
    return text


def slugs(names: Sequence[str], argument: str) -> dict[str, str]:
    """slug -> name, refusing an empty list and two names that would share a folder."""
    found: dict[str, str] = {}
    for name in names:
        if (text := slug(name, argument)) in found:
            raise ValueError(f"{argument}: {found[text]!r} and {name!r} would share a folder; expected distinct names")
        found[text] = name
    if not found:
        raise ValueError(f"{argument}: none given; expected at least one")
    return found


def digest(*parts: object) -> str:
    """16 hexadecimal digits of plain data, bytes as they are."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()[:16]


def sample_digest(sample: Sample) -> str:
    """What of a sample decides a result or its score."""
    mask = b"" if sample.mask is None else sample.mask.tobytes()
    truth = b"" if sample.truth is None else sample.truth.tobytes()
    return digest(sample.image.tobytes(), sample.image.size, sample.points.tolist(), mask, truth)


def settings(method: Method) -> dict[str, Any]:
    """A method as plain data: its class and every field."""
    return json.loads(json.dumps({"class": type(method).__qualname__, **asdict(method)}, default=str))


def model_identity(model: DiffusionModel) -> dict[str, str]:
    """Which weights, in which precision: what a result depends on, and no path of this machine."""
    weights = hashlib.sha256()
    for name, weight in model.vae.state_dict().items():
        flat = weight.detach().flatten()
        weights.update(name.encode() + flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes())
    return {"model": model.label, "weights": model.fingerprint, "vae": weights.hexdigest()[:16],
            "dtype": str(model.dtype).removeprefix("torch.")}  # fmt: skip


class Folder:
    """The results folder at `path`; see the module's docstring."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    # what belongs to it

    def prepare(self, model: DiffusionModel, samples: Sequence[Sample], methods: Mapping[str, Method],
                seeds: Sequence[int]) -> None:  # fmt: skip
        """Write down what a run is about to do, or refuse it before anything is computed.

        Raises:
            ValueError: an argument is empty or has doubles; the folder belongs to another model, knows a name as
                another sample or other settings, or is damaged.
        """
        if odd := [sample for sample in samples if not isinstance(sample, Sample)]:
            raise ValueError(f"samples: {odd[0]!r}; expected Samples")
        by_sample, by_method = slugs([s.name for s in samples], "samples"), slugs(list(methods), "methods")
        whole = isinstance(seeds, Sequence) and all(type(seed) is int and seed >= 0 for seed in seeds)
        if not whole or not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds: {seeds!r}; expected distinct whole numbers >= 0, at least one")
        check_writable(self.path, "folder")
        self._agree(self.path / "model.json", model_identity(model), "model")
        for name, method in methods.items():
            file = self.path / "methods" / f"{slug(name)}.json"
            self._agree(file, {"name": name, "settings": settings(method)}, "methods")
        for sample in samples:
            self._agree_on(sample)
        plan = {"samples": list(by_sample), "methods": list(by_method), "seeds": list(seeds)}
        self._agree(self.path / "plans" / f"{digest(plan)}.json", plan, "plan")
        self.methods(), self.planned()  # or the error that says which file is damaged

    def _agree(self, file: Path, content: dict, argument: str) -> None:
        if (there := read_json(file)) is None:
            with atomic_file(file, "folder") as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        elif there != content:
            raise ValueError(f"{argument}: {_difference(there, content)}, says {file}; expected a folder of its own "
                             "for what differs")  # fmt: skip

    def _agree_on(self, sample: Sample) -> None:
        path = self.path / "samples" / slug(sample.name)
        if not path.is_dir():
            sample.save(path)
        elif sample_digest(self.sample(path.name)) != sample_digest(sample):
            raise ValueError(f"samples: {sample.name!r} is another edit than in {path}; expected a folder of its own "
                             "for what differs")  # fmt: skip

    @property
    def identity(self) -> dict[str, str]:
        """The model of this folder, as `model_identity` gave it."""
        if not os.path.exists(self.path / "model.json"):
            raise ValueError(f"folder: {str(self.path)!r} holds no results; expected what `gooddrag bench` writes")
        return read_whole(self.path / "model.json", is_identity)

    def sample(self, name: str) -> Sample:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "mask: empty")  # its data set has told it, with the sample's name
            return Sample.open(self.path / "samples" / name)

    def method(self, name: str) -> dict[str, Any]:
        """{"name", "settings"} of a method by its slug."""
        return read_whole(self.path / "methods" / f"{name}.json", is_method)

    def methods(self) -> dict[str, dict]:
        """slug -> {"name", "settings"}."""
        return {f.stem: self.method(f.stem) for f in sorted((self.path / "methods").glob("[!.]*.json"))}

    def planned(self) -> list[tuple[str, int, str]]:
        """(sample, seed, method) of every task that any run was asked for, sorted, as slugs."""
        plans = [read_whole(f, is_plan) for f in sorted((self.path / "plans").glob("[!.]*.json"))]
        return sorted({(s, n, m) for p in plans for s in p["samples"] for n in p["seeds"] for m in p["methods"]})

    # results

    def key(self, sample: str, seed: int, method: str, about: Sample | None = None) -> str:
        """The hash of all that decides a result."""
        about = about or self.sample(sample)
        return digest(self.identity, sample_digest(about), self.method(method)["settings"], seed)

    def place(self, sample: str, seed: int, method: str) -> Path:
        return self.path / "results" / sample / f"seed-{seed}" / method

    def lock(self, sample: str, seed: int) -> FileLock:
        """Of all tasks of a sample and a seed. The system frees it when its holder dies, however it dies."""
        path = self.path / "locks" / f"{sample}-seed-{seed}.lock"
        path.parent.mkdir(exist_ok=True)
        return FileLock(path)

    def clean(self, sample: str, seed: int) -> None:
        """Remove what a killed process left; with the lock held."""
        for left in (self.path / "results" / sample / f"seed-{seed}").glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def result(self, sample: str, seed: int, method: str) -> dict[str, Any] | None:
        """The record of a task, done or failed; None if it is not there whole, or its image is not the one it names.

        Raises:
            ValueError: another version of this package wrote it.
        """
        place = self.place(sample, seed, method)
        record = read_json(place / "metrics.json")
        if record is None or not is_result(record):
            return None
        if record["format_version"] != FORMAT_VERSION:
            raise ValueError(f"folder: {place}: format_version {record['format_version']}; expected {FORMAT_VERSION}, "
                             "which this version of gooddrag writes")  # fmt: skip
        if record["state"] == "done" and file_digest(place / "image.png") != record.get("image"):
            return None
        return record

    def store(self, sample: str, seed: int, method: str, record: dict[str, Any], image=None) -> dict[str, Any]:
        """Write a result in place of whatever is there; with the lock held."""
        place = self.place(sample, seed, method)
        shutil.rmtree(place, ignore_errors=True)
        record = {"format_version": FORMAT_VERSION, **record}
        with atomic_dir(place, "folder") as temporary:
            if image is not None:
                image.save(temporary / "image.png")
                record["image"] = file_digest(temporary / "image.png")
            (temporary / "metrics.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return record

    def rewrite(self, sample: str, seed: int, method: str, record: dict[str, Any]) -> None:
        """Another record for the image that is there; with the lock held."""
        with atomic_file(self.place(sample, seed, method) / "metrics.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def file_digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def _difference(there: dict, wanted: dict, path: str = "") -> str:
    """The first field in which two records differ, for a message."""
    for name in sorted(set(there) | set(wanted)):
        a, b = there.get(name), wanted.get(name)
        if a != b:
            where = f"{path}{name}"
            return _difference(a, b, f"{where}.") if isinstance(a, dict) and isinstance(b, dict) else (
                f"{where} is {a!r} in this folder, {b!r} was asked for")  # fmt: skip
    return "nothing differs"
