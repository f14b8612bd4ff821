"""The coats of the animals: patterns that ride with head and body."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from storybook.world.animal_rig import Rig
from storybook.world.paints import Colour, Paint, rgb, shaded
from storybook.world.shapes import Pose, Shape

if TYPE_CHECKING:
    from storybook.world.animals import Animal


def fur(shape: Shape, paint: Paint | Colour, **more: float) -> Paint:
    """Light on a furry part: round, soft at the rim (more: arguments of `shaded`)."""
    return shaded(paint, shape, **({"depth": 0.16, "rim": 0.13, "rim_width": 0.022} | more))


def coat(animal: Animal, pose: Pose, rig: Rig, part: str) -> Paint:
    """The coat of the head or the body, in coordinates that ride with it."""
    c, pattern = animal.coat, animal.pattern
    rng = random.Random(animal.spots)
    main, light, dark = rgb(c.main), rgb(c.light), rgb(c.dark)
    spots = []
    if pattern == "patches":
        colour = light if sum(c.main) < 1.6 else dark
        side = rng.choice((-1, 1))
        if part == "head":
            spots = [(*rig.face(side * 0.5, -0.2), 0.46, 0.5, colour)]
        else:
            spots = [(side * 0.5, -0.3, 0.45, 0.4, colour), (-side * 0.75, 0.45, 0.5, 0.42, colour)]
    elif pattern == "panda" and part == "head":
        spots = [(*rig.face(s * 0.44, -0.08), 0.34, 0.4, dark) for s in (-1, 1)]
    elif pattern == "points" and part == "head":
        spots = [(*rig.face(0, 0.25), 0.62, 0.62, dark)]
    elif pattern == "cheeks" and part == "head":
        spots = [(*rig.face(s * 0.68, 0.52), 0.72, 0.42, light) for s in (-1, 1)]
    elif pattern == "penguin" and part == "head":
        spots = [(*rig.face(s * 0.36, 0.12), 0.46, 0.66, light) for s in (-1, 1)]

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        colour = main
        if pattern == "gradient":
            colour = torch.lerp(main, light, ((v + 0.5) * 0.55).clamp(0, 0.8))
        elif pattern == "stripes":
            fx, fy = rig.face(0, -0.6) if part == "head" else (0.0, 0.0)
            if part == "head":  # three strokes on the forehead, whiskers of stripe on the cheeks
                wave = torch.cos((u - fx) * 13.0) - 0.35 - 3.0 * (v - fy + 0.05).clamp_min(0) - 2.6 * (u - fx).abs()
            else:
                wave = torch.sin(v * 9.0 + u.abs() * 3.0) - 1.25 + 0.9 * u.abs()
            colour = torch.lerp(main, dark, (wave * 5).clamp(0, 0.85))
        elif pattern == "scallops" and part == "body":
            wave = torch.cos(u * 11.0) * torch.cos(v * 11.0)
            colour = torch.lerp(main, dark, (wave * 0.8).clamp(0, 0.55))
        elif pattern == "panda" and part == "body":
            colour = torch.lerp(dark, main, ((v + 0.1) * 6).clamp(0, 1))
        for su, sv, ru, rv, tone in spots:
            f = 1 - torch.sqrt(((u - su) / ru) ** 2 + ((v - sv) / rv) ** 2)
            colour = torch.lerp(colour.expand(3, *f.shape), tone, (f * 7 + 0.5).clamp(0, 1))
        return colour

    return paint
