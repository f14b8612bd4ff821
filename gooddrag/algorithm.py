"""Algorithm 1: drag operations, alternating with denoising (Sec. 3.3). Latents in, latents out.

Notation, with the lines of Algorithm 1 in the comments below:

    z, p     the edited latent z_t^k, (1, C, h, w), and its handles p^k, (l, 2) float32, (y, x) on the grid
    ref      the unedited latent z_t^0 at the same level: its features F_0, and z_{t-1}^0, one denoising step on
    eps, F   noise prediction and features of z, from one forward pass of the U-Net

`callback(state)` is the one observer. It is called after every update, tracking and denoising step. Where it returns
True the dragging ends, and what has been dragged so far is denoised.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.profiler import record_function

from gooddrag import motion
from gooddrag.config import DragConfig
from gooddrag.ddim import check_finite, predict_z0, step
from gooddrag.masactrl import borrowed_attention
from gooddrag.model import DiffusionModel
from gooddrag.motion import Task
from gooddrag.source import Reference, SourcePath


@dataclass(frozen=True)
class State:
    """What the observer sees. Tensors are the loop's own: copy what you keep.

    Attributes:
        event: "update" (a gradient step was taken), "track" (handles were located) or "denoise" (t went to t - 1).
        t: level, T ... 0; after "denoise" the one that was reached. timestep: the time step that the U-Net was given.
        k, updates: drag operations finished and gradient steps taken, over the whole run.
        z, handles: latent and handles after the event.
        unedited: the unedited latent at the same level ("denoise"; None where it was not denoised that far).
        z_before, grad, drag_loss, loss, z0_hat: of an "update"; z0_hat is the clean latent that eps points to.
        counted: False for the extra tracking at the start of a level, which belongs to no drag operation.
        maps: one distance map per handle ("track").
    """

    event: str
    t: int
    timestep: int
    k: int
    updates: int
    z: Tensor
    handles: Tensor
    unedited: Tensor | None = None
    z_before: Tensor | None = None
    grad: Tensor | None = None
    drag_loss: float | None = None
    loss: float | None = None
    z0_hat: Tensor | None = None
    counted: bool = True
    maps: list[Tensor] = field(default_factory=list)


Callback = Callable[[State], bool | None]


class _Run:
    """The latent, the handles and the counters of one edit."""

    def __init__(self, model: DiffusionModel, z_T: Tensor, task: Task, config: DragConfig, callback: Callback | None):
        self.model, self.task, self.config, self.callback = model, task, config, callback
        self.schedule = model.schedule(config.num_steps)
        self.t, self.z, self.p = config.T, z_T.detach().clone(), self.task.p_0.clone()  # line 3
        self.k = self.updates = self.unmoved = 0
        self.stopped, self.f_0 = False, None
        self.variable = self.z.clone().requires_grad_()  # z while a level is dragged
        self.adam = torch.optim.Adam([self.variable], lr=config.lr)
        self.generator = torch.Generator().manual_seed(0)

    def observe(self, event: str, **seen) -> None:
        if self.callback is not None:
            timestep = self.schedule.timestep(self.t + (event == "denoise"))
            state = State(event, self.t, timestep, self.k, self.updates, self.z.detach(), self.p, **seen)
            self.stopped |= bool(self.callback(state))

    def check(self, where: str, **tensors: Tensor) -> None:
        level = f"t = {self.t} (time step {self.schedule.timestep(self.t)})"
        check_finite(where, f"{level}, drag operation {self.k}, update {self.updates}", **tensors)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Line 8: eps and the features F of z at level t."""
        eps, F = self.model.eps_and_features(z, self.schedule.timestep(self.t), self.config.feature_block)
        self.check("drag", features=F, eps=eps)
        return eps, F

    def track(self, F: Tensor, *, counted: bool = True) -> None:
        """Line 11, Eq. 6."""
        before = self.p
        self.p, maps = motion.track(F.detach(), self.f_0, self.task.size, self.p, self.config.r2)
        if counted:
            self.k += 1
            self.unmoved = self.unmoved + 1 if torch.equal(before, self.p) else 0
        self.observe("track", maps=maps, counted=counted)

    def arrived(self) -> bool:
        """The early stops of the released code."""
        near, still = self.config.stop_distance, self.config.stop_unmoved
        at_targets = near is not None and bool(((self.task.q - self.p).norm(dim=1) < near).all())
        return at_targets or (still is not None and self.unmoved >= still)

    def drag(self, n: int, ref: Reference) -> Tensor | None:
        """Lines 6-11 for n drag operations at level t. Returns eps of the last latent; None if no pass has seen it."""
        c, alpha, alpha_prev = self.config, self.schedule.alpha(self.t), self.schedule.alpha(self.t - 1)
        if self.f_0 is None or c.tracking_reference == "current":
            self.f_0 = motion.features_at(ref.F, self.task.size, self.task.p_0)
        if c.adam == "per_step":
            self.adam.state.clear()  # its moments start anew
        z = self.variable
        z.data = self.z.clone()  # line 6
        for i in range(n):
            for j in range(c.J):  # line 7
                eps, F = self.forward(z)  # line 8
                if j == 0 and i == 0 and c.track_at_start:
                    self.track(F, counted=False)
                if j == 0 and i > 0 and c.tracking == "updated":
                    self.track(F)  # line 11 of the operation before
                if self.stopped or self.arrived():
                    self.stopped = True
                    return eps.detach()
                drag_loss = motion.drag_loss(F, ref.F, self.p, self.task, c)  # Eq. 8, or Eq. 4 and 7
                mask_loss = motion.mask_loss(step(z, eps, alpha, alpha_prev), ref.z_prev, self.task.frozen)
                loss = drag_loss + c.lam * mask_loss
                z_before, z.grad = z.detach().clone(), motion.gradient(loss, z, self.model.dtype)
                self.check("drag", loss=loss, gradient=z.grad)
                self.adam.step()  # line 9, Eq. 9
                if c.mask_mode == "replace":
                    z.data = torch.where(self.task.frozen > 0, ref.z, z.data)
                self.z, self.updates = z.detach(), self.updates + 1  # line 10
                losses = {"drag_loss": drag_loss.item(), "loss": loss.item()}
                z0_hat = predict_z0(z_before, eps.detach(), alpha)
                self.observe("update", z_before=z_before, grad=z.grad, z0_hat=z0_hat, **losses)
            if c.tracking == "stale":
                self.track(F)  # line 11, on the features before the last update
        if c.tracking == "stale":
            return None
        eps, F = self.forward(self.z)  # line 11 once more, on the latent that line 13 denoises
        self.track(F)
        return eps.detach()

    @torch.no_grad()
    def denoise(self, unedited: Tensor | None, eps: Tensor | None = None, eta: float = 0.0) -> None:
        """Lines 13 and 15, Eq. 2; with fresh noise where eta > 0, but for the last step."""
        if eps is None:
            eps = self.model.eps(self.z, self.schedule.timestep(self.t))
        eta = eta if self.t > 1 else 0.0
        noise = torch.randn(self.z.shape, generator=self.generator).to(self.z) if eta else 0.0
        self.z = step(self.z, eps, self.schedule.alpha(self.t), self.schedule.alpha(self.t - 1), eta, noise)
        if self.config.mask_mode == "replace":
            self.z = torch.where(self.task.frozen > 0, unedited, self.z)
        self.check("denoising", z_t=self.z)
        self.t -= 1
        self.observe("denoise", unedited=unedited)


def drag_latent(
    model: DiffusionModel,
    trajectory: list[Tensor],
    task: Task,
    config: DragConfig,
    callback: Callback | None = None,
    source: SourcePath | None = None,
) -> tuple[Tensor, Tensor]:
    """Algorithm 1, lines 3-16: from the inverted latent z_T to the edited clean one.

    Args:
        trajectory: z_0, z_1, ..., z_T of the inversion, each (1, C, h, w).
        task: handles, targets and mask on the grid, on the latents' device.
        source: the unedited latent's passes from an earlier drag that started from the same z_T.

    Returns:
        The edited z_0 (1, C, h, w), and the final handles (l, 2), (y, x) on the grid.

    Raises:
        FloatingPointError: a loss, a gradient, features or a latent are not finite; says at which t and k.
    """
    c, T = config, config.T
    run = _Run(model, trajectory[-1], task, c, callback)
    source = source or SourcePath(model, trajectory[-1], c)
    for t in range(T, 0, -1):  # lines 4, 5 and 14: t = T - floor(k / B), then on to 1
        n = c.schedule[T - t] if T - t < len(c.schedule) else 0  # B drag operations, or none
        dragging, eps, unedited = n > 0 and not run.stopped, None, None
        if dragging:
            ref = source.reference(t)
            if c.reference == "inverted":
                ref = replace(ref, z_prev=trajectory[t - 1])
            with record_function("drag"):
                eps, unedited = run.drag(n, ref), ref.z_prev  # lines 6-11
        elif c.mask_mode == "replace" and not c.masactrl:
            unedited = source.reference(t).z_prev
        last = run.stopped or T - t == len(c.schedule) - 1
        borrowing = c.masactrl and (not dragging or (c.masactrl_from == "first" and last))
        if borrowing:  # Sec. 5.1
            states, eps, unedited = source.shared(t), None, source.latents[t - 1]
        with record_function("denoise"):
            with borrowed_attention(model.unet, states, c.masactrl_start) if borrowing else nullcontext():
                run.denoise(unedited, eps, 0.0 if dragging else c.eta)  # lines 12-13 and 15
    return run.z, run.p  # line 16
