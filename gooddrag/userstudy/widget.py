"""The study in a notebook: results without names, ranked by clicking. All logic is in `ballots`."""

from __future__ import annotations

import io
from collections.abc import Mapping

import ipywidgets as widgets
from PIL import Image

from gooddrag import plots
from gooddrag.sample import Sample
from gooddrag.userstudy.ballots import QUESTIONS, Ballot, Participant

SIZE = 220  # px of a shown picture


class StudyWidget:
    """Shows one ballot after the other and saves each answer; `display(StudyWidget(...).view)`.

    Args:
        participant: whose answers these are. samples: name -> sample. results: sample name -> {method: image}.
    """

    def __init__(self, participant: Participant, samples: Mapping[str, Sample],
                 results: Mapping[str, Mapping[str, Image.Image]]):  # fmt: skip
        self.participant, self.samples, self.results = participant, samples, results
        self.title, self.note = widgets.HTML(), widgets.HTML()
        self.panels = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
        self.next = widgets.Button(description="Next", button_style="primary", disabled=True)
        self.next.on_click(lambda _: self._answer())
        self.view = widgets.VBox([self.title, self.panels, widgets.HBox([self.next, self.note])])
        self.ranks: dict[str, widgets.ToggleButtons] = {}
        self._show()

    @property
    def ballot(self) -> Ballot | None:
        """The screen in view; None once all are answered."""
        return next(iter(self.participant.todo), None)

    def _show(self) -> None:
        ballot, done = self.ballot, len(self.participant.answers)
        self.next.disabled, self.ranks = True, {}
        if ballot is None:
            self.title.value = f"<b>Thank you.</b> {done} answers are saved in {self.participant.file.name}."
            self.panels.children, self.next.layout.display, self.note.value = (), "none", ""
            return
        total = done + len(self.participant.todo)
        self.title.value = f"<b>{done + 1} of {total}.</b> {QUESTIONS[ballot.question]} 1 is the best."
        panels = [_panel("original and what was asked", plots.marked(self.samples[ballot.sample], SIZE))]
        for letter, method in zip(ballot.letters, ballot.shown, strict=True):
            choice = widgets.ToggleButtons(options=range(1, len(ballot.shown) + 1), value=None,
                                           style={"button_width": "34px"}, tooltips=[f"rank of {letter}"])  # fmt: skip
            choice.observe(lambda _: self._check(), "value")
            self.ranks[letter] = choice
            panels.append(_panel(letter, plots.fitted(self.results[ballot.sample][method], SIZE), choice))
        self.panels.children = panels
        self._check()

    def _check(self) -> None:
        given = [choice.value for choice in self.ranks.values()]
        complete = None not in given and len(set(given)) == len(given)
        self.next.disabled = not complete
        twice = None not in given and not complete
        self.note.value = "two results have the same rank" if twice else ""

    def _answer(self) -> None:
        if not self.next.disabled:
            self.participant.answer(self.ballot, {letter: choice.value for letter, choice in self.ranks.items()})
            self._show()


def _panel(title: str, image: Image.Image, *controls: widgets.Widget) -> widgets.VBox:
    png = io.BytesIO()
    image.save(png, "PNG")
    shown = widgets.Image(value=png.getvalue(), format="png", width=SIZE, height=SIZE)
    return widgets.VBox([widgets.HTML(f"<b>{title}</b>"), shown, *controls], layout=widgets.Layout(margin="4px"))
