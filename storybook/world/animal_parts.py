"""How an animal is painted, back to front: tail, body, ears; its face is in animal_face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from storybook.world.animal_coats import coat, fur
from storybook.world.animal_face import paint_face, paint_head
from storybook.world.animal_rig import Rig
from storybook.world.figure import PINK, SIDES, dimmed
from storybook.world.paints import mix, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import Shape, blend, capsule, polyline

if TYPE_CHECKING:
    from storybook.world.animals import Animal


def paint_animal(canvas: Canvas, animal: Animal) -> None:
    rig = Rig(animal)
    _tail(canvas, rig)
    _body(canvas, rig)
    if animal.pattern == "mane":
        _mane(canvas, rig)
    if rig.breed.ear != "flop":
        _ears(canvas, rig)
    paint_head(canvas, rig)
    if rig.breed.ear == "flop":
        _ears(canvas, rig)
    paint_face(canvas, rig)


def _tail(canvas: Canvas, rig: Rig) -> None:
    body, c, kind = rig.body, rig.animal.coat, rig.breed.tail
    s = body.scale
    line = [body(*p) for p in rig.tail()]
    if kind in ("thin", "tuft"):
        tone = mix(c.main, PINK, 0.55) if rig.animal.kind == "mouse" else c.main
        shape = polyline(line, 0.12 * s if rig.animal.kind != "mouse" else 0.07 * s, 0.07 * s)
        canvas.paint(shape, shaded(tone, shape, rim_width=0.01))
        if kind == "tuft":
            canvas.paint(tip := body.ellipse(*rig.tail()[-1], 0.19), shaded(c.dark, tip))
    elif kind == "bushy":
        points = rig.tail()
        shape = blend(body.capsule(points[0], points[3], 0.14, 0.3), body.capsule(points[3], points[6], 0.3, 0.32),
                      body.capsule(points[6], points[9], 0.32, 0.1), k=0.1 * s)  # fmt: skip
        canvas.paint(shape, fur(shape, c.main))
        canvas.paint(body.ellipse(*points[9], 0.46), fur(shape, c.light), clip=shape)
    elif kind == "puff":
        canvas.paint(puff := body.ellipse(0.95, 0.72, 0.3), shaded(c.light, puff))
    elif kind == "curl":
        canvas.paint(body.arc(1.0, 0.5, 0.18, 0.06, 2.5, 1.2), c.dark)


def _body(canvas: Canvas, rig: Rig) -> None:
    animal, body, breed, c = rig.animal, rig.body, rig.breed, rig.animal.coat
    s, bird = body.scale, rig.breed.nose_kind in ("beak", "bill")
    canvas.paint(body.ellipse(0.12, 1.22, 1.25, 0.2), animal.backdrop.ground(c.main), alpha=0.4, soft=0.01)
    hx, hy = rig.head.centre
    neck = body.capsule((0.0, -0.5), (0.0, -0.3), 0.62)  # birds have none: the head sits on the body
    if not bird:
        neck = capsule(body(0, -0.45), (hx, hy), 0.6 * s, 0.55 * animal.head)
    shape = blend(body.ellipse(0, -0.05, 0.8, 1.0), body.ellipse(0, 0.5, 0.98, 0.72), neck, k=0.3 * s)
    feet_tone = c.dark if animal.pattern in ("cheeks", "panda") else mix(c.main, c.light, 0.35)
    if bird:
        feet_tone = (0.95, 0.62, 0.22)
    for side in (-1, 1):
        foot = body.ellipse(side * 0.58, 1.12, 0.36, 0.19)
        canvas.paint(foot, shaded(feet_tone, foot, rim_width=0.012))
    under = rig.head.ellipse(0.06, 0.2, breed.head[0] * 0.9, breed.head[1] * 0.95)
    hide = fur(shape, coat(animal, body, rig, "body"), grain=0.06)
    canvas.paint(shape, dimmed(hide, under, 0.3, 0.014))
    if animal.pattern in ("belly", "cheeks", "penguin", "scallops", "panda", "points", "mane", "stripes"):
        tone = mix(c.main, c.light, 0.35) if animal.pattern == "panda" else c.light
        belly = body.ellipse(0, 0.3, 0.62 if animal.pattern == "penguin" else 0.5, 0.86)
        canvas.paint(belly, shaded(tone, belly, depth=0.1, rim=0.02), alpha=0.92, soft=0.006)
    for _, side in SIDES:
        if bird:
            a, b = rig.wing(side)
            wing = body.capsule(a, b, 0.26, 0.13)
            canvas.shadow(wing, 0.22, (0.006, 0.012), 0.008)
            canvas.paint(wing, fur(wing, mix(c.main, c.dark, 0.35)))
        else:
            tone = c.dark if animal.pattern in ("cheeks", "panda", "points") else c.main
            leg = body.capsule((side * 0.34, 0.25), (side * 0.32, 1.02), 0.2, 0.21)
            canvas.shadow(leg, 0.16, (0.004, 0.008), 0.01)
            canvas.paint(leg, fur(leg, tone, rim_width=0.012))


def _mane(canvas: Canvas, rig: Rig) -> None:
    c = rig.animal.coat
    shape = rig.head.ellipse(0, 0.08, 1.36, 1.34)
    base = shape.sdf
    pose = rig.head

    def ruffled(x: Tensor, y: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        return base(x, y) + 0.05 * pose.scale * torch.cos(14.0 * torch.atan2(v, u))

    shape = Shape(ruffled, shape.grow(0.05 * pose.scale).box)
    canvas.paint(shape, fur(shape, c.dark, depth=0.2))


def _ears(canvas: Canvas, rig: Rig) -> None:
    animal, head, breed, c = rig.animal, rig.head, rig.breed, rig.animal.coat
    if breed.ear == "none":
        return
    w = breed.ear_width
    pattern = animal.pattern
    outer = c.dark if pattern in ("panda", "points") or (breed.ear == "flop" and pattern != "plain") else c.main
    inner = mix(c.light, PINK, 0.6) if pattern not in ("panda", "points") else mix(c.dark, PINK, 0.25)
    for _, side in SIDES:
        root, tip = rig.ear(side)
        at = lambda t, a=root, b=tip: (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))  # noqa: E731
        lean = math.atan2(tip[0] - root[0], root[1] - tip[1])
        if breed.ear in ("cone", "fold", "tuft"):
            shape = head.capsule(at(-0.1), at(0.94), w, 0.06)
            inside = head.capsule(at(0.05), at(0.7), 0.6 * w, 0.04)
        elif breed.ear == "long":
            length = math.hypot(tip[0] - root[0], tip[1] - root[1])
            shape = head.ellipse(*at(0.5), w, 0.55 * length, lean)
            inside = head.ellipse(*at(0.55), 0.55 * w, 0.4 * length, lean)
        elif breed.ear == "round":
            shape = head.ellipse(*at(0.5), w)
            inside = head.ellipse(*at(0.55), 0.64 * w)
        elif breed.ear == "fan":
            shape = head.ellipse(*at(0.5), 0.62 * w + 0.1, 0.78 * w + 0.22, lean + 1.35 * side)
            inside = head.ellipse(*at(0.52), 0.42 * w + 0.06, 0.56 * w + 0.14, lean + 1.35 * side)
        else:
            shape, inside = head.capsule(root, at(0.8), w, 1.5 * w), None
            canvas.shadow(shape, 0.22, (0.006, 0.012), 0.01)
        canvas.paint(shape, fur(shape, mix(outer, c.dark, 0.35) if breed.ear == "flop" else outer, rim_width=0.014))
        if breed.ear == "tuft" or inside is None:
            continue
        if animal.kind == "fox":
            canvas.paint(head.ellipse(*tip, 0.34), fur(shape, c.dark), clip=shape)
        canvas.paint(inside, inner, alpha=0.9, soft=0.003)
