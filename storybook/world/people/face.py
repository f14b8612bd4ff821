"""The face of a person: eyes, glasses, brows, nose, mouth."""

import math

from storybook.world.canvas import Canvas
from storybook.world.faces import EYEBALL, INK, MOUTH, PUPIL, SIDES, TONGUE, WHITE
from storybook.world.paints import mix
from storybook.world.people.skeleton import Skeleton

FRAME = (0.2, 0.14, 0.14)  # of the glasses


def paint_face(canvas: Canvas, person: Skeleton) -> None:
    head = person.head_pose
    for _, side in SIDES:
        _eye(canvas, person, side)
        x, y = person.brow(side)
        tone = mix(person.hair_colour if person.hair != "bald" else (0.3, 0.2, 0.15), INK, 0.35)
        canvas.paint(head.arc(x, y + 0.3, -0.32, 0.042, 0.6, 0.1 * side), tone)
    if person.glasses:
        bridge = head.capsule(person.face(-0.12, -0.06, 0.05), person.face(0.12, -0.06, 0.05), 0.028)
        canvas.paint(bridge, FRAME)
    nose = head.ellipse(*person.face(0, 0.18, 0.2), 0.12, 0.13)
    canvas.shadow(nose, 0.16, (0.004, 0.009), 0.006)
    canvas.solid(nose, mix(person.skin, (0.9, 0.42, 0.36), 0.22), depth=0.2, rim=0.06, rim_width=0.018)
    _lips(canvas, person)


def _eye(canvas: Canvas, person: Skeleton, side: int) -> None:
    head, r = person.head_pose, max(0.19, 0.036 / person.head)
    x, y = person.face(side * 0.42, -0.04)
    rx, ry = r * (1 - 0.25 * max(0.0, side * math.sin(person.yaw))), r * (0.3 + 0.68 * person.lids)
    ball = head.ellipse(x, y, rx, ry)
    canvas.paint(head.ellipse(x, y - 0.02, rx + 0.025, ry + 0.03), mix(INK, person.skin, 0.1))
    canvas.paint(ball, EYEBALL)
    px, py = x + 0.3 * rx * person.look_x, y + 0.25 * ry * person.look_y
    canvas.paint(head.ellipse(px, py, 0.78 * r), person.iris, clip=ball)
    canvas.paint(head.ellipse(px, py, 0.5 * r), PUPIL, clip=ball)
    canvas.paint(head.ellipse(px - 0.22 * r, py - 0.25 * r, 0.2 * r), WHITE, clip=ball)
    if person.glasses:
        canvas.paint(head.arc(x, y, 0.31, 0.03, math.pi), FRAME)


def _lips(canvas: Canvas, person: Skeleton) -> None:
    head = person.head_pose
    (x, y), w, sag, depth = person.lips()
    lip = mix(person.skin, (0.6, 0.13, 0.15), 0.65)
    if person.mouth > 0.04:
        low = max(sag, 0.0) + depth
        cavity = head.ellipse(x, y, w, low) & head.box(x, y + low, 2.4 * w, 2 * low)
        canvas.paint(cavity.grow(0.03 * head.scale), lip)
        canvas.paint(cavity, MOUTH)
        canvas.paint(head.ellipse(x, y + 0.9 * low, 0.7 * w, 0.42 * low), TONGUE, clip=cavity, soft=0.002)
        canvas.paint(head.box(x, y + 0.05, 1.7 * w, 0.12, 0.04), (1.0, 1.0, 0.97), clip=cavity)
        return
    bend = sag if abs(sag) > 0.02 else 0.02  # an arc through both corners with the wanted sag
    radius = (w * w + bend * bend) / (2 * abs(bend))
    half = math.asin(min(w / radius, 1.0))
    sign = 1 if bend > 0 else -1
    canvas.paint(head.arc(x, y + bend - sign * radius, sign * radius, 0.04, half), lip)
