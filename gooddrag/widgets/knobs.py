"""The settings of a run, as the studio offers them."""

from dataclasses import replace

import ipywidgets as W

from gooddrag.config import PRESETS, DragConfig, LoraConfig, ranges

FIELDS = ("K", "J", "lam", "mask_mode", "eta", "strength")  # of DragConfig; everything else is the preset's
KNOBS = {  # in two rows; words, width, kind and its options (bounds: those of DragConfig)
    "preset": ("preset", 190, W.Dropdown, {}),
    "K": ("drag operations (K)", 200, W.BoundedIntText, {}),
    "keep": ("keep the outside", 150, W.Checkbox, {"tooltip": "Put the pixels outside the mask back as they were"}),
    "J": ("updates per operation (J)", 230, W.BoundedIntText, {}),
    "lam": ("mask weight (λ)", 180, W.BoundedFloatText, {"step": 0.05}),
    "mask_mode": ("outside the mask", 230, W.Dropdown, {"options": ("penalty", "replace")}),
    "eta": ("fresh noise (η)", 170, W.BoundedFloatText, {"step": 0.1}),
    "strength": ("strength", 140, W.BoundedFloatText, {"step": 0.05}),
    "lora": ("fit a LoRA", 110, W.Checkbox, {}),
    "seed": ("its seed", 140, W.BoundedIntText, {"min": 0, "max": 2**31 - 1}),
}
WRAP = W.Layout(flex_flow="row wrap", align_items="center")


class Knobs(W.VBox):
    """Preset, number of operations, pixels outside the mask; the rest in a fold.

    Args:
        config: what "as given" means, chosen first; None = the preset `own`, the model's.
        lora: how the LoRA is fitted when it is on; True = as suits the preset; None = the same, but off at first.

    Attributes:
        knob: a widget for each key of KNOBS.
    """

    def __init__(self, config: DragConfig | None, own: str, *, lora: LoraConfig | bool | None):
        presets = {name: DragConfig.preset(name) for name in sorted(PRESETS, key=lambda name: name != own)}
        self._bases = ({"as given": config} if config else {}) | presets
        self._lora, self.knob = lora if isinstance(lora, LoraConfig) else None, {}
        for name, (words, width, kind, options) in KNOBS.items():
            style = {"indent": False} if kind is W.Checkbox else {"style": {"description_width": "initial"}}
            bounds = dict(zip(("min", "max"), ranges(DragConfig).get(name, ()), strict=False))
            self.knob[name] = kind(description=words, layout={"width": f"{width}px"}, **style, **bounds, **options)
        preset, self.knob["lora"].value = self.knob["preset"], bool(lora)
        preset.observe(lambda _: self._fill(), "value")
        preset.options = list(map(str, self._bases))
        preset.value = preset.options[0]
        row, advanced = (W.HBox(list(self.knob.values())[part], layout=WRAP) for part in (slice(3), slice(3, None)))
        super().__init__([row, W.Accordion([advanced], titles=("Advanced",), selected_index=None)])

    @property
    def config(self) -> DragConfig:
        """The settings as they stand; ValueError where they do not go together."""
        base = self._bases[self.knob["preset"].value]
        return replace(base, **{name: self.knob[name].value for name in FIELDS})

    @property
    def lora_config(self) -> LoraConfig | None:
        """How a LoRA is fitted, or None for no LoRA."""
        name = self.knob["preset"].value
        own = LoraConfig.preset(name) if name in PRESETS else LoraConfig()
        return (self._lora or own) if self.knob["lora"].value else None

    @property
    def values(self) -> dict:
        """What every knob stands at; assign some of it to put them there."""
        return {name: knob.value for name, knob in self.knob.items()}

    @values.setter
    def values(self, values: dict) -> None:
        for name, value in values.items():  # the preset first, since it fills the others
            self.knob[name].value = value

    def _fill(self) -> None:
        base = self._bases[self.knob["preset"].value]
        self.values = {name: getattr(base, name) for name in FIELDS}
