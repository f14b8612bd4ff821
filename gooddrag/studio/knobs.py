"""The settings of a run as widgets."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets as W

from gooddrag.config import DragConfig, LoraConfig, Preset

YOURS = "as given"
FIELDS = ("K", "J", "lam", "strength")


class Knobs:
    """Preset, K, J, lambda, strength, LoRA, seed, pixels outside the mask; everything else is the preset's.

    Args:
        config: what "as given" means, chosen first; None = the preset `own`.
        lora: how the LoRA is fitted when it is on; None = off at first, and what suits the preset when it is on.
        seed: of the LoRA's fit. own: the model's preset, the first of the list.
    """

    def __init__(self, config: DragConfig | None, lora: LoraConfig | None, seed: int, own: Preset):
        self._given, self._first = config, (lora is not None, seed)
        self._lora = lora if lora != LoraConfig() else None
        presets = sorted(Preset, key=lambda preset: preset != own)
        names = ([YOURS] if config else []) + [preset.value for preset in presets]
        self.preset = W.Dropdown(options=names, description="preset", **_wide(190, 48))
        self.K = W.BoundedIntText(min=0, max=10_000, description="K", tooltip="drag operations", **_wide(90, 22))
        self.J = W.BoundedIntText(min=1, max=1000, description="J", tooltip="updates per operation", **_wide(80, 22))
        self.lam = W.BoundedFloatText(min=0, max=1e6, step=0.05, description="λ", tooltip="mask term", **_wide(90, 22))
        self.strength = W.BoundedFloatText(min=0.05, max=1, step=0.05, description="strength",
                                           tooltip="how far the image is inverted", **_wide(130, 60))  # fmt: skip
        self.lora = W.Checkbox(description="LoRA", indent=False, layout=W.Layout(width="70px", margin="2px 0 0 14px"))
        self.seed = W.BoundedIntText(min=0, max=2**31 - 1, description="seed", tooltip="of the LoRA's fit",
                                     **_wide(110, 38))  # fmt: skip
        self.keep = W.Checkbox(description="keep the outside", tooltip="Put the pixels outside the mask back exactly",
                               indent=False, layout=W.Layout(width="150px", margin="2px 0 0 14px"))  # fmt: skip
        self.preset.observe(lambda _: self._fill(), "value")
        self.widget = W.HBox([self.preset, self.K, self.J, self.lam, self.strength, self.lora, self.seed, self.keep],
                             layout=W.Layout(flex_flow="row wrap"))  # fmt: skip
        self.reset()

    @property
    def config(self) -> DragConfig:
        """The settings as they stand.

        Raises:
            ValueError: they do not go together.
        """
        return replace(self._base, **{name: getattr(self, name).value for name in FIELDS})

    @property
    def lora_config(self) -> LoraConfig | None:
        return (self._lora or LoraConfig.preset(self.preset.value)) if self.lora.value else None

    def reset(self) -> None:
        """As at the beginning."""
        self.preset.value = self.preset.options[0]
        self._fill()
        self.lora.value, self.seed.value = self._first
        self.keep.value = False

    @property
    def _base(self) -> DragConfig:
        return self._given if self.preset.value == YOURS else DragConfig.preset(self.preset.value)

    def _fill(self) -> None:
        for name in FIELDS:
            getattr(self, name).value = getattr(self._base, name)


def _wide(width: int, description: int) -> dict:
    return dict(layout=W.Layout(width=f"{width}px"), style={"description_width": f"{description}px"})
