"""What plants are painted with: pots, stems, leaves, blooms seen from the front and from the side, a cactus."""

import math

import torch
from torch import Tensor

from storybook.world.canvas import Canvas
from storybook.world.paints import LIGHT, Colour, cylinder, gradient, hsv, mix, rgb
from storybook.world.shapes import Point, Pose, Shape, blend, box, capsule

WHITE = (1.0, 1.0, 1.0)


def stem(base: Point, height: float, bend: float, n: int = 7) -> list[Point]:
    """Points along a stem of that length that leaves the ground upright and has turned by `bend` radians at its end."""
    points = [base]
    for i in range(n):
        a = bend * (i + 0.5) / n
        x, y = points[-1]
        points.append((x + math.sin(a) * height / n, y - math.cos(a) * height / n))
    return points


def pot(canvas: Canvas, foot: Point, w: float, hue: float) -> None:
    """A flower pot with half width w at its rim."""
    (x, y), h = foot, w * 1.5
    tone = hsv(hue, 0.5 if hue < 0.1 else 0.35, 0.78)

    def body(u: Tensor, v: Tensor) -> Tensor:  # narrower below: |u| <= w (0.72 - 0.2 v / h) with v from -h to 0
        return torch.maximum((u.abs() - w * (0.72 - 0.24 * v / h)) * 0.97, (v + h / 2).abs() - h / 2)

    pot = Pose(foot).place(Shape(body, (-w, -h, w, 0.0))).grow(0.004)
    canvas.paint(pot, cylinder(tone, x, w))
    canvas.paint(box((x, y - 0.62 * h), 2 * w, 0.07 * h), cylinder(mix(tone, (1.0, 0.97, 0.9), 0.55), x, w), clip=pot)
    rim = box((x, y - h), 2.24 * w, 0.32 * w, 0.05 * w)
    canvas.shadow(rim, 0.25, (0.0, 0.01), 0.005)
    canvas.paint(rim, cylinder(mix(tone, WHITE, 0.08), x, w))


def tuft(canvas: Canvas, x: float, y: float) -> None:
    """Blades of grass about the foot of a flower in a meadow."""
    for i, a in enumerate((-0.75, -0.4, 0.45, 0.8)):
        foot = (x + 0.014 * (i - 1.5), y + 0.01)
        tip = (foot[0] + 0.07 * math.sin(a), foot[1] - 0.085 * math.cos(a))
        canvas.paint(capsule(foot, tip, 0.011, 0.002), hsv(0.27 + 0.01 * i, 0.6, 0.5 + 0.04 * i))


def leaf(canvas: Canvas, root: Point, angle: float, length: float, green: Colour) -> None:
    """A pointed leaf from its root along `angle` (radians from upright, clockwise), with a lighter midrib."""
    pose, half = Pose(root, angle, length), 0.24
    r = (0.25 + half * half) / (2 * half)  # two circles that meet at (0, 0) and (0, -1) and are half wide in between

    def lens(u: Tensor, v: Tensor) -> Tensor:
        return torch.sqrt((u.abs() + r - half) ** 2 + (v + 0.5) ** 2) - r

    side = math.cos(angle) * LIGHT[0] + math.sin(angle) * LIGHT[1]  # which half of the blade faces the light
    dark, light = rgb(mix(green, (0.05, 0.2, 0.2), 0.22)), rgb(mix(green, (0.9, 1.0, 0.6), 0.18))

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        fold = torch.sigmoid(u * (math.copysign(30.0, side)))
        return torch.lerp(dark, light, fold) * (0.9 - 0.14 * v)

    canvas.paint(pose.place(Shape(lens, (-half, -1.0, half, 0.0))), paint)


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


def disc(canvas: Canvas, head: Pose, kind: str, petals: int, tone: Colour, opened: float) -> None:
    """A daisy, a sunflower, an aster: two rings of petals about a dome; half closed they are short."""
    reach = 0.6 + 0.4 * opened
    core = {"sunflower": 0.46, "daisy": 0.34}.get(kind, 0.3)
    width = min(2.6 / petals, 0.34) * (0.8 + 0.2 * opened)
    canvas.shadow(head.ellipse(0, 0, 0.7 * reach), 0.2, (0.015, 0.025), 0.01)

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = head.local(x, y)
        r = torch.sqrt(u * u + v * v)
        colour = torch.lerp(rgb(mix(tone, (0.45, 0.1, 0.2), 0.3)), rgb(tone), ((r - core) / (0.55 * reach)).clamp(0, 1))
        return colour * (1.0 + 0.12 * (u * LIGHT[0] + v * LIGHT[1])) * (1 - 0.16 * torch.exp(d * 60))

    back = head.place(_petals(petals, 0.1, 0.94 * reach, width, math.pi / petals))
    canvas.paint(back, lambda x, y, d: paint(x, y, d) * 0.84)
    canvas.paint(head.place(_petals(petals, 0.1, reach, width)), paint)
    heart = {"sunflower": (0.4, 0.24, 0.13), "daisy": (0.97, 0.76, 0.24)}.get(kind, (0.96, 0.82, 0.42))
    canvas.solid(head.ellipse(0, 0, core), heart, depth=0.35, rim=0.25, rim_width=0.012)
    canvas.paint(head.ellipse(-0.1, -0.12, 0.55 * core), mix(heart, (1.0, 0.9, 0.6), 0.35), alpha=0.5, soft=0.008)


def cup(canvas: Canvas, head: Pose, kind: str, tone: Colour, opened: float, green: Colour) -> None:
    """A tulip or a lily from the side: petals fan out from the end of the stem as it opens."""
    spread, (long, wide) = 0.22 + 0.85 * opened, (1.62, 0.44) if kind == "tulip" else (1.75, 0.3)
    petals = ((-0.45, 0.94, 0.3), (0.45, 0.94, 0.34), (-1.0, 1.0, 0.1), (1.0, 1.0, 0.16), (0.0, 0.86, 0.0))
    for side, depth, dark in petals:
        a = side * spread
        at = 0.5 * long * depth
        petal = head.ellipse(at * math.sin(a), 0.7 - at * math.cos(a), wide, 0.5 * long * depth, a)
        root, tip = head(0, 0.7), head(2 * at * math.sin(a), 0.7 - 2 * at * math.cos(a))
        low, high = mix(tone, (0.35, 0.05, 0.2), 0.35 + dark), mix(tone, (1.0, 0.95, 0.85), 0.22 - 0.5 * dark)
        canvas.solid(petal, gradient(low, high, root, tip), depth=0.14, rim=0.14, rim_width=0.012)
    canvas.solid(head.ellipse(0, 0.72, 0.22, 0.14), green)


def cactus(canvas: Canvas, line: list[Point], arms: list[list[Point]], w: float, green: Colour) -> None:
    """A ribbed trunk along `line` (foot and top) with half width w, and its arms."""
    (ax, ay), (bx, by) = line
    trunk = capsule(*line, w)
    limbs = (capsule(a, b, 0.5 * w, 0.48 * w) for arm in arms for a, b in zip(arm[:-1], arm[1:], strict=True))
    nx, ny = (by - ay), -(bx - ax)
    n = math.hypot(nx, ny)

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        across = ((x - ax) * nx + (y - ay) * ny) / n
        ribs = torch.cos(across * (math.tau / (0.62 * w))) * torch.sigmoid((-trunk.sdf(x, y) - 0.3 * w) * 120)
        light = 1.04 - 0.09 * across.abs() / w + 0.09 * ribs - 0.2 * torch.exp(d.clamp_max(0) / 0.012)
        return rgb(green) * (light + 0.1 * (LIGHT[0] * (x - ax) / (2 * w)).clamp(-1, 1))

    canvas.paint(blend(trunk, *limbs, k=0.3 * w), paint)


def cactus_bloom(canvas: Canvas, head: Pose, tone: Colour, opened: float) -> None:
    """The flower on top of a cactus."""
    reach = 0.35 + 0.65 * opened
    for a in (-1.0, 1.0, -0.45, 0.45, 0.0):
        x, y = 0.75 * reach * math.sin(a * 1.2), -0.75 * reach * math.cos(a * 1.2) + 0.2
        petal = head.ellipse(x, y, 0.3, 0.72 * reach, a * 1.2)
        canvas.solid(petal, mix(tone, WHITE, 0.12 * (1 - abs(a))), depth=0.2, rim=0.2, rim_width=0.006)
