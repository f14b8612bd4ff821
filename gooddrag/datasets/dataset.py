"""A data set: names, and samples that are read when they are asked for; a report on every one of them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gooddrag.sample import Sample


@dataclass(frozen=True)
class Check:
    """What was found in one sample; plain values, so `pandas.DataFrame(dataset.report())` is a table.

    Attributes:
        name, category, task: of the sample; "" where not known.
        problem: why it cannot be used, "" if it can.
        notes: what a reader should know of a usable one (a PNG called .jpg, an empty mask), "" for nothing.
        width, height: pixels. pairs: handle and target. editable: share of the image; 1 without a mask.
    """

    name: str
    category: str = ""
    task: str = ""
    problem: str = ""
    notes: str = ""
    width: int = 0
    height: int = 0
    pairs: int = 0
    editable: float = 0.0


class Dataset(Sequence[Sample]):
    """Samples by number, slice or name; each is read anew from its files whenever it is asked for.

    Attributes:
        title: what errors call it. names: of the samples, sorted. root: the folder.
    """

    def __init__(self, title: str, root: Path, folders: Mapping[str, Path], read: Callable[[Path], Sample],
                 notes: Callable[[Path], list[str]] = lambda path: []):  # fmt: skip
        self.title, self.root = title, root
        self._folders, self._read, self._notes = dict(folders), read, notes
        self.names = list(self._folders)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | str | slice) -> Sample | Dataset:
        if isinstance(key, slice):
            return self.subset(self.names[key])
        if isinstance(key, str) and key not in self._folders:
            raise ValueError(f"{self.title}: no sample {key!r}; expected one of {_few(self.names)}")
        name = key if isinstance(key, str) else self.names[key]
        try:
            with _named_warnings(f"{self.title}: sample {name!r}"):
                return replace(self._read(self._folders[name]), name=name)
        except ValueError as error:
            raise ValueError(f"{self.title}: sample {name!r}: {error}") from error

    def __repr__(self) -> str:
        return f"Dataset({self.title}, {len(self)} samples: {_few(self.names)})"

    def subset(self, names: Iterable[str]) -> Dataset:
        """The samples of these names, in this order."""
        names = list(names)
        if unknown := [name for name in names if name not in self._folders]:
            raise ValueError(f"{self.title}: no sample {unknown[0]!r}; expected one of {_few(self.names)}")
        return Dataset(self.title, self.root, {n: self._folders[n] for n in names}, self._read, self._notes)

    def report(self) -> list[Check]:
        """Every sample read once: what is in it, or why it cannot be used. Never raises for a bad sample."""
        return [self._check(name) for name in self.names]

    def check(self) -> Dataset:
        """This data set, if every sample can be used.

        Raises:
            ValueError: names each one that cannot, with its reason.
        """
        if problems := [f"{c.name}: {c.problem}" for c in self.report() if c.problem]:
            raise ValueError(f"{self.title}: {len(problems)} of {len(self)} samples cannot be used\n"
                             + "\n".join(problems))  # fmt: skip
        return self

    def _check(self, name: str) -> Check:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                sample = self._read(self._folders[name])
            except ValueError as error:
                return Check(name, problem=str(error))
        notes = [*self._notes(self._folders[name]), *(str(warning.message) for warning in caught)]
        editable = 1.0 if sample.mask is None else float(sample.mask.mean())
        return Check(name, sample.category, sample.task, "", "; ".join(notes), *sample.image.size, len(sample.points),
                     round(editable, 4))  # fmt: skip


def distribution(checks: Iterable[Check | Sample]) -> dict[str, Counter[str]]:
    """How many samples of each category and task (Fig. 7); "" counts those that have none.

    Args:
        checks: a data set's report (nothing is read again), or samples.
    """
    pairs = [(check.category, check.task) for check in checks]
    return {"category": Counter(c for c, _ in pairs), "task": Counter(t for _, t in pairs)}


@contextmanager
def _named_warnings(what: str) -> Iterator[None]:
    """Each warning of the block once, after it, with `what` before its text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text, category in dict.fromkeys((str(warning.message), warning.category) for warning in caught):
        warnings.warn(f"{what}: {text}", category, stacklevel=4)


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f", ... ({len(names)} in all)" if len(names) > 4 else "")
