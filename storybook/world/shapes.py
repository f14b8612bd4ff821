"""Shapes as signed distances, and poses that put them into the picture.

Everything lives in the unit square: x to the right, y down, (0, 0) the top left corner of the picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A signed distance `sdf(x, y)` (negative inside, in picture sides) and the box (x0, y0, x1, y1) around it."""

    sdf: Callable[[Tensor, Tensor], Tensor]
    box: tuple[float, float, float, float]

    def __or__(self, other: "Shape") -> "Shape":
        return Shape(lambda x, y: torch.minimum(self.sdf(x, y), other.sdf(x, y)), _hull(self.box, other.box))

    def __and__(self, other: "Shape") -> "Shape":
        a, b = self.box, other.box
        box = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
        return Shape(lambda x, y: torch.maximum(self.sdf(x, y), other.sdf(x, y)), box)

    def __sub__(self, other: "Shape") -> "Shape":
        return Shape(lambda x, y: torch.maximum(self.sdf(x, y), -other.sdf(x, y)), self.box)

    def grow(self, r: float) -> "Shape":
        """The shape with its outline moved outwards by r (inwards if negative)."""
        x0, y0, x1, y1 = self.box
        return Shape(lambda x, y: self.sdf(x, y) - r, (x0 - r, y0 - r, x1 + r, y1 + r))

    def shift(self, dx: float, dy: float) -> "Shape":
        x0, y0, x1, y1 = self.box
        return Shape(lambda x, y: self.sdf(x - dx, y - dy), (x0 + dx, y0 + dy, x1 + dx, y1 + dy))


def _hull(*boxes: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def blend(*shapes: Shape, k: float = 0.02) -> Shape:
    """Union whose seams are rounded over a width of about k (polynomial smooth minimum)."""

    def sdf(x: Tensor, y: Tensor) -> Tensor:
        d = shapes[0].sdf(x, y)
        for shape in shapes[1:]:
            e = shape.sdf(x, y)
            h = (0.5 + 0.5 * (e - d) / k).clamp(0, 1)
            d = torch.lerp(e, d, h) - k * h * (1 - h)
        return d

    x0, y0, x1, y1 = _hull(*(s.box for s in shapes))
    return Shape(sdf, (x0 - k, y0 - k, x1 + k, y1 + k))


def ellipse(centre: Point, rx: float, ry: float | None = None, angle: float = 0.0) -> Shape:
    """An ellipse with half axes rx, ry (without ry: a circle), turned by `angle` radians (positive: clockwise)."""
    ry = rx if ry is None else ry
    cx, cy = centre
    c, s = math.cos(angle), math.sin(angle)
    ex, ey = math.hypot(rx * c, ry * s), math.hypot(rx * s, ry * c)

    def sdf(x: Tensor, y: Tensor) -> Tensor:
        dx, dy = x - cx, y - cy
        if rx == ry:
            return torch.sqrt(dx * dx + dy * dy) - rx
        # First-order distance: f / |grad f| with f = sqrt((u/rx)^2 + (v/ry)^2) - 1. On whole rows and columns (upright
        # ellipses) the squares stay vectors: this is the shape drawn most.
        u, v = (dx / rx, dy / ry) if angle == 0 else (dx * (c / rx) + dy * (s / rx), dy * (c / ry) - dx * (s / ry))
        u, v = u * u, v * v
        k0 = torch.sqrt(u + v)
        k1 = torch.sqrt(u * (1 / rx**2) + v * (1 / ry**2)).clamp_min_(1e-6)
        return (k0 - 1).mul_(k0).div_(k1)

    return Shape(sdf, (cx - ex, cy - ey, cx + ex, cy + ey))


def box(centre: Point, w: float, h: float, r: float = 0.0, angle: float = 0.0) -> Shape:
    """A w x h rectangle with corners rounded to radius r, turned by `angle` radians about its centre."""
    cx, cy = centre
    c, s = math.cos(angle), math.sin(angle)
    a, b = w / 2, h / 2
    ex, ey = abs(a * c) + abs(b * s), abs(a * s) + abs(b * c)

    def sdf(x: Tensor, y: Tensor) -> Tensor:
        u = ((x - cx) * c + (y - cy) * s).abs() - (a - r)
        v = ((y - cy) * c - (x - cx) * s).abs() - (b - r)
        return torch.sqrt(u.clamp_min(0) ** 2 + v.clamp_min(0) ** 2) + torch.maximum(u, v).clamp_max(0) - r

    return Shape(sdf, (cx - ex, cy - ey, cx + ex, cy + ey))


def capsule(a: Point, b: Point, ra: float, rb: float | None = None) -> Shape:
    """A thick segment from a to b whose radius goes from ra to rb."""
    rb = ra if rb is None else rb
    (ax, ay), dx, dy = a, b[0] - a[0], b[1] - a[1]
    n = max(dx * dx + dy * dy, 1e-9)

    def sdf(x: Tensor, y: Tensor) -> Tensor:
        px, py = x - ax, y - ay
        h = ((px * dx + py * dy) / n).clamp(0, 1)
        return torch.sqrt((px - dx * h) ** 2 + (py - dy * h) ** 2) - (ra + (rb - ra) * h)

    return Shape(sdf, _hull((ax - ra, ay - ra, ax + ra, ay + ra), (b[0] - rb, b[1] - rb, b[0] + rb, b[1] + rb)))


def polyline(points: Sequence[Point], r: float, tip: float | None = None) -> Shape:
    """A stroke of radius r (narrowing to `tip` at its end) along the points."""
    n = len(points) - 1
    radii = [r + ((r if tip is None else tip) - r) * i / n for i in range(n + 1)]
    shape = capsule(points[0], points[1], radii[0], radii[1])
    for i in range(1, n):
        shape = shape | capsule(points[i], points[i + 1], radii[i], radii[i + 1])
    return shape


def polygon(points: Sequence[Point], r: float = 0.0) -> Shape:
    """A simple polygon, its outline moved outwards by r with round corners (Quilez' exact distance)."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]

    def sdf(x: Tensor, y: Tensor) -> Tensor:
        x, y = torch.broadcast_tensors(x, y)
        best, sign = torch.full_like(x, 1e9), torch.ones_like(x)
        for i in range(len(points)):
            (ax, ay), (bx, by) = points[i], points[i - 1]
            ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
            h = ((wx * ex + wy * ey) / max(ex * ex + ey * ey, 1e-9)).clamp(0, 1)
            best = torch.minimum(best, (wx - ex * h) ** 2 + (wy - ey * h) ** 2)
            up, down, left = y >= ay, y < by, ex * wy > ey * wx
            sign = torch.where((up & down & left) | ~(up | down | left), -sign, sign)
        return sign * best.sqrt() - r

    return Shape(sdf, (min(xs) - r, min(ys) - r, max(xs) + r, max(ys) + r))


def arc(centre: Point, radius: float, width: float, half: float, angle: float = 0.0) -> Shape:
    """A curved stroke of radius `width`: the part of a circle within `half` radians of its lowest point (turned by
    `angle`), with round ends; a smile. A negative `radius` bends it the other way, about the same end of the circle."""
    (cx, cy), c, s = centre, math.cos(angle), math.sin(angle)
    sin, cos = math.sin(half), math.cos(half)
    flip, r = (1.0, radius) if radius >= 0 else (-1.0, -radius)

    def sdf(x: Tensor, y: Tensor) -> Tensor:
        u, v = ((x - cx) * c + (y - cy) * s).abs(), ((y - cy) * c - (x - cx) * s) * flip
        ends = torch.sqrt((u - sin * r) ** 2 + (v - cos * r) ** 2)
        return torch.where(cos * u > sin * v, ends, (torch.sqrt(u * u + v * v) - r).abs()) - width

    e = r + width
    return Shape(sdf, (cx - e, cy - e, cx + e, cy + e))


def below(height: Callable[[Tensor], Tensor], top: float) -> Shape:
    """Everything below the curve y = height(x) (hills, ground, water); `top` bounds the curve from above."""
    return Shape(lambda x, y: height(x) - y, (0.0, top, 1.0, 1.0))


def level(top: float) -> Shape:
    """Everything below the height `top`: a floor, the sea, or with 0 the whole picture."""
    return below(lambda x: top + 0 * x, top)


def rolling(top: float, swing: float, phase: float, freq: float) -> Callable[[Tensor], Tensor]:
    """A rolling line about the height `top`, for `below`: height as a function of x."""
    return lambda x: top + swing * torch.sin(x * freq + phase) + 0.3 * swing * torch.sin(x * freq * 2.3 + 2 * phase)


@dataclass(frozen=True)
class Pose:
    """Rotation by `angle` and scaling about the origin of a part, then a shift to `centre`: local -> picture."""

    centre: Point
    angle: float = 0.0
    scale: float = 1.0

    def __call__(self, x: float, y: float) -> Point:
        c, s = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        return self.centre[0] + c * x - s * y, self.centre[1] + s * x + c * y

    def local(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Picture coordinates -> the part's own (the inverse of calling the pose), for patterns that ride along."""
        c, s = math.cos(self.angle) / self.scale, math.sin(self.angle) / self.scale
        x, y = x - self.centre[0], y - self.centre[1]
        return x * c + y * s, y * c - x * s

    def ellipse(self, x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0) -> Shape:
        """An ellipse given in local coordinates (cheaper than `place`: no transform at every pixel)."""
        ry = rx if ry is None else ry
        return ellipse(self(x, y), rx * self.scale, ry * self.scale, self.angle + angle)

    def capsule(self, a: Point, b: Point, ra: float, rb: float | None = None) -> Shape:
        """A thick segment given in local coordinates."""
        return capsule(self(*a), self(*b), ra * self.scale, (ra if rb is None else rb) * self.scale)

    def box(self, x: float, y: float, w: float, h: float, r: float = 0.0, angle: float = 0.0) -> Shape:
        """A rectangle given in local coordinates."""
        k = self.scale
        return box(self(x, y), w * k, h * k, r * k, self.angle + angle)

    def polygon(self, points: Sequence[Point], r: float = 0.0) -> Shape:
        """A polygon given in local coordinates, `r` too."""
        return polygon([self(*point) for point in points], r * self.scale)

    def arc(self, x: float, y: float, radius: float, width: float, half: float, angle: float = 0.0) -> Shape:
        """A curved stroke given in local coordinates."""
        return arc(self(x, y), radius * self.scale, width * self.scale, half, self.angle + angle)

    def place(self, shape: Shape) -> Shape:
        """A shape given in local coordinates, put into the picture."""
        x0, y0, x1, y1 = shape.box
        corners = [self(x, y) for x in (x0, x1) for y in (y0, y1)]
        return Shape(
            lambda x, y: shape.sdf(*self.local(x, y)) * self.scale, _hull(*((px, py, px, py) for px, py in corners))
        )
