"""Eq. 1-3: noising, deterministic denoising and its inversion.

Notation (GoodDrag, Sec. 3.1; the paper's alpha_t is the *cumulative* product, `alphas_cumprod` in diffusers):

    z_t      latent at level t, (B, C, h, w)
    alpha_t  signal power at level t, in (0, 1], decreasing with t
    eps      the U-Net's noise prediction, the shape of z_t

Levels are counted as in the paper, t = 0 (clean) ... T_max; `Schedule.timestep(t)` is the training time step that the
U-Net is called with, 1, 21, ..., 981 for T_max = 50.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CAUSE = (
    "likely half precision overflowed (try dtype=torch.float32), weights are damaged, a LoRA is of another model, "
    "or the step (lr) is too large"
)


@dataclass(frozen=True)
class Schedule:
    """The T_max levels of a DDIM run on a model trained with `alphas_cumprod`.

    Attributes:
        alphas_cumprod: (T_train,), decreasing; float32 whatever the latents are, as in the released code.
        num_steps: T_max, the number of levels above the clean one, 1 to T_train.
        offset: the first training time step of the grid ("leading" spacing with steps_offset = 1 in Stable Diffusion).
    """

    alphas_cumprod: Tensor
    num_steps: int = 50
    offset: int = 1

    def timestep(self, t: int) -> int:
        """The training time step of level t, 1 <= t <= T_max; 0 for the clean level."""
        trained = len(self.alphas_cumprod)
        return min((t - 1) * (trained // self.num_steps) + self.offset, trained - 1) if t > 0 else 0

    def alpha(self, t: int) -> Tensor:
        """alpha_t as a 0-d float32 tensor; alpha_0 is that of training step 0 (`set_alpha_to_one=False`)."""
        return self.alphas_cumprod[self.timestep(t)]


def root(x: Tensor) -> Tensor:
    """The square root of a 0-d tensor, as torch takes it: in float32 its last bit depends on the CPU."""
    return x**0.5


def add_noise(z_0: Tensor, noise: Tensor, alpha_t: Tensor) -> Tensor:
    """Eq. 1: the forward process, z_t = sqrt(alpha_t) z_0 + sqrt(1 - alpha_t) noise."""
    return root(alpha_t) * z_0 + root(1 - alpha_t) * noise


def predict_z0(z_t: Tensor, eps: Tensor, alpha_t: Tensor) -> Tensor:
    """The clean latent that z_t and eps point to (Eq. 1 solved for z_0; the fraction in Eq. 2)."""
    return (z_t - root(1 - alpha_t) * eps) / root(alpha_t)


def step(
    z: Tensor, eps: Tensor, alpha_from: Tensor, alpha_to: Tensor, eta: float = 0.0, noise: Tensor | float = 0.0
) -> Tensor:
    """Move a latent from one noise level to another along eps; the alphas are 0-d tensors.

    Towards less noise this is Eq. 2 (denoising, f_t); towards more noise it is Eq. 3 (inversion), which is the same
    formula with the two levels exchanged. `eta`: how much of eps is replaced by fresh `noise` while denoising, from 0
    (Eq. 2) to 1 (as DDPM does; Song et al., ICLR 2021, Eq. 12 and 16).
    """
    sigma = eta * root((1 - alpha_to) / (1 - alpha_from) * (1 - alpha_from / alpha_to)) if eta else 0.0
    z_to = root(alpha_to) * predict_z0(z, eps, alpha_from) + root(1 - alpha_to - sigma**2) * eps
    return z_to + sigma * noise if eta else z_to


def invert(
    eps: Callable[[Tensor, int], Tensor], z_0: Tensor, schedule: Schedule, T: int, at: str = "destination"
) -> Iterator[Tensor]:
    """Eq. 3: yield z_1, ..., z_T from z_0, one U-Net call each: eps(z_t, training time step).

    `at`: which time step the U-Net is told when going from t-1 to t: "destination" (t, the released code) or "source"
    (t-1, as Eq. 3 is printed). FloatingPointError: a latent is not finite; says at which t.
    """
    z = z_0
    for t in range(1, T + 1):
        seen = t if at == "destination" else t - 1
        z = step(z, eps(z, schedule.timestep(seen)), schedule.alpha(t - 1), schedule.alpha(t))
        check_finite("inversion", f"t = {t} (time step {schedule.timestep(seen)})", z_t=z)
        yield z


@torch.no_grad()
def denoise(eps: Callable[[Tensor, int], Tensor], z_T: Tensor, schedule: Schedule, T: int) -> Iterator[Tensor]:
    """Eq. 2, T times: yield z_{T-1}, ..., z_0."""
    z = z_T
    for t in range(T, 0, -1):
        z = step(z, eps(z, schedule.timestep(t)), schedule.alpha(t), schedule.alpha(t - 1))
        yield z


def check_finite(where: str, at: str, **tensors: Tensor) -> None:
    """Raise a FloatingPointError if a number is not finite: "inversion: nan in z_t at t = 3; likely ..."."""
    for name, x in tensors.items():
        if not torch.isfinite(x).all():
            kind = "nan" if x.isnan().any() else "inf"
            raise FloatingPointError(f"{where}: {kind} in {name} at {at}; {CAUSE}")
