"""The unedited latent's own denoising path, z_T^0 to z_0^0: an edit compares itself with it and borrows from it.

It depends on the image and not on the points, so every pass is made once and kept: for the next drag of the same image,
or for another method on it.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function

from gooddrag.config import DragConfig
from gooddrag.ddim import check_finite, step
from gooddrag.masactrl import recorded_states
from gooddrag.model import DiffusionModel


@dataclass(frozen=True)
class Reference:
    """The unedited latent z_t^0 (1, C, h, w), its features F (1, C', h', w'), and z_{t-1}^0, one denoising step on."""

    z: Tensor
    F: Tensor
    z_prev: Tensor


class SourcePath:
    """The passes of the unedited latent, each made when it is first asked for.

    Args:
        z_T: (1, C, h, w), where the inversion ended.
        config: num_steps and strength say at which level; feature_block and masactrl_start, what is kept of a pass.
        store: device on which features and attention states are kept between passes; None: where they are made.

    Attributes:
        latents: level -> z_t^0, as far down as it has been asked for.
    """

    def __init__(self, model: DiffusionModel, z_T: Tensor, config: DragConfig, store: torch.device | None = None):
        self.model, self.schedule, self.store = model, model.schedule(config.num_steps), store
        self.feature_block, self.masactrl_start = config.feature_block, config.masactrl_start
        self.latents = {config.T: z_T}
        self._features: dict[int, Tensor] = {}
        self._states: dict[int, list[Tensor]] = {}

    def reference(self, t: int) -> Reference:
        """z_t^0, its features and z_{t-1}^0."""
        if t not in self._features:
            self._pass(t, sharing=False)
        z = self.latents[t]
        return Reference(z, self._features[t].to(z.device), self.latents[t - 1])

    def shared(self, t: int) -> list[Tensor]:
        """What the late self-attentions see of z_t^0, (1, N, C) each, in order of execution."""
        if t not in self._states:
            self._pass(t, sharing=True)
        return [state.to(self.latents[t].device) for state in self._states[t]]

    def _pass(self, t: int, *, sharing: bool) -> None:
        """One forward pass at level t, and before it those above that nobody has asked for yet."""
        if t not in self.latents:
            self._pass(t + 1, sharing=sharing)
        z, schedule, timestep = self.latents[t], self.schedule, self.schedule.timestep(t)
        recorder = recorded_states(self.model.unet, self.masactrl_start) if sharing else nullcontext()
        # The same forward pass as an update's, gradient included: the two must be exactly equal while nothing has been
        # dragged, since the mask term's gradient is the sign of their difference.
        with record_function("reference"), recorder as states, torch.enable_grad():
            eps, F = self.model.eps_and_features(z.detach().requires_grad_(), timestep, self.feature_block)
        eps, F = eps.detach(), F.detach()
        check_finite("reference", f"t = {t} (time step {timestep})", features=F, eps=eps)
        # A level that is passed again, for the other half of what it knows, must not move the path.
        self.latents.setdefault(t - 1, step(z, eps, schedule.alpha(t), schedule.alpha(t - 1)))
        if sharing:
            self._states[t] = [state.to(self.store) for state in states]
        else:
            self._features[t] = F.to(self.store)
