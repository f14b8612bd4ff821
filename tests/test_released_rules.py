"""The released code's rules, on cases of our own: whole runs against a second implementation that shares no code.

The second one does everything the plain way: whole feature maps resized, windows cut as slices, source and edit in one
batch at every denoising step, attention with an explicit softmax. It knows the rules from their description only
(notebooks/differences.json), reads its numbers from a DragConfig, and works in float64, where agreement is exact.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import TINY_SD, picture, random, sharing

from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.frame import Frame
from gooddrag.masactrl import transformer_blocks
from gooddrag.model import load_model

# 8 of 10 levels are inverted, 3 time steps are dragged, and windows fit into small pictures.
CONFIG = DragConfig(num_steps=10, K=6, B=2, J=2, r1=2, r2=5, lr=0.1)


@pytest.fixture(scope="module")
def model():
    return load_model(TINY_SD, device="cpu", dtype=torch.float64)


class Plain:
    """One edit by the rules; afterwards z, p, trackings [(counted, handles)], losses, masactrl_from, forwards."""

    def __init__(self, model, image, points, mask, config):
        self.model, self.c = model, config
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1  # float32, then wider
        height, width = pixels.shape[2:]
        self.half = (height // 2, width // 2)
        flat = np.reshape(points, (-1, 2)).tolist()
        points = torch.tensor([[y / height * self.half[0], x / width * self.half[1]] for x, y in flat])
        self.p_0, self.q = torch.round(points)[0::2], torch.round(points)[1::2]
        small = F.interpolate((torch.from_numpy(mask) > 0)[None, None].double(), self.half, mode="nearest")
        with torch.no_grad():
            self.z = model.vae.encode(pixels.to(model.dtype)).latent_dist.mean * 0.18215
        self.frozen = 1 - F.interpolate(small, self.z.shape[2:], mode="nearest")
        self.steps = [1 + 1000 // config.num_steps * i for i in range(config.num_steps)]
        self.steps = self.steps[: round(config.strength * config.num_steps)]
        self.trackings, self.losses, self.forwards, self.still, self.stopped = [], [], 0, 0, False
        self.run()

    def alpha(self, timestep):
        return self.model.alphas_cumprod[max(timestep, 0)]  # 0 for the clean image: the first entry, not 1

    def hop(self, z, eps, here, there):
        a, b = self.alpha(here), self.alpha(there)
        return b.sqrt() * (z - (1 - a).sqrt() * eps) / a.sqrt() + (1 - b).sqrt() * eps

    def unet(self, z, timestep):
        self.forwards += 1
        seen = []
        hook = self.model.unet.up_blocks[2].register_forward_hook(lambda module, args, out: seen.append(out))
        eps = self.model.unet(z, timestep, encoder_hidden_states=self.model.prompt.expand(len(z), -1, -1)).sample
        hook.remove()
        return eps, F.interpolate(seen[0], self.half, mode="bilinear", align_corners=False)

    def run(self):
        with torch.no_grad():
            before = 0
            for timestep in self.steps:  # the U-Net is told the step that the hop leads to
                self.z = self.hop(self.z, self.unet(self.z, timestep)[0], before, timestep)
                before = timestep
        source, self.p = self.z, self.p_0.clone()
        ref_z, self.masactrl_from, ended = self.z, None, False
        previous = dict(zip(self.steps, [0, *self.steps], strict=False))
        dragged = math.ceil(self.c.K / self.c.B)
        for i, timestep in enumerate(reversed(self.steps)):
            ended = ended or i == dragged or self.stopped
            if not ended:
                eps, maps = self.unet(ref_z.clone().requires_grad_(), timestep)
                ref_z = self.hop(ref_z, eps, timestep, previous[timestep]).detach()
                self.drag(timestep, previous[timestep], ref_z, maps.detach())
            elif self.masactrl_from is None:
                self.masactrl_from = i
            with torch.no_grad(), sharing(transformer_blocks(self.model.unet)[10:]) if ended else torch.no_grad():
                both = torch.cat([source, self.z])
                both = self.hop(both, self.unet(both, timestep)[0], timestep, previous[timestep])
            source, self.z = both[:1], both[1:]

    def drag(self, timestep, previous, ref_z, maps_0):
        c, z = self.c, self.z.clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=c.lr)
        for k in range(c.B * c.J):
            eps, maps = self.unet(z, timestep)
            if k == 0:
                self.track(maps, maps_0, counted=False)
            far = [(q - p).norm().item() >= 2 for p, q in zip(self.p, self.q, strict=True)]
            if not any(far) or self.still >= c.stop_unmoved:
                self.stopped = True
                break
            loss = (c.lam * (self.hop(z, eps, timestep, previous) - ref_z) * self.frozen).abs().sum()
            for p, p_0, q, one in zip(self.p, self.p_0, self.q, far, strict=True):
                if one:
                    way = q - p
                    ahead = p + way / way.norm() * min(c.beta, way.norm().item())
                    gap = square(maps, ahead, c.r1) - square(maps_0, p_0, c.r1)
                    loss = loss + (2 * c.r1) ** 2 * gap.abs().mean()
            self.losses.append(loss.item())
            adam.zero_grad()
            (z.grad,) = torch.autograd.grad(loss, z)
            adam.step()
            if (k + 1) % c.J == 0:
                self.track(maps, maps_0, counted=True)  # the maps of before this update
        self.z = z.detach()

    def track(self, maps, maps_0, counted):
        r, before = self.c.r2, self.p.clone()
        for i, (p, p_0) in enumerate(zip(before.long(), self.p_0.long(), strict=True)):
            top, left = max(int(p[0]) - r, 0), max(int(p[1]) - r, 0)
            window = maps[0, :, top : p[0] + r + 1, left : p[1] + r + 1]
            gap = (window - maps_0[0, :, p_0[0], p_0[1], None, None]).abs().sum(0)
            best = int(gap.argmin())
            self.p[i] = torch.tensor([top + best // gap.shape[1], left + best % gap.shape[1]])
        if counted:
            self.still = 0 if (self.p != before).any() else self.still + 1
        self.trackings.append((counted, self.p.tolist()))


def square(maps, centre, r):
    """The (2 r + 1)^2 patch around a point between grid points, as a sum of four slices with float32 weights."""
    (y, x), (fy, fx) = centre.long().tolist(), centre - centre.floor()
    total = 0
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            if wy * wx > 0:
                total = total + wy * wx * maps[:, :, y + dy - r : y + dy + r + 1, x + dx - r : x + dx + r + 1]
    return total


def blobs(size, seed):
    """A mask of blocks and thin lines, 0 and 255."""
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 2, (-(-size[1] // 16), -(-size[0] // 16))), np.full((16, 16), 255))
    mask = mask[: size[1], : size[0]].astype(np.uint8)
    mask[::7, ::3] = 255
    return mask


CASES = {
    "a wide picture, odd coordinates": ((96, 64), [[[43, 31], [61, 35]]], {}),
    "a tall picture, latent not divisible by 8": ((72, 104), [[[30, 40], [38, 68]]], {}),
    "two pairs, one arrives early": ((64, 96), [[[31, 32], [36, 35]], [[32, 60], [26, 32]]], {}),
    "one of three at rest": ((96, 72), [[[30, 30], [32, 30]], [[50, 34], [66, 34]], [[60, 50], [40, 44]]], {}),
    "handles that cross": ((88, 64), [[[34, 32], [54, 32]], [[54, 34], [34, 34]]], {}),
    "arrived before the first update": ((64, 64), [[[30, 30], [32, 30]]], {}),
    # nothing moves: the count runs on across time steps, or is full where one ends
    "unmoved 3 times": ((64, 64), [[[30, 30], [50, 40]]], {"lr": 0.0, "stop_unmoved": 3}),
    "unmoved 4 times": ((64, 64), [[[30, 30], [50, 40]]], {"lr": 0.0, "stop_unmoved": 4}),
    "windows cut off at all borders": ((64, 80), [[[8, 10], [30, 40]], [[54, 70], [40, 60]]], {}),
    "every level is dragged": ((64, 64), [[[24, 30], [50, 40]]], {"num_steps": 4, "K": 6, "stop_distance": 2.0}),
    "no room for a last whole time step": ((64, 64), [[[24, 30], [50, 40]]], {"num_steps": 20, "K": 2, "J": 3}),
}


@pytest.mark.filterwarnings("ignore:points. every target is less than")
@pytest.mark.parametrize("name", CASES)
def test_whole_runs_agree_with_a_second_implementation(model, name):
    size, points, changes = CASES[name]
    config, image, mask = replace(CONFIG, **changes), picture(size, seed=3), blobs(size, seed=1)
    want = Plain(model, image, points, mask, config)
    trackings, losses = [], []

    def watch(state):
        if state.event == "track":
            trackings.append((state.counted, state.handles.tolist()))
        elif state.event == "update":
            losses.append(state.loss)

    result = DragEditor(model).set_image(image).drag(points, mask, config, callback=watch)
    assert trackings == want.trackings
    assert losses == pytest.approx(want.losses, rel=1e-9)
    torch.testing.assert_close(result.latent, want.z, rtol=0, atol=1e-8)


@pytest.mark.parametrize("height", range(64, 1025, 8))
def test_points_are_rounded_as_the_released_code_does(height):
    """round(y / H * int(H / 2)), computed in float64 and rounded half to even in float32, for every y."""
    frame = Frame.fit((64, height), 8, 512)
    grid = frame.grid_size((height // 8, 8), "latent4")
    y = np.arange(height)
    want = torch.round(torch.tensor([v / height * int(0.5 * height) for v in y.tolist()])).clamp_max(grid[0] - 1)
    got = frame.to_grid(np.stack([np.zeros(height), y], axis=1), grid)
    assert torch.equal(got[:, 0], want) and got.dtype == want.dtype


def test_a_lora_is_w_plus_b_a_from_the_inversion_to_the_end(model):
    size, points, _ = CASES["a wide picture, odd coordinates"]
    plain, lora = load_model(TINY_SD, device="cpu", dtype=torch.float64), {}
    for name, layer in plain.unet.named_modules():
        if ".attn" in name and name.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            a, b = (0.2 * random(*s, seed=len(lora)) for s in ((2, layer.in_features), (layer.out_features, 2)))
            lora |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
            layer.weight.data += b @ a
    image, mask = picture(size, seed=3), blobs(size, seed=1)
    result = DragEditor(model, lora=lora).set_image(image).drag(points, mask, CONFIG)
    want = Plain(plain, image, points, mask, CONFIG)
    torch.testing.assert_close(result.latent, want.z, rtol=0, atol=1e-8)
    assert result.handles.tolist() == (2 * want.p.flip(1)).tolist()
