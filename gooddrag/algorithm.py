"""Algorithm 1: dragging, alternating with denoising. Latents in, latents out.

The loop has one observer: `callback(state)` is called after every update, tracking and denoising step. Progress bars,
previews, recorders and stop buttons are callbacks; one that returns True ends the dragging, and what has been dragged
so far is denoised.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from gooddrag import motion
from gooddrag.config import DragConfig
from gooddrag.ddim import Schedule, predict_z0, step
from gooddrag.finite import check_finite
from gooddrag.masactrl import borrowed_attention
from gooddrag.model import DiffusionModel
from gooddrag.passes import Backward, Forward, Passes, Rows, nobody, together
from gooddrag.phases import phase
from gooddrag.source import Reference, SourcePath
from gooddrag.state import Callback, State, Task


class _Drag:
    """The state of Algorithm 1's loop: the latent, the handles, the optimiser and the counters."""

    def __init__(self, model: DiffusionModel, z_T: Tensor, task: Task, config: DragConfig, schedule: Schedule,
                 callback: Callback | None):  # fmt: skip
        self.model, self.task, self.config, self.schedule, self.callback = model, task, config, schedule, callback
        self.t = config.T
        self.z = z_T.detach().clone()
        self.p = task.p_0.clone()
        self.f_0: Tensor | None = None
        self.optimiser: torch.optim.Adam | None = None
        self.eps: Tensor | None = None  # of self.z as it is, where the last forward pass saw just that
        self.k = self.updates = self.unmoved = 0
        self.stopped = False

    def observe(self, event: str, **seen) -> None:
        if self.callback is None:
            return
        timestep = self.schedule.timestep(self.t + 1 if event == "denoise" else self.t)
        state = State(event, self.t, timestep, self.k, self.updates, self.z.detach(), self.p, **seen)
        self.stopped = bool(self.callback(state)) or self.stopped

    def check(self, update: int, **tensors: Tensor) -> None:
        """Before anything that is not finite moves the latent or a handle."""
        at = f"t = {self.t} (time step {self.schedule.timestep(self.t)}), drag operation {self.k}, update {update}"
        check_finite("drag", at, **{name: x.detach() for name, x in tensors.items()})

    def track(self, F: Tensor, counted: bool = True) -> None:
        """Eq. 6, and the count of trackings in a row in which no handle moved."""
        before = self.p
        self.p, maps = motion.track(F.detach(), self.f_0, self.task.size, self.p, self.config.r2)
        if counted:
            self.k += 1
            self.unmoved = self.unmoved + 1 if torch.equal(before, self.p) else 0
        self.observe("track", maps=maps, counted=counted)

    @property
    def arrived(self) -> bool:
        """The early stops of the released code."""
        near, still = self.config.stop_distance, self.config.stop_unmoved
        at_targets = near is not None and bool(((self.task.q - self.p).norm(dim=1) < near).all())
        return at_targets or (still is not None and self.unmoved >= still)

    def operations(self, n: int, ref: Reference) -> Passes:
        """n drag operations g of J updates each (Eq. 9) at the current level t.

        A generator that asks for U-Net passes; `together` makes them, for one edit or for several.
        """
        c, schedule, size = self.config, self.schedule, self.task.size
        alpha, alpha_prev = schedule.alpha(self.t), schedule.alpha(self.t - 1)
        if self.f_0 is None or c.tracking_reference == "current":
            self.f_0 = motion.features_at(ref.F, size, self.task.p_0)
        z = self.z.detach().clone().requires_grad_()
        if self.optimiser is None or c.adam == "per_step":
            self.optimiser = torch.optim.Adam([z], lr=c.lr)
        else:  # the moments go on, the latent is the denoised one
            old = self.optimiser.param_groups[0]["params"][0]
            old.data = z.data
            z = old

        for u in range(n * c.J):
            eps, F = yield Forward(z)
            self.check(u, features=F, eps=eps)
            if u == 0 and c.track_at_start:
                self.track(F, counted=False)
            if u > 0 and u % c.J == 0 and c.tracking == "updated":
                self.track(F)
            if self.stopped or self.arrived:
                self.stopped, self.eps = True, eps.detach()
                break
            drag_loss = motion.drag_loss(F, ref.F, size, self.p, self.task.p_0, self.task.q, c.r1, c.beta, c.ip,
                                         c.capped_step, c.skip_distance, c.drag_scale)  # fmt: skip
            z_prev = step(z, eps, alpha, alpha_prev)
            loss = drag_loss + c.lam * motion.mask_loss(z_prev, ref.z_prev, self.task.frozen)
            self.check(u, loss=loss)
            grad = yield Backward(loss, z)
            self.check(u, gradient=grad)
            z_before = z.detach().clone() if self.callback else None
            z.grad = grad
            self.optimiser.step()
            self.z = z.detach()
            self.updates += 1
            self.observe("update", z_before=z_before, grad=grad, drag_loss=float(drag_loss.detach()),
                         loss=float(loss.detach()),
                         z0_hat=predict_z0(z_before, eps.detach(), alpha) if self.callback else None)  # fmt: skip
            if (u + 1) % c.J == 0 and c.tracking == "stale":
                self.track(F)
        else:
            if c.tracking == "updated" and n:  # line 11 once more, on the latent that line 13 denoises
                eps, F = yield Forward(self.z)
                self.check(n * c.J, features=F, eps=eps)
                self.eps = eps.detach()  # denoising starts from the same latent
                self.track(F)

    def denoise(self) -> None:
        """Eq. 2 on the edited latent."""
        self.z = step(self.z, self.eps, self.schedule.alpha(self.t), self.schedule.alpha(self.t - 1))
        check_finite("denoising", f"t = {self.t} (time step {self.schedule.timestep(self.t)})", z_t=self.z)
        self.t -= 1
        self.eps = None


def drag_latent(model: DiffusionModel, trajectory: list[Tensor], task: Task, config: DragConfig,
                callback: Callback | None = None,
                source: SourcePath | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Algorithm 1, lines 3-16: from the inverted latent to the edited clean one.

    Args:
        trajectory: z_0, z_1, ..., z_T of the inversion, each (1, C, h, w).
        task: handles, targets and mask on the grid.
        source: the unedited latent's passes from an earlier drag that started from the same z_T.

    Returns:
        The edited z_0 (1, C, h, w), and the final handles (l, 2), (y, x) on the grid.

    Raises:
        ValueError: not T + 1 latents. FloatingPointError: a loss, a gradient, features or a latent are not finite; says
            at which t and k.
    """
    (edited,) = drag_latents(model, trajectory, [task], config, [callback], source)
    return edited


def drag_latents(model: DiffusionModel, trajectory: list[Tensor], tasks: Sequence[Task], config: DragConfig,
                 callbacks: Sequence[Callback | None], source: SourcePath | None = None,
                 rows: Rows = nobody) -> list[tuple[Tensor, Tensor]]:  # fmt: skip
    """`drag_latent` of B edits, whose passes share batches: trajectory and source hold (B, C, h, w).

    An edit that stops early leaves the batches of the others and denoises with Latent-MasaCtrl beside them.

    Raises:
        ValueError: not T + 1 latents, or tasks and callbacks are not B. FloatingPointError: as `drag_latent`.
    """
    if len(trajectory) != config.T + 1:
        raise ValueError(f"trajectory: {len(trajectory)} latents; expected T + 1 = {config.T + 1}")
    schedule, z_T = model.schedule(config.num_steps), trajectory[-1]
    if source is None:
        source = SourcePath(model, schedule, z_T, config.T, config.feature_block, config.masactrl_start)
    runs = []
    for z, task, callback in zip(z_T.split(1), tasks, callbacks, strict=True):
        task = replace(task, p_0=task.p_0.to(z.device), q=task.q.to(z.device), frozen=task.frozen.to(z))
        runs.append(_Drag(model, z, task, config, schedule, callback))

    everyone, first = range(len(runs)), config.masactrl and config.masactrl_from == "first"
    portions = config.schedule
    for level, t in enumerate(range(config.T, 0, -1), start=1):
        n, last = portions[level - 1] if level <= len(portions) else 0, level == len(portions)
        dragging = {i: run for i, run in enumerate(runs) if n and not run.stopped}
        resting = {i: run for i, run in enumerate(runs) if i not in dragging}
        if dragging:
            rows(everyone)
            ref = source.reference(t)
            if config.reference == "inverted":
                ref = replace(ref, z_prev=trajectory[t - 1])
            with phase("drag"):
                passes = {i: run.operations(n, ref.row(i)) for i, run in dragging.items()}
                together(passes, model, schedule.timestep(t), config.feature_block, rows)
            if ended := {i: run for i, run in dragging.items() if first and (last or run.stopped)}:
                resting |= ended
                for run in ended.values():
                    run.eps = None  # of a pass that did not share
            if plain := {i: run for i, run in dragging.items() if i not in ended}:
                _denoise(plain, ref.z_prev, rows)
        if resting:
            rows(everyone)
            states = [s[list(resting)] for s in source.shared(t)] if config.masactrl else None
            with borrowed_attention(model.unet, states, config.masactrl_start) if states else nullcontext():
                _denoise(resting, source.latents[t - 1] if config.masactrl else None, rows)
    return [(run.z, run.p) for run in runs]


def _denoise(runs: dict[int, _Drag], source: Tensor | None, rows: Rows) -> None:
    """One level down, by eps from a pass that has been made if there is one."""
    with torch.no_grad(), phase("denoise"):
        if missing := [i for i, run in runs.items() if run.eps is None]:
            rows(missing)
            asking = [runs[i] for i in missing]
            eps = asking[0].model.eps(torch.cat([run.z for run in asking]), asking[0].schedule.timestep(asking[0].t))
            for run, e in zip(asking, eps.split(1), strict=True):
                run.eps = e
        for run in runs.values():
            run.denoise()
    for i, run in runs.items():
        run.observe("denoise", source=None if source is None else source[i : i + 1])
