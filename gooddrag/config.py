"""Every number and every choice of an edit, with the paper's symbols.

Where the paper's text and its authors' released code differ, the choice is a field of its own, and the field's
comment says which is which. Any mixture runs. `DragConfig()` is `released()`: what the authors' benchmark code sets. An
edit that is given no settings runs with those that suit its model (`DiffusionModel.preset`).
"""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self, get_args

Ranges = dict[str, tuple[float, float]]
"""Field -> smallest and largest value."""
PRESETS = ("released", "paper", "dragdiffusion", "fast", "storybook")  # methods of DragConfig


def level(strength: float, num_steps: int) -> int:
    """The level T that a strength in (0, 1] reaches: round(0.75 * 50) = 38 in the paper (Sec. 5.1); 1 at the least."""
    return max(1, round(strength * num_steps))


def check_seed(seed: int) -> None:
    """Refuse what no random generator takes."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed: {seed!r}; expected a whole number from 0 to 2**63 - 1")


def _known(preset: str) -> str:
    if preset not in PRESETS:
        raise ValueError(f"preset: {preset!r}; expected one of {', '.join(PRESETS)}")
    return preset


def _check(config: Any) -> None:
    """Check every field against its choices (Literal), and against `RANGES` of its class; floats may be whole."""
    for f in fields(config):
        value, choices = getattr(config, f.name), get_args(f.type)
        if f.type is bool:
            fits, expected = isinstance(value, bool), "True or False"
        elif f.name in config.RANGES:
            (low, high), whole = config.RANGES[f.name], f.type is int or int in choices
            fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            fits = low <= value <= high if fits else value is None and type(None) in choices
            expected = f"{'a whole number' if whole else 'a number'} from {low} to {high}"
        else:
            fits, expected = value in choices, f"one of {', '.join(map(repr, choices))}"
        if not fits:
            raise ValueError(f"{f.name}: {value!r}; expected {expected}")


@dataclass(frozen=True)
class DragConfig:
    """Settings of one edit. Distances (r1, r2, beta, stop and skip distance) are pixels of the supervision grid."""

    # The schedule
    num_steps: int = 50
    """T_max, DDIM steps from pure noise to the image (Sec. 5.1)."""
    strength: float = 0.75
    """Inversion strength: T = round(strength * num_steps) = 38 (Sec. 5.1). DragDiffusion: 0.7."""
    K: int = 70
    """Drag operations in all (Sec. 5.1)."""
    B: int = 10
    """Drag operations per denoising step when they alternate: K / B = 7 time steps are dragged (Sec. 5.1)."""
    J: int = 3
    """Motion supervision updates per drag operation, between two trackings (Eq. 9)."""

    # Motion supervision and tracking
    r1: int = 4
    """Radius of the supervised patch (Eq. 8)."""
    r2: int = 12
    """Radius of the tracking window (Eq. 6)."""
    beta: float = 4.0
    """Step size of the handle's next position (Eq. 8)."""
    lam: float = 0.1
    """lambda, weight of the mask term (Eq. 8). The text prints 0.2; the released benchmark runs 0.1 (its UI 0.2)."""
    lr: float = 0.02
    """The paper's eta (not the field `eta` below): Adam's learning rate on the latent (Sec. 5.1)."""

    # The paper's two ideas, and the switch for each
    aldd: bool = True
    """Alternate drag and denoising (Sec. 3.3). False: all K drag operations at t = T, then denoise."""
    ip: bool = True
    """Information-preserving supervision: towards the original handle patch (Eq. 8), not the current one (Eq. 7)."""

    # Latent-MasaCtrl
    masactrl: bool = True
    """Mutual self-attention with the original while denoising, once dragging has ended (Sec. 5.1)."""
    masactrl_start: int = 10
    """First transformer block, counted from 0 in order of execution on Stable Diffusion's 16 ("from the 10th layer");
    on a U-Net with fewer blocks the same share of them."""
    masactrl_from: Literal["second", "first"] = "second"
    """The denoising step, counted from the end of dragging, from which it is on: the "second" (GoodDrag as released) or
    the "first" (DragDiffusion as released). The text does not say."""

    # Early stop (released code only; the text has none)
    stop_distance: float | None = 2.0
    """Dragging ends when every handle is closer than this to its target. None: never. Released: 2."""
    stop_unmoved: int | None = 5
    """Dragging ends after so many trackings in a row in which no handle moved. None: never. Released benchmark: 5
    (its UI: 10)."""

    # Where the text and the released code differ
    feature_block: int = -2
    """Which up block of the U-Net gives the features: -2, the last but one (released), or -1, the last (Sec. 5.1:
    "the last layer")."""
    grid: Literal["latent4", "image"] = "latent4"
    """Supervision grid: "latent4", four times the latent grid, which is half the image for Stable Diffusion
    (released), or "image", the size of the image (Sec. 3.2)."""
    drag_scale: Literal["released", "sum", "dragdiffusion"] = "released"
    """Size of the drag term: "released" (2 r1)^2 * mean, "sum" the L1 norm as printed (Eq. 8; 810 times larger for 640
    channels), "dragdiffusion" (2 r1 + 1)^2 * mean. It decides how much lambda weighs."""
    capped_step: bool = True
    """The next position is min(beta, remaining distance) along d (released), or always beta (Eq. 8)."""
    skip_distance: float = 2.0
    """Pairs closer than this to their target are not supervised (released: 2; the text: never, 0)."""
    tracking: Literal["stale", "updated"] = "stale"
    """Features that tracking looks at: "stale", of the forward pass before the last update (released), or "updated",
    of z^{k+1} (Algorithm 1, line 11)."""
    track_at_start: bool = True
    """One more tracking at the start of every time step, on its first forward pass; it does not count as (un)moved
    (released)."""
    tracking_reference: Literal["current", "initial"] = "current"
    """The handle's original feature is taken from the unedited latent at the "current" t (released) or from z_T^0, the
    "initial" one (Eq. 6)."""
    adam: Literal["per_step", "once"] = "per_step"
    """Adam's moments start anew at each time step (released), or "once" for the whole run (DragDiffusion)."""
    inversion: Literal["destination", "source"] = "destination"
    """Time step the U-Net is told when inverting from t-1 to t: t (released) or t-1 (Eq. 3 as printed)."""
    reference: Literal["denoised", "inverted"] = "denoised"
    """z_{t-1}^0 in the mask term of Eq. 8: the inverted z_T "denoised" again (released), or the latents stored while it
    was "inverted". Features and attention are of the denoised one."""

    # From later work; the paper has neither
    mask_mode: Literal["penalty", "replace"] = "penalty"
    """What holds the outside of the mask: the second term of Eq. 8, a "penalty" (text, released); or "replace": after
    every update and denoising step the unedited latent is put back there (DragFlow, ICLR 2026)."""
    eta: float = 0.0
    """Fresh noise while denoising below the dragged levels, but for the last step, from 0 (Eq. 2) to 1 (as DDPM): the
    model may draw anew what dragging has torn (cf. SDE-Drag, ICLR 2024). The noise is the same in every run."""

    RANGES: ClassVar[Ranges] = {
        "num_steps": (1, 1000),
        "strength": (0.01, 1.0),
        "K": (0, 100_000),
        "B": (1, 100_000),
        "J": (1, 1000),
        "r1": (1, 64),
        "r2": (1, 256),
        "beta": (0.0, 256.0),
        "lam": (0.0, 1e6),
        "lr": (0.0, 100.0),
        "masactrl_start": (0, 16),
        "stop_distance": (0.0, 1e4),
        "stop_unmoved": (1, 100_000),
        "feature_block": (-4, -1),
        "skip_distance": (0.0, 1e4),
        "eta": (0.0, 1.0),
    }

    def __post_init__(self) -> None:
        _check(self)
        if self.aldd and self.K > 0:
            T, steps = self.T, math.ceil(self.K / self.B)
            if steps > T:
                need = f"K: {self.K} drag operations at B = {self.B} need {steps} time steps"
                raise ValueError(f"{need}; strength {self.strength} of num_steps {self.num_steps} gives {T}")

    @property
    def T(self) -> int:
        """The level that the inversion reaches and dragging starts from."""
        return level(self.strength, self.num_steps)

    @property
    def schedule(self) -> list[int]:
        """Drag operations at each dragged time step, T first: [10] * 7, or [K] without alternation."""
        most = self.B if self.aldd else max(1, self.K)
        return [min(most, self.K - k) for k in range(0, self.K, most)]

    @classmethod
    def released(cls, **changes: Any) -> Self:
        """What the authors' released benchmark runs: `DragConfig()`."""
        return cls(**changes)

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """What the paper prints, as closely as it can be read (Algorithm 1, Eq. 3-9, Sec. 5.1; Adam for Eq. 9)."""
        loss = dict(lam=0.2, feature_block=-1, grid="image", drag_scale="sum", capped_step=False, skip_distance=0.0)
        tracking = dict(tracking="updated", track_at_start=False, tracking_reference="initial")
        others = dict(inversion="source", stop_distance=None, stop_unmoved=None, adam="once")
        return cls(**{**loss, **tracking, **others, **changes})

    @classmethod
    def dragdiffusion(cls, **changes: Any) -> Self:
        """The DragDiffusion baseline as released (Shi et al., 2023); `K=210` is the paper's DragDiffusion*."""
        numbers = dict(strength=0.7, K=80, J=1, r1=1, r2=3, beta=1.0, lam=0.1, lr=0.01)
        loss = dict(aldd=False, ip=False, drag_scale="dragdiffusion", capped_step=False, masactrl_from="first")
        tracking = dict(tracking="updated", track_at_start=False, stop_unmoved=None, adam="once")
        return cls(**{**numbers, **loss, **tracking, **changes})

    @classmethod
    def fast(cls, **changes: Any) -> Self:
        """Fewer levels, one larger step per drag operation: less than half of the default's U-Net passes at no larger
        error to the truth, on 24 edits of the embedded model. Not tried on Stable Diffusion. See `LoraConfig.fast()`.
        """
        return cls(**{"num_steps": 15, "B": 30, "J": 1, "lr": 0.04, **changes})

    @classmethod
    def storybook(cls, **changes: Any) -> Self:
        """For the embedded model: `fast()` with more levels and operations, half the step, a wider patch, the hard
        mask, fresh noise and no early stop. Chosen on storybook edits (results/presets.json, preset_steps.json). Not
        tried on Stable Diffusion.
        """
        own = dict(num_steps=25, K=105, B=35, lr=0.02, r1=8, r2=16, mask_mode="replace", eta=1.0)
        return cls.fast(**{**own, "stop_distance": None, "stop_unmoved": None, "skip_distance": 0.0, **changes})

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A preset by its name: released, paper, dragdiffusion, fast or storybook.

        Raises:
            ValueError: another name, or a change out of its range.
        """
        return getattr(cls, _known(name))(**changes)


@dataclass(frozen=True)
class LoraConfig:
    """Settings of the single-image LoRA (Algorithm 1, line 1; released defaults)."""

    rank: int = 16
    """Rank of every update W + B A (Sec. 5.1)."""
    steps: int = 70
    """Optimiser steps. DragDiffusion: 80."""
    lr: float | None = None
    """AdamW's learning rate, constant; weight decay 1e-2. None: the model's own, `DiffusionModel.lora_lr`: the released
    5e-4, unless its folder asks for another one."""
    batch_size: int = 4
    """Noise samples per step, all of the one image."""
    layers: Literal["attention", "all"] = "attention"
    """What has an update: the projections of every "attention" (released), or "all" linear layers and convolutions,
    since a narrow U-Net has little in its attentions."""
    shift: int = 0
    """Every second noise sample is of the picture moved by up to so many latent cells, its edges repeated, so that what
    is learnt does not depend on its place: a drag will move it. Released: 0."""

    RANGES: ClassVar[Ranges] = {
        "rank": (1, 1024),
        "steps": (0, 100_000),
        "lr": (0.0, 1.0),
        "batch_size": (1, 1024),
        "shift": (0, 64),
    }

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def fast(cls, **changes: Any) -> Self:
        """One noise sample per step: a quarter of the default's work, measured beside `DragConfig.fast()`."""
        return cls(**{"batch_size": 1, **changes})

    @classmethod
    def preset(cls, name: str) -> Self:
        """What goes with `DragConfig.preset(name)`: `fast()`, 80 steps with "dragdiffusion", all layers and a moved
        picture with "storybook" (results/preset_lora.json).
        """
        own = {"fast": cls.fast(), "dragdiffusion": cls(steps=80), "storybook": cls(layers="all", shift=4)}
        return own.get(_known(name), cls())
