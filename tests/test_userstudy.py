"""The user study: blinded, shuffled, resumable; and the analysis by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gooddrag import plots, userstudy
from gooddrag.sample import Sample
from gooddrag.userstudy.widget import StudyWidget

METHODS, SAMPLES = ["GoodDrag", "DragDiffusion", "SDE-Drag"], ["a", "b", "c", "d"]


def answer_all(folder, name, best):
    """A person who ranks by the order of `best`, whatever is shown where."""
    person = userstudy.Participant(folder, name, SAMPLES, METHODS)
    for ballot in person.todo:
        letters = dict(zip(ballot.shown, ballot.letters, strict=True))
        person.answer(ballot, {letters[m]: rank for rank, m in enumerate(best, start=1)})
    return person


def test_every_person_sees_everything_once_in_an_order_of_their_own():
    first, again, second = (userstudy.ballots(p, SAMPLES, METHODS) for p in ("Ann", "Ann", "Bob"))
    assert first == again != second
    assert len(first) == 8 and {(b.question, b.sample) for b in first} == {(q, s) for q in userstudy.QUESTIONS
                                                                          for s in SAMPLES}  # fmt: skip
    assert all(set(b.shown) == set(METHODS) for b in first)
    places = [b.shown.index("GoodDrag") for p in map(str, range(100)) for b in userstudy.ballots(p, SAMPLES, METHODS)]
    assert all(abs(places.count(place) / len(places) - 1 / 3) < 0.06 for place in range(3))  # no place tells the method


def test_answers_are_saved_at_once_and_gone_on_with(tmp_path):
    person = userstudy.Participant(tmp_path, "Ann B.", SAMPLES, METHODS)
    ballot = person.todo[0]
    person.answer(ballot, {"A": 2, "B": 1, "C": 3})
    saved = json.loads((tmp_path / "ann-b.json").read_text())
    (kept,) = saved["answers"]
    assert kept["ranks"] == {ballot.shown[0]: 2, ballot.shown[1]: 1, ballot.shown[2]: 3}
    assert kept["shown"] == list(ballot.shown)
    later = userstudy.Participant(tmp_path, "Ann B.", SAMPLES, METHODS)
    assert len(later.todo) == 7 and ballot not in later.todo
    with pytest.raises(ValueError, match="answered already"):
        later.answer(ballot, {"A": 2, "B": 1, "C": 3})
    for ranks in ({"A": 1, "B": 1, "C": 2}, {"A": 1, "B": 2}, {"A": 0, "B": 1, "C": 2}):
        with pytest.raises(ValueError, match="every rank from 1 to 3 once"):
            later.answer(later.todo[0], ranks)
    with pytest.raises(ValueError, match="is of another study"):
        userstudy.Participant(tmp_path, "Ann B.", SAMPLES, METHODS[:2])


@pytest.mark.parametrize("samples, methods, questions", [
    ([], METHODS, ["quality"]), (SAMPLES, METHODS[:1], ["quality"]), (SAMPLES, 2 * METHODS, ["quality"]),
    (SAMPLES, METHODS, ["taste"]), (SAMPLES, METHODS, []),
])  # fmt: skip
def test_wrong_studies_are_refused(samples, methods, questions):
    with pytest.raises(ValueError, match="^(samples|methods|questions): "):
        userstudy.ballots("p", samples, methods, questions)


def test_analysis_by_hand(tmp_path):
    answer_all(tmp_path, "ann", METHODS)
    answer_all(tmp_path, "bob", [METHODS[0], METHODS[2], METHODS[1]])
    ranks = userstudy.read(tmp_path)
    assert len(ranks) == 2 * 8 * 3
    means = userstudy.mean_ranks(ranks)
    assert means.loc[("quality", "GoodDrag")].tolist() == [1.0, 0.0, 8.0]
    assert means.loc[("quality", "SDE-Drag"), "mean"] == 2.5
    quality = {"GoodDrag": 3.0, "DragDiffusion": 2.0, "SDE-Drag": 1.0}
    table = pd.DataFrame([(s, m, q, -q if s == "a" else q) for s in SAMPLES for m, q in quality.items()],
                         columns=["sample", "method", "good", "mixed"])  # fmt: skip
    found = userstudy.correlations(ranks, table, {"good": ("good", True), "bad": ("good", False),
                                                  "mixed": ("mixed", True)})  # fmt: skip
    tied = np.corrcoef([1, 2.5, 2.5], [1, 2, 3])[0, 1]  # people's mean ranks tie two methods
    assert found["good"] == pytest.approx(tied) and found["bad"] == pytest.approx(-tied)
    assert found["mixed"] == pytest.approx(tied * (3 - 1) / 4)
    with pytest.raises(ValueError, match="no good of SDE-Drag on 'd'"):
        userstudy.correlations(ranks, table.iloc[:-1], {"good": ("good", True)})
    with pytest.raises(ValueError, match="^question: 'taste'"):
        userstudy.correlations(ranks, table, {}, "taste")
    assert plots.study_ranks(ranks).axes


def test_the_truths_ranking_is_labelled():
    table = pd.DataFrame([(s, m, 0, e, 1 - e) for s in "ab" for m, e in (("x", 0.1), ("y", 0.2), ("z", 0.2))],
                         columns=["sample", "method", "seed", "truth_error_inside_mask", "ssim_truth"])  # fmt: skip
    ranks = userstudy.truth_ranks(table)
    assert set(ranks["participant"]) == {"ground truth"} and len(ranks) == 12
    assert userstudy.mean_ranks(ranks)["mean"].tolist() == [1.0, 2.5, 2.5] * 2


def test_no_answers(tmp_path):
    with pytest.raises(ValueError, match="holds no answers"):
        userstudy.read(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no answers; expected what the study's widget saves"):
        userstudy.read(tmp_path)


def test_the_widget_shows_letters_takes_ranks_and_ends(tmp_path):
    grey = Image.new("RGB", (40, 40), "grey")
    samples = {name: Sample(grey, [[[5, 5], [20, 20]]], name=name) for name in "ab"}
    results = {name: dict.fromkeys(METHODS, grey) for name in "ab"}
    person = userstudy.Participant(tmp_path, "ann", list("ab"), METHODS, ["quality"])
    widget = StudyWidget(person, samples, results)
    texts = " ".join(w.children[0].value for w in widget.panels.children) + widget.title.value
    assert "<b>A</b>" in texts and not any(m in texts for m in METHODS)
    assert widget.next.disabled
    first = widget.ballot
    for value, choice in zip((1, 1, 2), widget.ranks.values(), strict=True):
        choice.value = value
    assert widget.next.disabled and "same rank" in widget.note.value
    list(widget.ranks.values())[1].value = 3
    assert not widget.next.disabled
    widget.next.click()
    assert person.answers[0]["ranks"] == dict(zip(first.shown, (1, 3, 2), strict=True))
    for value, choice in zip((3, 2, 1), widget.ranks.values(), strict=True):
        choice.value = value
    widget.next.click()
    assert widget.ballot is None and "Thank you" in widget.title.value and not widget.panels.children
