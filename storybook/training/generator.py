"""The generator of DragGAN: pictures of the book's animals by regression from the numbers of their pages.

    python -m storybook.training.generator --work .training/generator --minutes 60 --export storybook/weights/generator

The numbers of a page go into the mapping network, and the page is the target; there is no discriminator. Random seeds
are not among these numbers, so every page has the same layout of its backdrop and of its spots.
"""

import argparse
import copy
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

import storybook
from gooddrag.evaluation.methods import draggan
from gooddrag.evaluation.methods.draggan import WIDTH, pyramid
from gooddrag.files import atomic_file
from storybook.training.pages import HELD_OUT_PAGES, to_tensor, to_uint8
from storybook.training.sitting import Sitting, load_checkpoint
from storybook.training.unet import Muon
from storybook.world.animals.animal import POSE, Animal
from storybook.world.animals.breeds import BREEDS
from storybook.world.backdrops import KINDS

SIZES = {"x": (0.3, 0.7), "y": (0.4, 0.9), "body": (0.13, 0.27), "head": (0.16, 0.26), "neck": (0.15, 0.4)}
SIZES |= {"eye": (0.95, 1.2), "lids": (0.3, 1.0), "mouth": (0.0, 1.0)}
SPANS = {name: Animal.range(name) for name in POSE} | SIZES
PATTERNS = sorted({pattern for breed in BREEDS.values() for pattern in breed.patterns})
PLACES = sorted(set(KINDS))
ANCHORS = ("nose", "mouth", "chin", "forehead", "crown", "left_cheek", "right_cheek", "body", "left_eye", "right_eye")
ANCHORS += ("left_ear_tip", "right_ear_tip", "tail_tip", "trunk_tip", "left_wing_tip", "right_wing_tip")
BATCH, EVAL_EVERY = 16, 400  # steps
RATES = 2e-3, 3e-3  # of Adam, and of Muon for the convolutions
GROWTH = {32: 1500, 64: 3500}  # px: the step at which the next layers join in


class Generator(draggan.Generator):
    """DragGAN's generator behind a mapping: numbers -> w -> picture. The end of w is the places of a page's parts.

    At first a blob's centre is a sum of these, weights adding up to 1, so that it turns and grows with them.
    """

    def __init__(self, numbers: int):
        super().__init__()
        parts = len(ANCHORS)
        steps = [m for n in (numbers, 256, 256) for m in (nn.Linear(n, 256), nn.LeakyReLU(0.2))]
        self.rest = nn.Sequential(*steps, nn.Linear(256, WIDTH - 2 * parts))
        for layer in self.to_rgb:
            nn.init.zeros_(layer.weight)  # layers that were not trained yet add nothing
        for blobs in self.blobs.values():
            count = len(blobs.log_radius)
            near = torch.eye(parts)[torch.arange(count) % parts] + 0.3 * torch.randn(count, parts)
            near = near - near.mean(1, keepdim=True) + 1 / parts
            weight = 0.1 * blobs.centre.weight.detach().unflatten(0, (2, count))  # of x, of y
            weight[..., -2 * parts :] = 0
            weight[0, :, -2 * parts :: 2] = weight[1, :, 1 - 2 * parts :: 2] = near
            blobs.centre.weight = nn.Parameter(weight.flatten(0, 1))
            nn.init.zeros_(blobs.centre.bias)

    def mapping(self, numbers: Tensor) -> Tensor:
        """Numbers (B, n), the places first -> w (B, WIDTH)."""
        return torch.cat([self.rest(numbers), numbers[:, : 2 * len(ANCHORS)]], dim=1)

    def forward(self, numbers: Tensor, side: int = 128) -> Tensor:
        """Numbers (B, n) -> pictures (B, 3, side, side)."""
        return self.synthesis(self.mapping(numbers)[:, None].expand(-1, len(self.layers), -1), side)[0]


def animal(seed: int) -> Animal:
    """Animal `seed` of the book, with one layout of its backdrop and of its spots."""
    scene = storybook.sample(seed, "animal")
    return replace(scene, spots=0, backdrop=replace(scene.backdrop, seed=0))


def numbers(scene: Animal) -> list[float]:
    """All that decides the picture: pose, where its parts are, colours, kind, pattern, backdrop."""
    values = [(2 * getattr(scene, name) - low - high) / (high - low) for name, (low, high) in SPANS.items()]
    anchors = scene.anchors()
    ends = [2 * c - 1 for name in ANCHORS for c in anchors.get(name, (0.5, 0.5))]
    coat, back = scene.coat, scene.backdrop
    colours = [2 * c - 1 for colour in (coat.main, coat.light, coat.dark, scene.iris) for c in colour]
    turn = math.tau * back.hue
    place = [math.cos(turn), math.sin(turn), 2 * back.light - 1, (back.horizon - 0.69) / 0.07]
    chosen = ((BREEDS, scene.kind), (PATTERNS, scene.pattern), (PLACES, back.kind))
    return ends + values + colours + place + [float(name == one) for names, one in chosen for name in names]


def draw(seeds: range) -> tuple[Tensor, Tensor]:
    """Numbers (n, N) float32 and pages (n, 128, 128, 3) uint8."""
    scenes = [animal(seed) for seed in seeds]
    pages = torch.stack([torch.from_numpy(to_uint8(scene.render(128))) for scene in scenes])
    return torch.tensor([numbers(scene) for scene in scenes]), pages


def batches(first: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Pages drawn so far, and numbers and pictures of a batch, without end; every page is seen about four times."""
    x, pages = draw(range(first, first + 1024))
    for seed in itertools.count(first + 1024, 64):
        x, pages = (torch.cat(pair)[-8192:] for pair in zip((x, pages), draw(range(seed, seed + 64)), strict=True))
        for _ in range(4 * 64 // BATCH):
            at = torch.randint(len(x), (BATCH,))
            yield seed + 64, x[at], to_tensor(pages[at].numpy())


def encoder_maps(encoder: nn.Module, x: Tensor) -> list[Tensor]:
    """What an AutoencoderTiny's encoder sees of (B, 3, H, W) in [-1, 1]: its maps at each side length."""
    maps, x = [], x.add(1).div(2)
    for layer in encoder.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            maps.append(x)
    return maps


def loss(made: Tensor, page: Tensor, encoder: nn.Module) -> Tensor:
    """L1 at four sizes, and at 128 px that of the autoencoder's maps of a random quarter."""
    if (side := made.shape[-1]) < 128:
        return pyramid(made.float(), avg_pool2d(page, 128 // side))
    top, left = (int(torch.randint(65, ())) for _ in range(2))
    mine, wanted = (encoder_maps(encoder, x[..., top : top + 64, left : left + 64]) for x in (made, page))
    maps = sum((a - b).abs().mean() / b.abs().mean() for a, b in zip(mine, wanted, strict=True))
    return pyramid(made.float(), page) + 0.25 * maps


def train(work: Path, encoder: nn.Module, **budget: float) -> None:
    """Go on from the checkpoint in `work`, if there is one, with the budget of a `Sitting`, in steps."""
    net = Generator(len(numbers(animal(0)))).to(memory_format=torch.channels_last)
    encoder = encoder.to(memory_format=torch.channels_last).requires_grad_(False)
    ema, convolutions = copy.deepcopy(net).requires_grad_(False), [layer.weight for layer in net.layers]
    rest = [p for p in net.parameters() if not any(p is weight for weight in convolutions)]
    steppers = {torch.optim.Adam(rest, betas=(0.9, 0.99)): RATES[0], Muon(convolutions): RATES[1]}
    sitting = Sitting(work / "generator.safetensors", {"net": net, "ema": ema}, steppers, {}, **budget)
    torch.manual_seed(sitting.counts["step"])
    held = draw(range(HELD_OUT_PAGES, HELD_OUT_PAGES + 64))
    for _, (drawn, x, page) in zip(sitting, batches(sitting.counts["drawn"]), strict=False):
        side = next((side for side, until in GROWTH.items() if sitting.counts["step"] < until), 128)
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(net(x, side), page.to(memory_format=torch.channels_last), encoder)
        sitting.step(value)
        sitting.counts["drawn"] = drawn
        if sitting.due(EVAL_EVERY):
            with torch.no_grad():
                made = torch.cat([ema(part, side) for part in held[0].split(16)])
            wanted = avg_pool2d(to_tensor(held[1].numpy()), 128 // side)
            sitting.log({"l1": (made - wanted).abs().mean().item()}, side=side)


def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels and matrices in 8 bits, with a scale for each output (`name.scale`); the rest in half precision."""
    small = {}
    for name, tensor in tensors.items():
        if tensor.ndim > 1 and name.endswith(".weight") and ".centre." not in name:
            scale = tensor.abs().flatten(1).amax(1).clamp(min=1e-12) / 127
            small[f"{name}.scale"] = scale = scale.reshape(-1, *[1] * (tensor.ndim - 1))
            small[name] = (tensor / scale).round().to(torch.int8)
        else:
            small[name] = tensor.half()
    return {name: tensor.contiguous() for name, tensor in small.items()}


def export(work: Path, folder: Path) -> None:
    """Write the average's synthesis network, packed, and the w of 128 pages that a projection starts from."""
    net = Generator(len(numbers(animal(0)))).requires_grad_(False)
    progress = load_checkpoint(work / "generator.safetensors", {"ema": net})
    w = net.mapping(draw(range(HELD_OUT_PAGES, HELD_OUT_PAGES + 128))[0])
    del net.rest
    with atomic_file(folder / "generator.safetensors") as file:
        save_file(packed(net.state_dict() | {"bank": w}), file, {"progress": json.dumps(progress)})


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--work", type=Path, required=True, help="folder of the checkpoint and the log")
    p.add_argument("--minutes", type=float)
    p.add_argument("--cooldown", type=float, default=0.0, help="last share of the minutes, in which the rate falls")
    p.add_argument("--export", type=Path, help="folder for the weights")
    a = p.parse_args()
    if a.minutes:
        vae = AutoencoderTiny.from_pretrained(Path(storybook.__file__).parent / "weights", subfolder="vae")
        train(a.work, vae.encoder, minutes=a.minutes, cooldown=a.cooldown)
    if a.export:
        export(a.work, a.export)
