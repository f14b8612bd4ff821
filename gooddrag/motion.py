"""Eq. 4, 6, 7, 8: motion supervision and point tracking on U-Net features. Tensors in, tensors out.

Notation:

    F          feature map, (1, C, h, w); never resized as a whole, only in the patches that are needed
    size       (H, W) of the supervision grid, on which points, r1, r2 and beta are measured
    p, q       handles and targets, (l, 2) float32, (y, x) on the grid
    Omega(p, r)  the square of side 2 r + 1 around p; cut off where it would leave the grid
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gooddrag.config import DragConfig

Size = tuple[int, int]
SCALED_LOSS = 2.0**10  # a loss is multiplied up to this and its gradient divided: float16 has nothing below 6e-8


@dataclass(frozen=True)
class Task:
    """What to drag where, on the supervision grid.

    Attributes:
        size: (H, W) of the grid.
        p_0, q: original handles and targets, (l, 2) float32, integer-valued (y, x).
        frozen: 1 - M, (1, 1, h, w) on the latent grid: 1 where nothing may change.
    """

    size: Size
    p_0: Tensor
    q: Tensor
    frozen: Tensor


def resized(F: Tensor, size: Size, rows: Tensor, cols: Tensor) -> Tensor:
    """F resized to `size`, at rows (R,) and columns (S,) only, int64: (1, C, R, S).

    Equal to `interpolate(F, size, mode="bilinear", align_corners=False)[:, :, rows][:, :, :, cols]` without making
    the resized map, which for Stable Diffusion is 160 MiB.
    """

    def taps(index: Tensor, n_in: int, n_out: int) -> tuple[Tensor, Tensor, Tensor]:
        source = ((index.to(F.dtype) + 0.5) * (n_in / n_out) - 0.5).clamp_min(0)
        low = source.floor().long()
        return low, (low + 1).clamp_max(n_in - 1), source - low

    y0, y1, wy = taps(rows, F.shape[2], size[0])
    x0, x1, wx = taps(cols, F.shape[3], size[1])
    top, bottom = F[:, :, y0], F[:, :, y1]  # (1, C, R, w)
    wy = wy[:, None]
    upper = top[..., x0] * (1 - wx) + top[..., x1] * wx  # (1, C, R, S)
    lower = bottom[..., x0] * (1 - wx) + bottom[..., x1] * wx
    return upper * (1 - wy) + lower * wy


def patch(F: Tensor, size: Size, centre: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """F on the grid at centre + (dy, dx), (1, C, R, S); bilinear between grid points where the centre is no integer.

    Args:
        centre: (2,) float32, (y, x).
        dy, dx: consecutive integer offsets, (R,) and (S,) int64; centre + offset inside the grid.
    """
    y0, x0 = centre.floor().long().unbind()
    fy, fx = (centre - centre.floor()).unbind()
    # One more row and column for the fraction; at the border their weight is zero, so any valid index will do.
    rows = torch.cat([dy, dy[-1:] + 1]).add(y0).clamp_max(size[0] - 1)
    cols = torch.cat([dx, dx[-1:] + 1]).add(x0).clamp_max(size[1] - 1)
    G = resized(F, size, rows, cols)  # (1, C, R + 1, S + 1)
    a, b, c, d = (1 - fy) * (1 - fx), fy * (1 - fx), (1 - fy) * fx, fy * fx
    return G[..., :-1, :-1] * a + G[..., 1:, :-1] * b + G[..., :-1, 1:] * c + G[..., 1:, 1:] * d


def offsets(size: Size, r: int, *centres: Tensor) -> tuple[Tensor, Tensor]:
    """The offsets of Omega(., r) that stay inside the grid around every one of the centres (each (2,), (y, x))."""
    spans = []
    for axis, n in enumerate(size):
        low = max([-r] + [-int(c[axis].floor()) for c in centres])
        high = min([r] + [n - 1 - int(c[axis].ceil()) for c in centres])
        spans.append(torch.arange(low, high + 1, device=centres[0].device))
    return spans[0], spans[1]


def next_positions(p: Tensor, q: Tensor, beta: float, *, capped: bool) -> Tensor:
    """p + beta d, (l, 2), with d = (q - p) / |q - p| (Sec. 3.2), and p where p == q; `capped`: never past q."""
    way = q - p
    distance = way.norm(dim=1, keepdim=True)
    length = distance.clamp_max(beta) if capped else torch.full_like(distance, beta)
    return torch.where(distance > 0, p + way / distance.clamp_min(1e-12) * length, p)


def drag_loss(F: Tensor, F_0: Tensor, p: Tensor, task: Task, config: DragConfig) -> Tensor:
    """The first term of Eq. 8 (`config.ip`: towards the original handle patch) or of Eq. 4 and 7 (the current).

    Args:
        F: features of the edited latent z_t^k, (1, C, h, w); the gradient flows into this one only.
        F_0: features of the unedited latent z_t^0 at the same time step, (1, C, h, w).
        p: current handles, (l, 2) float32, (y, x) on the grid.
        config: r1, beta, ip, capped_step, skip_distance and drag_scale are used.
    """
    c, size = config, task.size
    ahead = next_positions(p, task.q, c.beta, capped=c.capped_step)
    ahead = torch.stack([ahead[:, i].clamp(0, n - 1) for i, n in enumerate(size)], dim=1)
    loss = F.new_zeros(())
    for p_i, p0_i, q_i, ahead_i in zip(p, task.p_0, task.q, ahead, strict=True):
        if (q_i - p_i).norm() < c.skip_distance:
            continue
        origin = p0_i if c.ip else p_i
        dy, dx = offsets(size, c.r1, origin, ahead_i)
        wanted = patch(F_0 if c.ip else F, size, origin, dy, dx).detach()
        gap = (patch(F, size, ahead_i, dy, dx) - wanted).abs()
        side = 2 * c.r1 if c.drag_scale == "released" else 2 * c.r1 + 1
        loss = loss + (gap.sum() if c.drag_scale == "sum" else side**2 * gap.mean())
    return loss


def mask_loss(z_prev: Tensor, z0_prev: Tensor, frozen: Tensor) -> Tensor:
    """The second term of Eq. 4, 7 and 8 without lambda: || (z_{t-1}^k - sg(z_{t-1}^0)) (1 - M) ||_1, of latents
    (1, C, h, w) one denoising step on and 1 - M on their grid, (1, 1, h, w).
    """
    return ((z_prev - z0_prev.detach()) * frozen).abs().sum()


def gradient(loss: Tensor, z: Tensor, dtype: torch.dtype) -> Tensor:
    """The gradient of a loss in z, through a U-Net that computes in `dtype`; in float16 the loss is scaled meanwhile.

    The scale is a power of two, so that scaling up and down again is exact.
    """
    size, scale = float(loss.detach()), 1.0
    if dtype == torch.float16 and 0 < size < SCALED_LOSS:
        scale = 2.0 ** math.floor(math.log2(SCALED_LOSS / size))
    (found,) = torch.autograd.grad(scale * loss, z)
    return found / scale


@torch.no_grad()
def distance_map(F: Tensor, f_0: Tensor, size: Size, p_i: Tensor, r2: int) -> tuple[Tensor, Tensor]:
    """|F_p - f_0|_1 for p in Omega(p_i, r2): the heatmaps of Fig. 14, for a feature f_0 (C,) and an integer-valued p_i.

    Returns:
        (R, S) distances, and the (y, x) of its first element, (2,) int64: not p_i - r2 where the window is cut off.
    """
    dy, dx = offsets(size, r2, p_i)
    rows, cols = dy + p_i[0].long(), dx + p_i[1].long()
    window = resized(F, size, rows, cols)  # (1, C, R, S)
    return (window - f_0[None, :, None, None]).abs().sum(dim=1)[0], torch.stack([rows[0], cols[0]])


@torch.no_grad()
def track(F: Tensor, f_0: Tensor, size: Size, p: Tensor, r2: int) -> tuple[Tensor, list[Tensor]]:
    """Eq. 6: each handle moves to the grid point of Omega(p_i, r2) whose feature is nearest to the original one.

    Args:
        F: features of the edited latent. f_0: those at the original handles, (l, C). p: (l, 2), integer-valued.

    Returns:
        The handles (l, 2), in the dtype of p, and the distance map of each, (R, S).
    """
    found, maps = [], []
    for p_i, f_i in zip(p, f_0, strict=True):
        distance, corner = distance_map(F, f_i, size, p_i, r2)
        row, col = divmod(int(distance.argmin()), distance.shape[1])
        found.append(torch.stack([corner[0] + row, corner[1] + col]))
        maps.append(distance)
    return torch.stack(found).to(p.dtype), maps


def features_at(F: Tensor, size: Size, p: Tensor) -> Tensor:
    """The features at integer-valued grid points p (l, 2): (l, C)."""
    return torch.stack([resized(F, size, y[None], x[None])[0, :, 0, 0] for y, x in p.long()])
