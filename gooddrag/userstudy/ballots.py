"""Sec. 5.2's user study as data: who is shown what in which order, what they answer, one JSON file per person."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gooddrag.benchmark.folder import slug
from gooddrag.benchmark.records import read_json
from gooddrag.files import atomic_file

FORMAT_VERSION = 1
QUESTIONS = {
    "accuracy": "Which result brings what is under the red points to the blue points best?",
    "quality": "Which result looks most natural, and most like the original where nothing was asked for?",
}
"""The paper's two parts, Fig. 11 (a) and (b). Its wording is not published; this one is ours."""


@dataclass(frozen=True)
class Ballot:
    """One screen: the results of all methods on one sample, to be ranked by one question.

    Attributes:
        shown: the methods in the order in which this person sees them, as A, B, C, ...; the person sees letters only.
    """

    question: str
    sample: str
    shown: tuple[str, ...]

    @property
    def letters(self) -> str:
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.shown)]


def ballots(participant: str, samples: Sequence[str], methods: Sequence[str],
            questions: Sequence[str] = tuple(QUESTIONS)) -> list[Ballot]:  # fmt: skip
    """All screens of a person: one question after the other, samples and methods shuffled by the person's name.

    Raises:
        ValueError: fewer than two methods or more than 26, doubles, no samples, an unknown question.
    """
    for argument, names, least in (("samples", samples, 1), ("methods", methods, 2), ("questions", questions, 1)):
        if len(names) < least or len(set(names)) < len(names) or (argument == "methods" and len(names) > 26):
            raise ValueError(f"{argument}: {list(names)}; expected {least} or more distinct names, at most 26 methods")
    if unknown := set(questions) - set(QUESTIONS):
        raise ValueError(f"questions: {', '.join(sorted(unknown))}; expected some of {', '.join(QUESTIONS)}")
    made = []
    for question in questions:
        order = random.Random(f"{slug(participant)} {question}").sample(list(samples), len(samples))
        for name in order:
            rng = random.Random(f"{slug(participant)} {question} {name}")
            made.append(Ballot(question, name, tuple(rng.sample(list(methods), len(methods)))))
    return made


class Participant:
    """One person's answers, kept in FOLDER/NAME.json after every answer; a file that is there is gone on with.

    Attributes:
        todo: ballots without an answer. answers: what the file holds.
    """

    def __init__(self, folder: str | Path, name: str, samples: Sequence[str], methods: Sequence[str],
                 questions: Sequence[str] = tuple(QUESTIONS)):  # fmt: skip
        self.name, self.file = slug(name, "participant"), Path(folder) / f"{slug(name, 'participant')}.json"
        self._all = ballots(name, samples, methods, questions)
        self.answers: list[dict] = read_answers(self.file) if self.file.exists() else []
        known = {(b.question, b.sample): b for b in self._all}
        for answer in self.answers:
            ballot = known.get((answer["question"], answer["sample"]))
            if ballot is None or set(ballot.shown) != set(answer["ranks"]):
                raise ValueError(f"participant: {str(self.file)!r} is of another study; expected a name or a folder "
                                 "of its own")  # fmt: skip

    @property
    def todo(self) -> list[Ballot]:
        answered = {(a["question"], a["sample"]) for a in self.answers}
        return [b for b in self._all if (b.question, b.sample) not in answered]

    def answer(self, ballot: Ballot, ranks: Mapping[str, int]) -> None:
        """Keep a ranking by letters, {"A": 2, "B": 1, "C": 3}; 1 is the best, every rank is given once.

        Raises:
            ValueError: not such a ranking, or a ballot that has been answered.
        """
        if ballot not in self.todo:
            raise ValueError(f"ballot: {ballot.question} of {ballot.sample!r} is answered already; expected a new one")
        if set(ranks) != set(ballot.letters) or sorted(ranks.values()) != list(range(1, len(ranks) + 1)):
            raise ValueError(f"ranks: {dict(ranks)}; expected every rank from 1 to {len(ballot.letters)} once")
        by_method = {method: ranks[letter] for letter, method in zip(ballot.letters, ballot.shown, strict=True)}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.answers.append({"question": ballot.question, "sample": ballot.sample, "shown": list(ballot.shown),
                             "ranks": by_method, "at": now})  # fmt: skip
        content = {"format_version": FORMAT_VERSION, "participant": self.name, "answers": self.answers}
        with atomic_file(self.file, "folder") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_answers(file: Path) -> list[dict]:
    """The answers in a person's file.

    Raises:
        ValueError: it is not such a file.
    """
    content = read_json(file)
    answers = (content or {}).get("answers")
    whole = isinstance(answers, list) and all(map(_is_answer, answers))
    if not whole or content.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"file: {str(file)!r} holds no answers; expected what the study's widget saves, "
                         f"format_version {FORMAT_VERSION}")  # fmt: skip
    return answers


def _is_answer(answer: object) -> bool:
    ranks = answer.get("ranks") if isinstance(answer, dict) else None
    ranked = isinstance(ranks, dict) and all(type(rank) is int for rank in ranks.values())
    return ranked and all(isinstance(answer.get(name), str) for name in ("question", "sample"))
