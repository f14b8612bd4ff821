"""Every number and every choice of an edit, with the paper's symbols.

Where the paper's text and its authors' released code differ, the choice is a field of its own, and the field's
comment says which is which. Any mixture runs. `DragConfig()` is `released()`: what the authors' benchmark code sets. An
edit that is given no settings runs with those that suit its model (`DiffusionModel.preset`).
"""

import math
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self, get_args, get_origin

PRESETS = ("released", "paper", "dragdiffusion", "fast", "storybook")  # methods of DragConfig


def level(strength: float, num_steps: int) -> int:
    """The level T that a strength in (0, 1] reaches: round(0.75 * 50) = 38 in the paper (Sec. 5.1); 1 at the least."""
    return max(1, round(strength * num_steps))


def ranges(config: Any) -> dict[str, tuple[float, float]]:
    """Field of a config, or of its class -> smallest and largest value, those of Annotated[int, smallest, largest]."""
    return {f.name: f.type.__metadata__ for f in fields(config) if get_origin(f.type) is Annotated}


def _check(config: Any) -> None:
    """Check every field against its range or its choices (Literal); floats may be whole."""
    limits = ranges(config)
    for f in fields(config):
        value = getattr(config, f.name)
        if f.name in limits:
            (low, high), kind = limits[f.name], get_args(f.type)[0]
            fits = isinstance(value, kind | int) and not isinstance(value, bool)
            fits = fits and (value is None or low <= value <= high)
            expected = f"{'a number' if isinstance(0.5, kind) else 'a whole number'} from {low} to {high}"
        else:
            choices = get_args(f.type) or (True, False)
            fits = value in choices and isinstance(value, type(choices[0]))
            expected = f"one of {', '.join(map(repr, choices))}"
        if not fits:
            raise ValueError(f"{f.name}: {value!r}; expected {expected}")


@dataclass(frozen=True)
class DragConfig:
    """Settings of one edit. Distances (r1, r2, beta, stop and skip distance) are pixels of the supervision grid."""

    # The schedule
    num_steps: Annotated[int, 1, 1000] = 50
    """T_max, DDIM steps from pure noise to the image (Sec. 5.1)."""
    strength: Annotated[float, 0.01, 1.0] = 0.75
    """Inversion strength: T = round(strength * num_steps) = 38 (Sec. 5.1). DragDiffusion: 0.7."""
    K: Annotated[int, 0, 100_000] = 70
    """Drag operations in all (Sec. 5.1)."""
    B: Annotated[int, 1, 100_000] = 10
    """Drag operations per denoising step when they alternate: K / B = 7 time steps are dragged (Sec. 5.1)."""
    J: Annotated[int, 1, 1000] = 3
    """Motion supervision updates per drag operation, between two trackings (Eq. 9)."""

    # Motion supervision and tracking
    r1: Annotated[int, 1, 64] = 4
    """Radius of the supervised patch (Eq. 8)."""
    r2: Annotated[int, 1, 256] = 12
    """Radius of the tracking window (Eq. 6)."""
    beta: Annotated[float, 0.0, 256.0] = 4.0
    """Step size of the handle's next position (Eq. 8)."""
    lam: Annotated[float, 0.0, 1e6] = 0.1
    """lambda, weight of the mask term (Eq. 8). The text prints 0.2; the released benchmark runs 0.1 (its UI 0.2)."""
    lr: Annotated[float, 0.0, 100.0] = 0.02
    """The paper's eta (not the field `eta` below): Adam's learning rate on the latent (Sec. 5.1)."""

    # The paper's two ideas, and the switch for each
    aldd: bool = True
    """Alternate drag and denoising (Sec. 3.3). False: all K drag operations at t = T, then denoise."""
    ip: bool = True
    """Information-preserving supervision: towards the original handle patch (Eq. 8), not the current one (Eq. 7)."""

    # Latent-MasaCtrl
    masactrl: bool = True
    """Mutual self-attention with the original while denoising, once dragging has ended (Sec. 5.1)."""
    masactrl_start: Annotated[int, 0, 16] = 10
    """First transformer block of Stable Diffusion's 16, from 0 ("from the 10th layer"); of fewer, the same share."""
    masactrl_from: Literal["second", "first"] = "second"
    """It is on from the "second" denoising step after dragging (released) or the "first" (DragDiffusion's released
    code). The text does not say."""

    # Early stop (released code only; the text has none)
    stop_distance: Annotated[float | None, 0.0, 1e4] = 2.0
    """Dragging ends when every handle is closer than this to its target. None: never. Released: 2."""
    stop_unmoved: Annotated[int | None, 1, 100_000] = 5
    """Dragging ends after so many trackings in a row without a move. None: never. Released: 5 (in its UI 10)."""

    # Where the text and the released code differ
    feature_block: Annotated[int, -4, -1] = -2
    """Up block of the U-Net that gives the features: -2, the last but one (released), or -1, "the last" (Sec. 5.1)."""
    grid: Literal["latent4", "image"] = "latent4"
    """Supervision grid: "latent4", 4 x the latent one (released; half of SD's image), or the "image"'s (Sec. 3.2)."""
    drag_scale: Literal["released", "sum", "dragdiffusion"] = "released"
    """Size of the drag term: "released" (2 r1)^2 * mean, "sum" the L1 norm as printed (Eq. 8; 810 times larger for 640
    channels), "dragdiffusion" (2 r1 + 1)^2 * mean. It decides how much lambda weighs."""
    capped_step: bool = True
    """The next position is min(beta, remaining distance) along d (released), or always beta (Eq. 8)."""
    skip_distance: Annotated[float, 0.0, 1e4] = 2.0
    """Pairs closer than this to their target are not supervised (released: 2; the text: never, 0)."""
    tracking: Literal["stale", "updated"] = "stale"
    """Features that tracking sees: "stale", before the last update (released), or "updated", of z^{k+1} (line 11)."""
    track_at_start: bool = True
    """One more tracking on the first forward pass of every time step; it does not count as (un)moved (released)."""
    tracking_reference: Literal["current", "initial"] = "current"
    """A handle's original feature is that of z_t^0 at the "current" t (released) or of z_T^0, the "initial" (Eq. 6)."""
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
    eta: Annotated[float, 0.0, 1.0] = 0.0
    """Fresh noise while denoising below the dragged levels, but for the last step, from 0 (Eq. 2) to 1 (as DDPM): the
    model may draw anew what dragging has torn (cf. SDE-Drag, ICLR 2024). The noise is the same in every run."""

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
        error to the truth, on 24 edits of the embedded model. Not tried on Stable Diffusion.
        """
        return cls(**{"num_steps": 15, "B": 30, "J": 1, "lr": 0.04, **changes})

    @classmethod
    def storybook(cls, **changes: Any) -> Self:
        """For the embedded model, chosen on storybook edits (results/presets.json, preset_steps.json). Not tried on
        Stable Diffusion.
        """
        own = dict(num_steps=25, K=105, B=35, lr=0.02, r1=8, r2=16, mask_mode="replace", eta=1.0)
        return cls.fast(**{**own, "stop_distance": None, "stop_unmoved": None, "skip_distance": 0.0, **changes})

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A preset by its name, one of PRESETS; ValueError for another one, or for a change out of its range."""
        if name not in PRESETS:
            raise ValueError(f"preset: {name!r}; expected one of {', '.join(PRESETS)}")
        return getattr(cls, name)(**changes)


@dataclass(frozen=True)
class LoraConfig:
    """Settings of the single-image LoRA (Algorithm 1, line 1; released defaults)."""

    rank: Annotated[int, 1, 1024] = 16
    """Rank of every update W + B A (Sec. 5.1)."""
    steps: Annotated[int, 0, 100_000] = 70
    """Optimiser steps. DragDiffusion: 80."""
    lr: Annotated[float | None, 0.0, 1.0] = None
    """AdamW's constant learning rate. None: the model's own (`lora_lr`), the released 5e-4 unless it has one."""
    batch_size: Annotated[int, 1, 1024] = 4
    """Noise samples per step, all of the one image."""
    layers: Literal["attention", "all"] = "attention"
    """What has an update: the projections of every "attention" (released), or "all" linear layers and convolutions,
    since a narrow U-Net has little in its attentions."""
    shift: Annotated[int, 0, 64] = 0
    """Every second noise sample is of the picture moved by up to so many latent cells (released: 0), as a drag does."""

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def preset(cls, name: str) -> Self:
        """What goes with `DragConfig.preset(name)`: a quarter of the work with "fast"; see results/preset_lora.json."""
        DragConfig.preset(name)  # or the error
        own = {"fast": cls(batch_size=1), "dragdiffusion": cls(steps=80), "storybook": cls(layers="all", shift=4)}
        return own.get(name, cls())
