"""Two parts of the studio: the settings of a run, and what came of it."""

from dataclasses import replace

import ipywidgets as W
from PIL import Image

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.widgets.explorers import page, path_svg
from gooddrag.widgets.runs import Run

PRESETS = ("storybook", "released", "paper", "dragdiffusion", "fast")
YOURS = "as given"
WRAP = W.Layout(flex_flow="row wrap", align_items="center")
FIELDS = {  # of DragConfig: words, width, range
    "K": ("drag operations (K)", 200, {"min": 0, "max": 10_000}),
    "J": ("updates per operation (J)", 230, {"min": 1, "max": 1000}),
    "lam": ("mask weight (λ)", 180, {"min": 0, "max": 1e6, "step": 0.05}),
    "strength": ("strength", 140, {"min": 0.05, "max": 1, "step": 0.05}),
}


class Knobs:
    """Preset, K, J, lambda, strength, LoRA, seed, pixels outside the mask; everything else is the preset's.

    Args:
        config: what "as given" means, chosen first; None = the preset `own`.
        lora: how the LoRA is fitted when it is on; None = off at first, and what suits the preset when it is on.
        own: the model's preset, the first of the list.

    Attributes:
        first: the `values` at the start.
    """

    def __init__(self, config: DragConfig | None, lora: LoraConfig | None, own: str):
        self._given, self._lora = config, lora if lora != LoraConfig() else None
        names = [YOURS] * bool(config) + sorted(PRESETS, key=lambda preset: preset != own)
        self.preset = W.Dropdown(options=names, description="preset", **_sized(190))
        for name, (words, width, limits) in FIELDS.items():
            kind = W.BoundedIntText if name in ("K", "J") else W.BoundedFloatText
            setattr(self, name, kind(description=words, **limits, **_sized(width)))
        self.lora = W.Checkbox(lora is not None, description="fit a LoRA", indent=False, layout={"width": "110px"})
        self.seed = W.BoundedIntText(0, min=0, max=2**31 - 1, description="its seed", **_sized(140))
        about = "Put the pixels outside the mask back as they were"
        self.keep = W.Checkbox(description="keep the outside", tooltip=about, indent=False, layout={"width": "150px"})
        self.preset.observe(lambda _: self._fill(), "value")
        advanced = W.HBox([self.J, self.lam, self.strength, self.lora, self.seed], layout=WRAP)
        fold = W.Accordion([advanced], titles=("Advanced",), selected_index=None)
        self.widget = W.VBox([W.HBox([self.preset, self.K, self.keep], layout=WRAP), fold])
        self._fill()
        self.first = self.values

    @property
    def config(self) -> DragConfig:
        """The settings as they stand; ValueError where they do not go together."""
        return replace(self._base, **{name: getattr(self, name).value for name in FIELDS})

    @property
    def lora_config(self) -> LoraConfig | None:
        return (self._lora or LoraConfig.preset(self.preset.value)) if self.lora.value else None

    @property
    def values(self) -> dict:
        """What every knob stands at; assign it to put them back."""
        return {name: getattr(self, name).value for name in ("preset", *FIELDS, "lora", "seed", "keep")}

    @values.setter
    def values(self, values: dict) -> None:
        for name, value in values.items():  # the preset first, since it fills the others
            getattr(self, name).value = value

    @property
    def _base(self) -> DragConfig:
        return self._given if self.preset.value == YOURS else DragConfig.preset(self.preset.value)

    def _fill(self) -> None:
        for name in FIELDS:
            getattr(self, name).value = getattr(self._base, name)


class Outcome:
    """Shows a preview while a run goes on, then the run beside what it began with, or beside another run."""

    def __init__(self, longest: int):
        self.longest, self.runs = longest, []
        self.picture, self.caption = W.HTML(layout={"width": "100%"}), W.Label()
        self.picture.add_class("gooddrag-result")
        self.path = W.Checkbox(True, description="path", indent=False, layout={"width": "60px"})
        self.left = W.Dropdown(options=[("before", None)], layout={"width": "80px"})
        self.right = W.Dropdown(options=[("none", None)], layout={"width": "80px"})
        for control in (self.path, self.left, self.right):
            control.observe(lambda _: self.show(), "value")
        self.parts = [self.picture, W.HBox([self.left, self.right, self.path, self.caption], layout=WRAP)]

    @property
    def run(self) -> Run | None:
        """The run on the right, which Save and Continue mean."""
        return self.runs[self.right.value - 1] if self.right.value else None

    def add(self, run: Run) -> None:
        """One more run, and show it."""
        self.runs.append(run)
        numbers, left = [(f"run {r.number}", r.number) for r in self.runs], self.left.value
        self.left.options, self.right.options = [("before", None), *numbers], [("none", None), *numbers]
        self.left.value, self.right.value = left, run.number

    def show(self, image: Image.Image | None = None) -> None:
        """The two sides of a divider, at first all of the right one; without a run the image, if one is given."""
        run, other = self.run, self.left.value
        if run is None:
            return self.put(image, "The edit will be here.") if image else None
        result = run.result
        before = self.runs[other - 1].result.image if other else result.sample.image
        overlay = path_svg(result.path, result.sample.targets, result.image.size) if self.path.value else ""
        labels = (f"run {other}" if other else "before", f"run {run.number}")
        before = before.resize(result.image.size)  # another run's picture may have another size
        self.picture.value = page(result.image, self.longest, before, labels=labels, overlay=overlay)
        self.caption.value = "Pull the divider."

    def put(self, image: Image.Image, caption: str, overlay: str = "") -> None:
        """A picture without a divider."""
        self.picture.value, self.caption.value = page(image, self.longest, overlay=overlay), caption


def _sized(width: int) -> dict:
    return {"layout": {"width": f"{width}px"}, "style": {"description_width": "initial"}}
