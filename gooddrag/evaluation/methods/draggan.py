"""DragGAN (Pan et al., SIGGRAPH 2023) with PTI (Roich et al., 2022) on a generator of the storybook's animals.

The generator has StyleGAN2's shape and was trained by regression, not against a discriminator (see its card). F are its
features at a quarter of the picture's side, d_i is the unit vector from handle p_i to target q_i, Omega the disc of
radius r1. At each step the handles are tracked, p_i = argmin |F(x) - F_0(p_i^0)|_2 over the square of radius r2 around
the last p_i, and w+ of the first six layers takes an Adam step on

    sum_i mean_{x in Omega(p_i)} |F(x + d_i) - sg F(x)|  +  lambda mean |(F - F_0) (1 - M)|.

PTI makes the picture its own: first w of the page that looks most like it is optimised, then, with that w, the weights;
both on L1 of the picture and of its halves, quarters and eighths, which stands in for LPIPS.
"""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu

from gooddrag import motion
from gooddrag.ddim import check_finite
from gooddrag.frame import Frame
from gooddrag.model import STORYBOOK, DiffusionModel
from gooddrag.sample import Sample

GENERATOR = STORYBOOK / "generator" / "generator.safetensors"
SIDE, WIDTH, EDITED = 128, 128, 6  # px of the picture; length of a style vector w; layers whose w moves
doubled = partial(interpolate, scale_factor=2, mode="bilinear", align_corners=False)  # StyleGAN2's filter [1, 3, 3, 1]
CHANNELS = {4: 112, 8: 112, 16: 112, 32: 96, 64: 48, 128: 24}  # of the layers at each side length


class Modulated(nn.Module):
    """A convolution whose input channels are scaled by a style s = A w + b (Karras et al. 2020, Eq. 1 and 3).

    Scaling the input by s and the output by (sum (s W)^2)^-1/2 is the same as modulating and demodulating W; one of
    1 x 1 is not demodulated.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 3):
        super().__init__()
        self.style = nn.Linear(WIDTH, c_in)
        nn.init.ones_(self.style.bias)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel) / (c_in * kernel**2) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (B, c_in, h, w), w (B, WIDTH) -> (B, c_out, h, w)."""
        s = self.style(w)
        y = conv2d(x * s[:, :, None, None], self.weight, padding="same")
        bias = self.bias[:, None, None].to(y.dtype)
        if self.weight.shape[-1] == 1:
            return y + bias
        power = s.float().square() @ self.weight.float().square().sum((2, 3)).mT  # (B, c_out)
        return torch.addcmul(bias, y, (power + 1e-8).rsqrt()[:, :, None, None].to(y.dtype))


class Blobs(nn.Module):
    """Soft discs whose centres are linear in w: what moves in the picture moves with them (Epstein et al. 2022).

    Each gives three maps: the disc itself, and inside it the distance from its centre across and down.
    """

    def __init__(self, c_out: int, count: int = 64):
        super().__init__()
        self.centre = nn.Linear(WIDTH, 2 * count)
        self.log_radius = nn.Parameter(torch.empty(count).uniform_(-2.5, -0.8))
        self.mix = Modulated(3 * count, c_out, kernel=1)

    def forward(self, w: Tensor, side: int) -> Tensor:
        """w (B, WIDTH) -> (B, c_out, side, side)."""
        at = (2 * torch.arange(side, device=w.device) + 1) / side - 1
        x, y = self.centre(w).float().unflatten(1, (2, -1, 1)).unbind(1)  # (B, count, 1)
        radius = self.log_radius.float().exp()[:, None]
        dx, dy = (at - x) / radius, (at - y) / radius  # (B, count, side)
        disc = torch.exp(-0.5 * dy.square())[..., :, None] * torch.exp(-0.5 * dx.square())[..., None, :]
        maps = torch.cat([disc, disc * dx[..., None, :], disc * dy[..., :, None]], dim=1)
        return self.mix(maps, w)


class Generator(nn.Module):
    """A StyleGAN2-shaped network, blobs in place of noise: w+, a w for each of 11 layers -> picture of 128 x 128.

    Its styled convolutions, `layers`, are one at 4 px and two at each of 8 to 128 px.
    """

    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, CHANNELS[4], 4, 4))
        self.layers, self.to_rgb, c_in = nn.ModuleList(), nn.ModuleList(), CHANNELS[4]
        self.blobs = nn.ModuleDict({str(side): Blobs(CHANNELS[side]) for side in (16, 32)})
        for side, c_out in CHANNELS.items():
            for _ in range(1 if side == 4 else 2):
                self.layers.append(Modulated(c_in, c_out))
                c_in = c_out
            self.to_rgb.append(Modulated(c_out, 3, kernel=1))

    def synthesis(self, w_plus: Tensor, side: int = 128) -> tuple[Tensor, Tensor]:
        """w+ (B, 11, WIDTH) -> pictures (B, 3, side, side), about [-1, 1], and features (B, 96, 32, 32).

        A smaller side, 32 or 64, leaves the last layers out.
        """
        x = self.start.expand(len(w_plus), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        picture, features = None, None
        for i, layer in enumerate(self.layers):
            x, w = layer(x, w_plus[:, i]), w_plus[:, i]
            if i % 2:
                x = doubled(x)
                if (name := str(x.shape[-1])) in self.blobs:
                    x = x + self.blobs[name](w, x.shape[-1])
            x = leaky_relu(x, 0.2)
            features = x if i == 6 else features
            if i % 2 == 0:
                rgb = self.to_rgb[i // 2](x, w)
                picture = rgb if picture is None else doubled(picture) + rgb
                if x.shape[-1] == side:
                    return picture, features


def pyramid(x: Tensor, y: Tensor) -> Tensor:
    """L1 distance of two pictures, summed over their sizes, halves, quarters and eighths; 0-d."""
    total = (x - y).abs().mean()
    for _ in range(3):
        x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        total = total + (x - y).abs().mean()
    return total


def load_generator(path: Path | None = None) -> tuple[Generator, Tensor]:
    """The storybook's generator (or another file), and the w of pages to start a projection from, (n, WIDTH)."""
    tensors, net = {name: tensor.float() for name, tensor in load_file(path or GENERATOR).items()}, Generator()
    for name in [name for name in tensors if name.endswith(".scale")]:
        tensors[name.removesuffix(".scale")] *= tensors.pop(name)
    bank = tensors.pop("bank")
    net.load_state_dict(tensors)
    return net.requires_grad_(False), bank


@dataclass(frozen=True)
class DragGan:
    """DragGAN with PTI; everything is deterministic, so that the seed has no effect. Pictures are seen at 128 x 128.

    Args:
        project, project_lr: Adam steps in w; the rate grows over the first twentieth and falls over the last quarter.
        tune, tune_lr, tuned: at most so many steps in the weights; the distance at which they end.
        steps, lr: at most so many of the drag. r1, r2: as for a picture of 512 px. lam: lambda.
        weights: file of another generator.
    """

    project: int = 450
    project_lr: float = 0.02
    tune: int = 350
    tune_lr: float = 5e-4
    tuned: float = 0.06
    steps: int = 200
    lr: float = 2e-3
    r1: float = 3.0
    r2: float = 12.0
    lam: float = 20.0
    weights: Path | None = None

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        frame = Frame(sample.image.size, (SIDE, SIDE), (SIDE, SIDE))
        picture, loaded = frame.to_tensor(sample.image).to(model.device), load_generator(self.weights)
        net, w_plus = self.invert(picture, *(part.to(model.device) for part in loaded))
        scale = SIDE / np.array(frame.user)
        points = np.clip(np.rint((sample.points + 0.5) * scale - 0.5), 0, SIDE - 1)[..., ::-1].copy()
        frozen = frame.frozen(sample.mask, frame.scaled, frame.scaled)
        w_plus, _ = self.drag(net, w_plus, torch.from_numpy(points).float(), frozen)
        with torch.no_grad():
            return frame.to_image(net.synthesis(w_plus)[0] / 2 + 0.5)

    def invert(self, picture: Tensor, net: Generator, bank: Tensor) -> tuple[Generator, Tensor]:
        """PTI: a generator of its own for a picture (1, 3, 128, 128) in [-1, 1], and the w+ (1, 11, WIDTH) of it."""
        n, small = len(net.layers), avg_pool2d(picture, 4)
        with torch.no_grad():
            far = [pyramid(net.synthesis(w.expand(1, n, -1), side=32)[0], small) for w in bank]
        w = bank[[int(torch.stack(far).argmin())]].clone().requires_grad_()
        adam = torch.optim.Adam([w], self.project_lr)
        for k in range(self.project):
            share = (k + 1) / self.project
            adam.param_groups[0]["lr"] = self.project_lr * min(1, 20 * share, 4 * (1 - share))
            descend(adam, pyramid(net.synthesis(w[:, None].expand(-1, n, -1))[0], picture), f"projection, step {k + 1}")
        net, w_plus = copy.deepcopy(net).requires_grad_(), w.detach()[:, None].expand(-1, n, -1)
        adam = torch.optim.Adam([*net.layers.parameters(), *net.to_rgb.parameters(), net.start], self.tune_lr)
        for k in range(self.tune):
            distance = pyramid(net.synthesis(w_plus)[0], picture)
            if distance < self.tuned:
                break
            descend(adam, distance, f"tuning, step {k + 1}")
        return net.requires_grad_(False), w_plus

    def drag(self, net: Generator, w_plus: Tensor, points: Tensor, frozen: Tensor) -> tuple[Tensor, Tensor]:
        """DragGAN on w+ (1, 11, WIDTH): the edited w+, and where the handles are, (l, 2), (y, x) in pixels.

        The points are integer-valued pairs of handle and target, (l, 2, 2) float32 (y, x); frozen is 1 - M, (1, 1, 128,
        128).
        """
        size, scale = (SIDE, SIDE), SIDE / 512
        r1, r2, near = max(1, round(self.r1 * scale)), max(1, round(self.r2 * scale)), max(2 * scale, 2.0)
        p, q = points.to(w_plus.device).unbind(1)
        w = w_plus[:, :EDITED].clone().requires_grad_()
        adam, f_0 = torch.optim.Adam([w], self.lr), None
        for k in range(self.steps):
            F = net.synthesis(torch.cat([w, w_plus[:, EDITED:]], dim=1))[1]
            if f_0 is None:
                F_0, f_0 = F.detach(), motion.features_at(F.detach(), size, p)
                outside = interpolate(frozen.to(F), F.shape[-2:], mode="area")
            else:
                p = torch.stack([tracked(F.detach(), *each, r2) for each in zip(f_0, p, strict=True)])
            if ((q - p).norm(dim=1) < near).all():
                break
            loss = sum(supervision(F, *pair, r1) for pair in zip(p, q, strict=True))
            if 0 < frozen.mean() < 1:
                loss = loss + self.lam * ((F - F_0) * outside).abs().mean()
            descend(adam, loss, f"drag, step {k + 1}")
        return torch.cat([w.detach(), w_plus[:, EDITED:]], dim=1), p


def descend(adam: torch.optim.Adam, loss: Tensor, at: str) -> None:
    """One step against a loss, which has to be finite."""
    check_finite("DragGAN", at, loss=loss.detach())
    adam.zero_grad()
    loss.backward()
    adam.step()


def supervision(F: Tensor, p: Tensor, q: Tensor, r1: int) -> Tensor:
    """mean |F(x + d) - sg F(x)| over the disc around p; 0-d. d is at most the way that is left."""
    ahead = motion.next_positions(p[None], q[None], 1.0, capped=True)[0]
    dy, dx = motion.offsets((SIDE, SIDE), r1, p, ahead)
    disc = dy[:, None] ** 2 + dx**2 <= r1**2
    here, there = (motion.patch(F, (SIDE, SIDE), centre, dy, dx)[..., disc] for centre in (p, ahead))
    return (there - here.detach()).abs().mean()


def tracked(F: Tensor, f_0: Tensor, p: Tensor, r2: int) -> Tensor:
    """The pixel of the square around p whose feature is nearest to f_0 (C,), by the L2 norm; (2,), (y, x)."""
    dy, dx = motion.offsets((SIDE, SIDE), r2, p)
    far = (motion.patch(F, (SIDE, SIDE), p, dy, dx)[0] - f_0[:, None, None]).norm(dim=0)
    row, col = divmod(int(far.argmin()), len(dx))
    return p + torch.stack([dy[row], dx[col]])
