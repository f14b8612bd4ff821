"""How a person is painted, back to front: hair, shoulders, head, hat; the face is in portrait_face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from storybook.world.bust import TALL, WIDE, Bust
from storybook.world.figure import INK, dimmed
from storybook.world.paints import Colour, Paint, flat, mix, rgb, shaded
from storybook.world.portrait_face import paint_features
from storybook.world.render import Canvas
from storybook.world.shapes import Pose, Shape, blend, capsule

if TYPE_CHECKING:
    from storybook.world.portraits import Person

HAIR = ("short", "short", "bob", "long", "bun", "curly", "pigtails", "bald")


def paint_person(canvas: Canvas, person: Person) -> None:
    bust = Bust(person)
    _hair_behind(canvas, bust)
    _shoulders(canvas, bust)
    _head(canvas, bust)
    _hair_front(canvas, bust)
    paint_features(canvas, bust)
    if person.hat != "none":
        _hat(canvas, bust)


def _soft(shape: Shape, paint: Paint | Colour, **more: float) -> Paint:
    return shaded(paint, shape, **({"depth": 0.14, "rim": 0.12, "rim_width": 0.018} | more))


def _strands(bust: Bust) -> Paint:
    """Hair: the colour with a faint sheen and strands that run down."""
    pose, colour = bust.head, rgb(bust.person.hair_colour)

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        sheen = 0.14 * torch.exp(-((v + 0.75 + 0.3 * u * u) ** 2) * 18) + 0.05 * torch.sin(u * 26 + 2 * v)
        return colour * (1 + sheen) + 0.3 * sheen.clamp_min(0)

    return paint


def _ruffled(shape: Shape, pose: Pose, size: float, n: int) -> Shape:
    def sdf(x: Tensor, y: Tensor) -> Tensor:
        u, v = pose.local(x, y)
        return shape.sdf(x, y) - size * pose.scale * torch.cos(n * torch.atan2(v, u)).abs()

    return Shape(sdf, shape.grow(size * pose.scale).box)


def _hair_behind(canvas: Canvas, bust: Bust) -> None:
    p, head = bust.person, bust.head
    if p.hair == "bald":
        return
    back = head.ellipse(0, -0.12, 0.96, 0.98)
    if p.hair == "bob":
        back = blend(head.ellipse(0, -0.05, 1.04, 1.06), head.box(0, 0.4, 2.0, 0.9, 0.3), k=0.1 * head.scale)
    elif p.hair == "long":
        sides = [head.capsule(*bust.tress(side), 0.34, 0.26) for side in (-1, 1)]
        back = blend(head.ellipse(0, -0.08, 1.04, 1.06), *sides, head.box(0, 0.35, 1.5, 0.9, 0.2), k=0.1 * head.scale)
    elif p.hair == "curly":
        back = _ruffled(head.ellipse(0, -0.12, 1.12, 1.08), head, 0.14, 7)
    elif p.hair == "pigtails":
        for side in (-1, 1):
            a, b = bust.tress(side)
            tail = blend(head.capsule(a, b, 0.2, 0.26), head.ellipse(*a, 0.2), k=0.05 * head.scale)
            canvas.paint(tail, _soft(tail, _strands(bust)))
    elif p.hair == "bun" and p.hat == "none":
        canvas.paint(bun := head.ellipse(0.05, -1.1, 0.4), _soft(bun, _strands(bust)))
    canvas.paint(back, _soft(back, _strands(bust), depth=0.1))


def _shoulders(canvas: Canvas, bust: Bust) -> None:
    p, chest, s = bust.person, bust.chest, bust.chest.scale
    collar = chest.ellipse(0, 0.15, 0.5, 0.32)
    body = blend(chest.capsule((-0.95, 0.5), (0.95, 0.5), 0.5), chest.box(0, 1.4, 2.7, 1.8, 0.3), collar, k=0.25 * s)
    cloth = flat(p.cloth)
    if p.clothing == "stripes":
        a, b = rgb(p.cloth), rgb(p.trim)

        def cloth(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
            _, v = chest.local(x, y)
            return torch.lerp(a, b, (torch.sin(v * 13.0) * 4 + 0.5).clamp(0, 1).expand(1, *d.shape))

    under = bust.head.ellipse(0.08, 0.22, WIDE * 0.9, TALL)
    canvas.paint(body, dimmed(_soft(body, cloth, rim_width=0.03, grain=0.05, seed=5), under, 0.3, 0.012))
    tone = mix(p.skin, (0.4, 0.15, 0.1), 0.1)
    neck = capsule(chest(0, 0.0), bust.head(0, 0.5), 0.3 * s, 0.34 * s)
    if p.clothing != "scarf":
        inside = tone if p.clothing == "collar" else mix(p.cloth, (0.1, 0.08, 0.15), 0.3)
        canvas.paint(chest.ellipse(0, 0.06, 0.5, 0.3), inside)
    canvas.paint(neck, dimmed(_soft(neck, tone), under, 0.3, 0.012))
    if p.clothing == "collar":
        for side in (-1, 1):
            flap = chest.capsule((side * 0.45, 0.02), (side * 0.2, 0.42), 0.13, 0.08)
            canvas.paint(flap, _soft(flap, p.trim, rim_width=0.01))
    elif p.clothing == "scarf":
        scarf = chest.capsule((-0.42, 0.06), (0.42, 0.06), 0.26)
        end = chest.capsule((0.3, 0.2), (0.42, 0.95), 0.2)
        canvas.paint(end, _soft(end, mix(p.trim, p.cloth, 0.15)))
        canvas.shadow(scarf, 0.2)
        canvas.paint(scarf, _soft(scarf, p.trim))


def _head(canvas: Canvas, bust: Bust) -> None:
    p, head = bust.person, bust.head
    for side in (-1, 1):
        ear = head.ellipse(side * 0.86 - 0.1 * math.sin(bust.yaw), 0.1 - 0.1 * math.sin(bust.pitch), 0.15, 0.22)
        canvas.paint(ear, _soft(ear, mix(p.skin, (0.85, 0.4, 0.35), 0.15), rim_width=0.01))
    shift = 0.1 * math.sin(bust.yaw)
    jaw = head.ellipse(shift, 0.3 + 0.1 * p.mouth, 0.7, 0.68 + 0.04 * p.mouth)
    shape = blend(head.ellipse(0, -0.12, WIDE, 0.88), jaw, k=0.1 * head.scale)
    canvas.paint(shape, _soft(shape, p.skin))
    for side in (-1, 1):
        blush = head.ellipse(*bust.face(side * 0.58, 0.32), 0.17, 0.12)
        canvas.paint(blush, mix(p.skin, (0.95, 0.3, 0.3), 0.5), alpha=0.45, soft=0.008)


def _hair_front(canvas: Canvas, bust: Bust) -> None:
    p, head = bust.person, bust.head
    if p.hair == "bald":
        return
    x, y = bust.face(0.0, 0.5, -0.3)
    dome = head.ellipse(0, -0.2, 0.93, 0.87)
    part = 0.22 if p.hair in ("short", "bob") else 0.0
    opening = head.ellipse(0.8 * x + part, 0.38 + 0.5 * math.sin(bust.pitch), 0.98, 0.92, -0.25 if part else 0.0)
    if p.hair in ("long", "bun", "pigtails"):
        opening = head.ellipse(0.8 * x, 0.34 + 0.5 * math.sin(bust.pitch), 0.86, 0.98)
    if p.hair == "curly":
        dome, opening = _ruffled(dome, head, 0.1, 7), _ruffled(opening, head, -0.09, 8)
    front = dome - opening
    canvas.paint(front, _soft(front, _strands(bust), rim=0.1))


def _hat(canvas: Canvas, bust: Bust) -> None:
    p, hat = bust.person, bust.hat()
    felt = mix(p.cloth, p.trim, 0.25)
    dome = hat.ellipse(0, 0.05, 0.96, 0.82) & hat.box(0, -0.5, 2.4, 1.1)
    if p.hat == "sunhat":
        brim = hat.ellipse(0, 0.06, 1.5, 0.3)
        crown = hat.ellipse(0, -0.1, 0.84, 0.66) & hat.box(0, -0.5, 2.4, 1.1)
        straw = (0.93, 0.8, 0.5)
        canvas.shadow(brim, 0.25, (0.008, 0.025))
        canvas.paint(brim, _soft(brim, straw))
        canvas.paint(crown, _soft(crown, straw))
        canvas.paint(hat.box(0, -0.08, 1.9, 0.2, 0.03), felt, clip=crown)
        return
    canvas.shadow(dome, 0.25, (0.006, 0.02))
    canvas.paint(dome, _soft(dome, felt))
    if p.hat == "beanie":
        band = hat.box(0, 0.05, 1.96, 0.3, 0.14)
        canvas.paint(band, _soft(band, p.trim, rim_width=0.012))
        canvas.paint(ball := hat.ellipse(0, -0.82, 0.22), _soft(ball, p.trim))
    else:
        side = math.copysign(1.0, p.turn)
        visor = hat.capsule((side * 0.25, 0.04), (side * 1.15, 0.1), 0.14, 0.1)
        canvas.paint(visor, _soft(visor, mix(felt, INK, 0.25), rim_width=0.01))
