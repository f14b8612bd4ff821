"""One drag update, as it is and with what the released code does beside it: weights that ask for gradients, and the
whole feature map resized to the supervision grid.

    python benchmarks/against_unfrozen.py                          a mid-size U-Net of Stable Diffusion's shape
    python benchmarks/against_unfrozen.py --shape sd15 --rounds 1  the true shape, random weights, 512 x 512

Both ways take turns in one run; times are processor time and clock, memory is counted tensor by tensor
Writes results/against_unfrozen_SHAPE.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch
from diffusers import UNet2DConditionModel
from torch.nn.functional import interpolate

from experiments.cost.predict import SD15_UNET
from gooddrag import cost, motion
from gooddrag.devices import machine
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]
SHAPES = {
    "small": (dict(SD15_UNET, block_out_channels=(32, 64, 64, 64), cross_attention_dim=64), 16),
    "mid": (dict(SD15_UNET, block_out_channels=(128, 256, 384, 384), cross_attention_dim=256), 32),
    "sd15": (SD15_UNET, 64),
}


class Update:
    """Forward, loss of Eq. 8 around one handle, gradient to the latent."""

    def __init__(self, unet: UNet2DConditionModel, size: int):
        generator = torch.Generator().manual_seed(0)
        self.unet, self.grid = unet, (4 * size, 4 * size)
        self.z = torch.randn(1, 4, size, size, generator=generator)
        self.prompt = torch.randn(1, 77, unet.config.cross_attention_dim, generator=generator)
        self.p, self.q = torch.tensor([[2.0 * size, 2.0 * size]]), torch.tensor([[3.0 * size, 2.0 * size]])
        self.F: list[torch.Tensor] = []
        unet.up_blocks[-2].register_forward_hook(lambda module, args, out: self.F.append(out))

    def __call__(self, whole: bool) -> None:
        """`whole`: on whole resized maps, with weight gradients (which the caller has asked of the U-Net)."""
        self.F.clear()
        z = self.z.clone().requires_grad_()
        eps = self.unet(z, 741, encoder_hidden_states=self.prompt).sample
        F = self.F.pop()
        F_0 = F.detach()
        if whole:
            F, F_0 = (interpolate(x, self.grid, mode="bilinear") for x in (F, F_0))
        loss = motion.drag_loss(F, F_0 * 0.9, self.grid, self.p, self.p, self.q, r1=4, beta=4.0)
        (loss + 0.1 * eps.abs().sum()).backward()
        self.gradient = z.grad
        for p in self.unet.parameters():
            p.grad = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="mid")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    config, size = SHAPES[options.shape]
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(config).eval()
    update, times, passes, gradients = Update(unet, size), {False: [], True: []}, {}, {}
    for _ in range(options.rounds + 1):
        for whole in (False, True):
            unet.requires_grad_(whole)
            start = time.process_time(), time.perf_counter()
            update(whole)
            times[whole].append((time.process_time() - start[0], time.perf_counter() - start[1]))
            gradients[whole] = update.gradient
    for whole in (False, True):
        unet.requires_grad_(whole)
        passes[whole] = cost.traced(lambda whole=whole: update(whole), tuple(unet.parameters()), once=True)
    kept = {w: t[1:] or t for w, t in times.items()}  # the first round warms up
    seconds = {w: [median(t[i] for t in kept[w]) for i in (0, 1)] for w in kept}
    report = {
        "shape": options.shape, "parameters": sum(p.numel() for p in unet.parameters()), "latent": size,
        "machine": machine(),
        "cpu_seconds": {"ours": seconds[False][0], "unfrozen": seconds[True][0]},
        "seconds": {"ours": seconds[False][1], "unfrozen": seconds[True][1]},
        "peak_bytes": {"ours": passes[False].peak_bytes, "unfrozen": passes[True].peak_bytes},
        "times_faster": seconds[True][0] / seconds[False][0],
        "share_of_peak": passes[False].peak_bytes / passes[True].peak_bytes,
        "gradient_difference": float((gradients[False] - gradients[True]).abs().max() / gradients[True].abs().max()),
    }  # fmt: skip
    with atomic_file(ROOT / "results" / f"against_unfrozen_{options.shape}.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
