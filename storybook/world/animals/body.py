"""How an animal is painted, back to front: tail, body, ears; its face is in `face`."""

import math

import torch
from torch import Tensor

from storybook.world.animals.coat import coat, fur, paint_fur
from storybook.world.animals.face import paint_face, paint_head
from storybook.world.animals.skeleton import Skeleton
from storybook.world.canvas import Canvas
from storybook.world.faces import PINK, SIDES, dimmed
from storybook.world.paints import mix, shaded
from storybook.world.shapes import Point, Shape, blend, capsule, polyline

BELLIES = ("belly", "cheeks", "penguin", "scallops", "panda", "points", "mane", "stripes")


def paint_animal(canvas: Canvas, animal: Skeleton) -> None:
    _tail(canvas, animal)
    _body(canvas, animal)
    if animal.pattern == "mane":
        _mane(canvas, animal)
    hanging = animal.breed.ear.kind == "flop"  # in front of the head
    if not hanging:
        _ears(canvas, animal)
    paint_head(canvas, animal)
    if hanging:
        _ears(canvas, animal)
    paint_face(canvas, animal)


def _tail(canvas: Canvas, animal: Skeleton) -> None:
    body, c, kind, mouse = animal.body_pose, animal.coat, animal.breed.tail, animal.kind == "mouse"
    s, points = body.scale, animal.tail()
    if kind in ("thin", "tuft"):
        line = polyline([body(*p) for p in points], 0.07 * s if mouse else 0.12 * s, 0.07 * s)
        canvas.solid(line, mix(c.main, PINK, 0.55) if mouse else c.main, rim_width=0.01)
        if kind == "tuft":
            canvas.solid(body.ellipse(*points[-1], 0.19), c.dark)
    elif kind == "bushy":
        low, middle = body.capsule(points[0], points[3], 0.14, 0.3), body.capsule(points[3], points[6], 0.3, 0.32)
        brush = blend(low, middle, body.capsule(points[6], points[9], 0.32, 0.1), k=0.1 * s)
        paint_fur(canvas, brush, c.main)
        canvas.paint(body.ellipse(*points[9], 0.46), fur(brush, c.light), clip=brush)
    elif kind == "puff":
        canvas.solid(body.ellipse(0.95, 0.72, 0.3), c.light)
    elif kind == "curl":
        canvas.paint(body.arc(1.0, 0.5, 0.18, 0.06, 2.5, 1.2), c.dark)


def _body(canvas: Canvas, animal: Skeleton) -> None:
    body, c, pattern = animal.body_pose, animal.coat, animal.pattern
    s, bird, (wide, tall) = body.scale, animal.is_bird, animal.breed.head
    canvas.paint(body.ellipse(0.12, 1.22, 1.25, 0.2), animal.backdrop.ground(c.main), alpha=0.4, soft=0.01)
    if bird:  # no neck: the head sits on the body
        neck, feet = body.capsule((0.0, -0.5), (0.0, -0.3), 0.62), (0.95, 0.62, 0.22)
    else:
        neck = capsule(body(0, -0.45), animal.head_pose.centre, 0.6 * s, 0.55 * animal.head)
        feet = c.dark if pattern in ("cheeks", "panda") else mix(c.main, c.light, 0.35)
    shape = blend(body.ellipse(0, -0.05, 0.8, 1.0), body.ellipse(0, 0.5, 0.98, 0.72), neck, k=0.3 * s)
    for side in (-1, 1):
        canvas.solid(body.ellipse(side * 0.58, 1.12, 0.36, 0.19), feet, rim_width=0.012)
    under = animal.head_pose.ellipse(0.06, 0.2, wide * 0.9, tall * 0.95)
    canvas.paint(shape, dimmed(fur(shape, coat(animal, body, "body"), grain=0.06), under, 0.3, 0.014))
    if pattern in BELLIES:
        tone = mix(c.main, c.light, 0.35) if pattern == "panda" else c.light
        belly = body.ellipse(0, 0.3, 0.62 if pattern == "penguin" else 0.5, 0.86)
        canvas.paint(belly, shaded(tone, belly, depth=0.1, rim=0.02), alpha=0.92, soft=0.006)
    for _, side in SIDES:
        if bird:
            wing = body.capsule(*animal.wing(side), 0.26, 0.13)
            canvas.shadow(wing, 0.22, (0.006, 0.012), 0.008)
            paint_fur(canvas, wing, mix(c.main, c.dark, 0.35))
        else:
            leg = body.capsule((side * 0.34, 0.25), (side * 0.32, 1.02), 0.2, 0.21)
            canvas.shadow(leg, 0.16, (0.004, 0.008), 0.01)
            paint_fur(canvas, leg, c.dark if pattern in ("cheeks", "panda", "points") else c.main, rim_width=0.012)


def _mane(canvas: Canvas, animal: Skeleton) -> None:
    pose = animal.head_pose
    disc = pose.ellipse(0, 0.08, 1.36, 1.34)

    def ruffled(x: Tensor, y: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        return disc.sdf(x, y) + 0.05 * pose.scale * torch.cos(14.0 * torch.atan2(v, u))

    paint_fur(canvas, Shape(ruffled, disc.grow(0.05 * pose.scale).box), animal.coat.dark, depth=0.2)


def _ears(canvas: Canvas, animal: Skeleton) -> None:
    head, ear, c, pattern = animal.head_pose, animal.breed.ear, animal.coat, animal.pattern
    dark = pattern in ("panda", "points")
    outer = c.dark if dark or (ear.kind == "flop" and pattern != "plain") else c.main
    inner = mix(c.dark, PINK, 0.25) if dark else mix(c.light, PINK, 0.6)
    for _, side in SIDES if ear.kind != "none" else ():
        if ear.kind == "flop":
            root, tip = animal.ear(side)
            flap = head.capsule(root, _between(root, tip, 0.8), ear.width, 1.5 * ear.width)
            canvas.shadow(flap, 0.22, (0.006, 0.012), 0.01)
            paint_fur(canvas, flap, mix(outer, c.dark, 0.35), rim_width=0.014)
            continue
        shape, inside = _ear(animal, side)
        paint_fur(canvas, shape, outer, rim_width=0.014)
        if ear.kind == "tuft":
            continue
        if animal.kind == "fox":
            canvas.paint(head.ellipse(*animal.ear(side)[1], 0.34), fur(shape, c.dark), clip=shape)
        canvas.paint(inside, inner, alpha=0.9, soft=0.003)


def _ear(animal: Skeleton, side: int) -> tuple[Shape, Shape]:
    """An ear that stands, and its inside."""
    head, kind, w, (root, tip) = animal.head_pose, animal.breed.ear.kind, animal.breed.ear.width, animal.ear(side)
    dx, dy = tip[0] - root[0], tip[1] - root[1]
    lean, length = math.atan2(dx, -dy), math.hypot(dx, dy)
    near, middle, high = (_between(root, tip, t) for t in (0.05, 0.5, 0.55))
    if kind == "long":
        return head.ellipse(*middle, w, 0.55 * length, lean), head.ellipse(*high, 0.55 * w, 0.4 * length, lean)
    if kind == "round":
        return head.ellipse(*middle, w), head.ellipse(*high, 0.64 * w)
    if kind == "fan":
        angle, hollow = lean + 1.35 * side, _between(root, tip, 0.52)
        outside = head.ellipse(*middle, 0.62 * w + 0.1, 0.78 * w + 0.22, angle)
        return outside, head.ellipse(*hollow, 0.42 * w + 0.06, 0.56 * w + 0.14, angle)
    outside = head.capsule(_between(root, tip, -0.1), _between(root, tip, 0.94), w, 0.06)
    return outside, head.capsule(near, _between(root, tip, 0.7), 0.6 * w, 0.04)


def _between(a: Point, b: Point, t: float) -> Point:
    return a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])
