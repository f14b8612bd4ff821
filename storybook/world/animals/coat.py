"""The coats of the animals: fur, and patterns that ride with head and body."""

import random
from typing import Any

import torch
from torch import Tensor

from storybook.world.animals.skeleton import Skeleton
from storybook.world.canvas import Canvas
from storybook.world.paints import Colour, Paint, rgb, shaded
from storybook.world.shapes import Pose, Shape

FUR = {"depth": 0.16, "rim": 0.13, "rim_width": 0.022}  # light on a furry part: round, soft at the rim


def fur(shape: Shape, paint: Paint | Colour, **light: Any) -> Paint:
    """The paint with light on fur (`light`: further arguments of `shaded`)."""
    return shaded(paint, shape, **FUR | light)


def paint_fur(canvas: Canvas, shape: Shape, paint: Paint | Colour, **light: Any) -> None:
    canvas.paint(shape, fur(shape, paint, **light))


def _spots(animal: Skeleton, part: str) -> list[tuple[float, float, float, float, Colour]]:
    """Round spots on the head or the body: centre and half axes in the part's coordinates, colour."""
    c, pattern = animal.coat, animal.pattern
    if pattern == "patches":
        colour, side = c.light if sum(c.main) < 1.6 else c.dark, random.Random(animal.spots).choice((-1, 1))
        if part == "head":
            return [(*animal.face(side * 0.5, -0.2), 0.46, 0.5, colour)]
        return [(side * 0.5, -0.3, 0.45, 0.4, colour), (-side * 0.75, 0.45, 0.5, 0.42, colour)]
    if part == "body":
        return []
    if pattern == "panda":
        return [(*animal.face(s * 0.44, -0.08), 0.34, 0.4, c.dark) for s in (-1, 1)]
    if pattern == "points":
        return [(*animal.face(0, 0.25), 0.62, 0.62, c.dark)]
    if pattern == "cheeks":
        return [(*animal.face(s * 0.68, 0.52), 0.72, 0.42, c.light) for s in (-1, 1)]
    if pattern == "penguin":
        return [(*animal.face(s * 0.36, 0.12), 0.46, 0.66, c.light) for s in (-1, 1)]
    return []


def coat(animal: Skeleton, pose: Pose, part: str) -> Paint:
    """The coat of the head or the body (`part`), in coordinates that ride with it."""
    c, pattern, spots = animal.coat, animal.pattern, _spots(animal, part)
    main, light, dark = rgb(c.main), rgb(c.light), rgb(c.dark)

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        colour = main
        if pattern == "gradient":
            colour = torch.lerp(main, light, ((v + 0.5) * 0.55).clamp(0, 0.8))
        elif pattern == "stripes":
            if part == "head":  # three strokes on the forehead, whiskers of stripe on the cheeks
                fx, fy = animal.face(0, -0.6)
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
            colour = torch.lerp(colour.expand(3, *f.shape), rgb(tone), (f * 7 + 0.5).clamp(0, 1))
        return colour

    return paint
