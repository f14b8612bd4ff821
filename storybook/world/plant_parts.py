"""What plants are painted with: pots, stems, leaves, blooms seen from the front and from the side, a cactus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from storybook.world.paints import LIGHT, Colour, gradient, hsv, mix, rgb, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import Point, Pose, Shape, blend, box, capsule, polyline
from storybook.world.toys import cylinder

if TYPE_CHECKING:
    from storybook.world.plants import Plant


def stem(base: Point, height: float, bend: float, n: int = 7) -> list[Point]:
    """Points along a stem of that length that leaves the ground upright and has turned by `bend` radians at its end."""
    points = [base]
    for i in range(n):
        a = bend * (i + 0.5) / n
        x, y = points[-1]
        points.append((x + math.sin(a) * height / n, y - math.cos(a) * height / n))
    return points


def paint_plant(canvas: Canvas, plant: Plant) -> None:
    ground = plant.backdrop.ground((0.3, 0.3, 0.2))
    canvas.pool((plant.x + 0.03, plant.y), 1.25 * plant.pot if plant.potted else 0.09, 0.03, ground, 0.55)
    if plant.kind == "cactus":
        _cactus(canvas, plant)
    else:
        _flower(canvas, plant)
    if plant.potted:
        _pot(canvas, plant)
    else:
        _tuft(canvas, plant)


def _pot(canvas: Canvas, plant: Plant) -> None:
    w, h, pose = plant.pot, plant.pot * 1.5, Pose((plant.x, plant.y))
    tone = hsv(plant.pot_hue, 0.5 if plant.pot_hue < 0.1 else 0.35, 0.78)

    def body(u: Tensor, v: Tensor) -> Tensor:  # narrower below: |u| <= w (0.72 - 0.2 v / h) with v from -h to 0
        return torch.maximum((u.abs() - w * (0.72 - 0.24 * v / h)) * 0.97, (v + h / 2).abs() - h / 2)

    pot = pose.place(Shape(body, (-w, -h, w, 0.0))).grow(0.004)
    canvas.paint(pot, cylinder(tone, plant.x, w))
    band = box((plant.x, plant.y - 0.62 * h), 2 * w, 0.07 * h)
    canvas.paint(band, cylinder(mix(tone, (1.0, 0.97, 0.9), 0.55), plant.x, w), clip=pot)
    rim = box((plant.x, plant.y - h), 2.24 * w, 0.32 * w, 0.05 * w)
    canvas.shadow(rim, 0.25, (0.0, 0.01), 0.005)
    canvas.paint(rim, cylinder(mix(tone, (1.0, 1.0, 1.0), 0.08), plant.x, w))


def _tuft(canvas: Canvas, plant: Plant) -> None:
    """Blades of grass about the foot of a flower in a meadow."""
    for i, a in enumerate((-0.75, -0.4, 0.45, 0.8)):
        foot = (plant.x + 0.014 * (i - 1.5), plant.y + 0.01)
        tip = (foot[0] + 0.07 * math.sin(a), foot[1] - 0.085 * math.cos(a))
        canvas.paint(capsule(foot, tip, 0.011, 0.002), hsv(0.27 + 0.01 * i, 0.6, 0.5 + 0.04 * i))


def leaf(canvas: Canvas, root: Point, angle: float, length: float, green: Colour) -> None:
    """A pointed leaf from its root along `angle` (radians from upright, clockwise), with a lighter midrib."""
    pose, half = Pose(root, angle, length), 0.24
    r = (0.25 + half * half) / (2 * half)  # two circles that meet at (0, 0) and (0, -1) and are half wide in between

    def lens(u: Tensor, v: Tensor) -> Tensor:
        return torch.sqrt((u.abs() + r - half) ** 2 + (v + 0.5) ** 2) - r

    blade = pose.place(Shape(lens, (-half, -1.0, half, 0.0)))
    side = math.cos(angle) * LIGHT[0] + math.sin(angle) * LIGHT[1]  # which half of the blade faces the light

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        fold = torch.sigmoid(u * (math.copysign(30.0, side)))
        return torch.lerp(rgb(mix(green, (0.05, 0.2, 0.2), 0.22)), rgb(mix(green, (0.9, 1.0, 0.6), 0.18)), fold) * (
            0.9 - 0.14 * v
        )

    canvas.paint(blade, paint)


def _flower(canvas: Canvas, plant: Plant) -> None:
    line, green = plant.line(), hsv(0.31 + 0.06 * math.sin(50 * plant.hue), 0.55, 0.6)
    stalk = polyline(line, 0.019, 0.014)
    canvas.paint(stalk, shaded(green, stalk, depth=0.1, rim=0.2, rim_width=0.008))
    for root, angle in plant.leaves():
        leaf(canvas, root, angle, plant.leaf, green)
    head = plant.head()
    if plant.kind in ("tulip", "lily"):
        _cup(canvas, plant, head, green)
    else:
        _disc(canvas, plant, head)


def _petals(n: int, inner: float, length: float, width: float, turn: float = 0.0) -> Shape:
    """n petals about the origin, in one go: the angle is folded into one sector. Their tips are `length` away."""
    centre, half = (inner + length) / 2, (length - inner) / 2
    sector = math.tau / n

    def sdf(u: Tensor, v: Tensor) -> Tensor:
        a = torch.remainder(torch.atan2(v, u) + turn, sector) - sector / 2
        r = torch.sqrt(u * u + v * v)
        p, q = r * torch.cos(a) - centre, r * torch.sin(a)
        p, q = p / half, q / width
        k0 = torch.sqrt(p * p + q * q)
        return (k0 - 1) * k0 / torch.sqrt((p / half) ** 2 + (q / width) ** 2).clamp_min(1e-6)

    return Shape(sdf, (-length, -length, length, length))


def _disc(canvas: Canvas, plant: Plant, head: Pose) -> None:
    """A daisy, a sunflower, an aster: two rings of petals about a dome; half closed they are short."""
    n = plant.petals
    reach = 0.6 + 0.4 * plant.open
    tone = plant.bloom()
    core = 0.46 if plant.kind == "sunflower" else 0.34 if plant.kind == "daisy" else 0.3
    width = min(2.6 / n, 0.34) * (0.8 + 0.2 * plant.open)
    canvas.shadow(head.ellipse(0, 0, 0.7 * reach), 0.2, (0.015, 0.025), 0.01)

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = head.local(x, y)
        r = torch.sqrt(u * u + v * v)
        colour = torch.lerp(rgb(mix(tone, (0.45, 0.1, 0.2), 0.3)), rgb(tone), ((r - core) / (0.55 * reach)).clamp(0, 1))
        return colour * (1.0 + 0.12 * (u * LIGHT[0] + v * LIGHT[1])) * (1 - 0.16 * torch.exp(d * 60))

    back = head.place(_petals(n, 0.1, 0.94 * reach, width, math.pi / n))
    canvas.paint(back, lambda x, y, d: paint(x, y, d) * 0.84)
    front = head.place(_petals(n, 0.1, reach, width))
    canvas.paint(front, paint)
    dome = head.ellipse(0, 0, core)
    heart = {"sunflower": (0.4, 0.24, 0.13), "daisy": (0.97, 0.76, 0.24)}.get(plant.kind, (0.96, 0.82, 0.42))
    canvas.paint(dome, shaded(heart, dome, depth=0.35, rim=0.25, rim_width=0.012))
    canvas.paint(head.ellipse(-0.1, -0.12, 0.55 * core), mix(heart, (1.0, 0.9, 0.6), 0.35), alpha=0.5, soft=0.008)


def _cup(canvas: Canvas, plant: Plant, head: Pose, green: Colour) -> None:
    """A tulip or a lily from the side: petals fan out from the end of the stem as it opens."""
    tone, spread = plant.bloom(), 0.22 + 0.85 * plant.open
    long, wide = (1.62, 0.44) if plant.kind == "tulip" else (1.75, 0.3)
    for side, depth, dark in (
        (-0.45, 0.94, 0.3),
        (0.45, 0.94, 0.34),
        (-1.0, 1.0, 0.1),
        (1.0, 1.0, 0.16),
        (0.0, 0.86, 0.0),
    ):
        a = side * spread
        at = 0.5 * long * depth
        petal = head.ellipse(at * math.sin(a), 0.7 - at * math.cos(a), wide, 0.5 * long * depth, a)
        root, tip = head(0, 0.7), head(2 * at * math.sin(a), 0.7 - 2 * at * math.cos(a))
        shade = gradient(
            mix(tone, (0.35, 0.05, 0.2), 0.35 + dark), mix(tone, (1.0, 0.95, 0.85), 0.22 - 0.5 * dark), root, tip
        )
        canvas.paint(petal, shaded(shade, petal, depth=0.14, rim=0.14, rim_width=0.012))
    cup = head.ellipse(0, 0.72, 0.22, 0.14)
    canvas.paint(cup, shaded(green, cup))


def _cactus(canvas: Canvas, plant: Plant) -> None:
    green = hsv(0.36 + 0.08 * math.sin(40 * plant.hue), 0.45, 0.6)
    w, line = plant.size * 0.62, plant.line()
    arms = plant.arms()
    trunk = capsule(line[0], line[-1], w)
    shape = blend(
        trunk,
        *(capsule(a, b, 0.5 * w, 0.48 * w) for arm in arms for a, b in zip(arm[:-1], arm[1:], strict=True)),
        k=0.3 * w,
    )
    (ax, ay), (bx, by) = line[0], line[-1]
    nx, ny = (by - ay), -(bx - ax)
    n = math.hypot(nx, ny)

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        across = ((x - ax) * nx + (y - ay) * ny) / n
        ribs = torch.cos(across * (math.tau / (0.62 * w))) * torch.sigmoid((-trunk.sdf(x, y) - 0.3 * w) * 120)
        light = 1.04 - 0.09 * across.abs() / w + 0.09 * ribs - 0.2 * torch.exp(d.clamp_max(0) / 0.012)
        return rgb(green) * (light + 0.1 * (LIGHT[0] * (x - ax) / (2 * w)).clamp(-1, 1))

    canvas.paint(shape, paint)
    head = Pose((bx, by - 0.95 * w), plant.bend, 0.65 * w)
    reach = 0.35 + 0.65 * plant.open
    tone = plant.bloom()
    for a in (-1.0, 1.0, -0.45, 0.45, 0.0):
        petal = head.ellipse(
            0.75 * reach * math.sin(a * 1.2), -0.75 * reach * math.cos(a * 1.2) + 0.2, 0.3, 0.72 * reach, a * 1.2
        )
        canvas.paint(
            petal, shaded(mix(tone, (1.0, 1.0, 1.0), 0.12 * (1 - abs(a))), petal, depth=0.2, rim=0.2, rim_width=0.006)
        )
