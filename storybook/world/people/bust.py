"""How a person is painted, back to front: hair, shoulders, head, hat; the face is in `face`."""

import math
from typing import Any

import torch
from torch import Tensor

from storybook.world.canvas import Canvas
from storybook.world.faces import INK, dimmed
from storybook.world.paints import Colour, Paint, flat, mix, rgb, shaded
from storybook.world.people.face import paint_face
from storybook.world.people.skeleton import TALL, WIDE, Skeleton
from storybook.world.shapes import Pose, Shape, blend, capsule

SOFT = {"depth": 0.14, "rim": 0.12, "rim_width": 0.018}  # light on skin, hair and cloth


def paint_person(canvas: Canvas, person: Skeleton) -> None:
    if person.hair != "bald":
        _hair_behind(canvas, person)
    _shoulders(canvas, person)
    _head(canvas, person)
    if person.hair != "bald":
        _hair_front(canvas, person)
    paint_face(canvas, person)
    if person.hat != "none":
        _hat(canvas, person)


def _soft(shape: Shape, paint: Paint | Colour, **light: Any) -> Paint:
    return shaded(paint, shape, **SOFT | light)


def _paint(canvas: Canvas, shape: Shape, paint: Paint | Colour, **light: Any) -> None:
    canvas.paint(shape, _soft(shape, paint, **light))


def _strands(person: Skeleton) -> Paint:
    """Hair: the colour with a faint sheen and strands that run down."""
    pose, colour = person.head_pose, rgb(person.hair_colour)

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


def _hair_behind(canvas: Canvas, person: Skeleton) -> None:
    head, hair, strands = person.head_pose, person.hair, _strands(person)
    k = 0.1 * head.scale
    back = head.ellipse(0, -0.12, 0.96, 0.98)
    if hair == "bob":
        back = blend(head.ellipse(0, -0.05, 1.04, 1.06), head.box(0, 0.4, 2.0, 0.9, 0.3), k=k)
    elif hair == "long":
        sides = [head.capsule(*person.tress(side), 0.34, 0.26) for side in (-1, 1)]
        back = blend(head.ellipse(0, -0.08, 1.04, 1.06), *sides, head.box(0, 0.35, 1.5, 0.9, 0.2), k=k)
    elif hair == "curly":
        back = _ruffled(head.ellipse(0, -0.12, 1.12, 1.08), head, 0.14, 7)
    elif hair == "pigtails":
        for side in (-1, 1):
            root, tip = person.tress(side)
            tail = blend(head.capsule(root, tip, 0.2, 0.26), head.ellipse(*root, 0.2), k=0.05 * head.scale)
            _paint(canvas, tail, strands)
    elif hair == "bun" and person.hat == "none":
        _paint(canvas, head.ellipse(0.05, -1.1, 0.4), strands)
    _paint(canvas, back, strands, depth=0.1)


def _shoulders(canvas: Canvas, person: Skeleton) -> None:
    chest, head, clothing, trim = person.chest_pose, person.head_pose, person.clothing, person.trim
    s, collar = chest.scale, chest.ellipse(0, 0.15, 0.5, 0.32)
    body = blend(chest.capsule((-0.95, 0.5), (0.95, 0.5), 0.5), chest.box(0, 1.4, 2.7, 1.8, 0.3), collar, k=0.25 * s)

    def stripes(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        _, v = chest.local(x, y)
        wave = (torch.sin(v * 13.0) * 4 + 0.5).clamp(0, 1)
        return torch.lerp(rgb(person.cloth), rgb(trim), wave.expand(1, *d.shape))

    cloth = stripes if clothing == "stripes" else flat(person.cloth)
    under = head.ellipse(0.08, 0.22, WIDE * 0.9, TALL)
    canvas.paint(body, dimmed(_soft(body, cloth, rim_width=0.03, grain=0.05, seed=5), under, 0.3, 0.012))
    tone = mix(person.skin, (0.4, 0.15, 0.1), 0.1)
    neck = capsule(chest(0, 0.0), head(0, 0.5), 0.3 * s, 0.34 * s)
    if clothing != "scarf":
        inside = tone if clothing == "collar" else mix(person.cloth, (0.1, 0.08, 0.15), 0.3)
        canvas.paint(chest.ellipse(0, 0.06, 0.5, 0.3), inside)
    canvas.paint(neck, dimmed(_soft(neck, tone), under, 0.3, 0.012))
    if clothing == "collar":
        for side in (-1, 1):
            _paint(canvas, chest.capsule((side * 0.45, 0.02), (side * 0.2, 0.42), 0.13, 0.08), trim, rim_width=0.01)
    elif clothing == "scarf":
        scarf = chest.capsule((-0.42, 0.06), (0.42, 0.06), 0.26)
        _paint(canvas, chest.capsule((0.3, 0.2), (0.42, 0.95), 0.2), mix(trim, person.cloth, 0.15))
        canvas.shadow(scarf, 0.2)
        _paint(canvas, scarf, trim)


def _head(canvas: Canvas, person: Skeleton) -> None:
    head, skin, mouth = person.head_pose, person.skin, person.mouth
    for side in (-1, 1):
        x, y = side * 0.86 - 0.1 * math.sin(person.yaw), 0.1 - 0.1 * math.sin(person.pitch)
        _paint(canvas, head.ellipse(x, y, 0.15, 0.22), mix(skin, (0.85, 0.4, 0.35), 0.15), rim_width=0.01)
    jaw = head.ellipse(0.1 * math.sin(person.yaw), 0.3 + 0.1 * mouth, 0.7, 0.68 + 0.04 * mouth)
    _paint(canvas, blend(head.ellipse(0, -0.12, WIDE, 0.88), jaw, k=0.1 * head.scale), skin)
    for side in (-1, 1):
        blush = head.ellipse(*person.face(side * 0.58, 0.32), 0.17, 0.12)
        canvas.paint(blush, mix(skin, (0.95, 0.3, 0.3), 0.5), alpha=0.45, soft=0.008)


def _hair_front(canvas: Canvas, person: Skeleton) -> None:
    head, hair = person.head_pose, person.hair
    x, down = 0.8 * person.face(0.0, 0.5, -0.3)[0], 0.5 * math.sin(person.pitch)
    dome = head.ellipse(0, -0.2, 0.93, 0.87)
    if hair in ("long", "bun", "pigtails"):
        opening = head.ellipse(x, 0.34 + down, 0.86, 0.98)
    elif hair == "curly":
        dome = _ruffled(dome, head, 0.1, 7)
        opening = _ruffled(head.ellipse(x, 0.38 + down, 0.98, 0.92), head, -0.09, 8)
    else:
        opening = head.ellipse(x + 0.22, 0.38 + down, 0.98, 0.92, -0.25)
    _paint(canvas, dome - opening, _strands(person), rim=0.1)


def _hat(canvas: Canvas, person: Skeleton) -> None:
    hat, felt = person.hat_pose, mix(person.cloth, person.trim, 0.25)
    above = hat.box(0, -0.5, 2.4, 1.1)
    if person.hat == "sunhat":
        brim, crown, straw = hat.ellipse(0, 0.06, 1.5, 0.3), hat.ellipse(0, -0.1, 0.84, 0.66) & above, (0.93, 0.8, 0.5)
        canvas.shadow(brim, 0.25, (0.008, 0.025))
        _paint(canvas, brim, straw)
        _paint(canvas, crown, straw)
        canvas.paint(hat.box(0, -0.08, 1.9, 0.2, 0.03), felt, clip=crown)
        return
    dome = hat.ellipse(0, 0.05, 0.96, 0.82) & above
    canvas.shadow(dome, 0.25, (0.006, 0.02))
    _paint(canvas, dome, felt)
    if person.hat == "beanie":
        _paint(canvas, hat.box(0, 0.05, 1.96, 0.3, 0.14), person.trim, rim_width=0.012)
        _paint(canvas, hat.ellipse(0, -0.82, 0.22), person.trim)
    else:
        side = math.copysign(1.0, person.turn)
        visor = hat.capsule((side * 0.25, 0.04), (side * 1.15, 0.1), 0.14, 0.1)
        _paint(canvas, visor, mix(felt, INK, 0.25), rim_width=0.01)
