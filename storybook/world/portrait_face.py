"""The face of a person: eyes, glasses, brows, nose, mouth."""

from __future__ import annotations

import math

from storybook.world.bust import Bust
from storybook.world.figure import EYEBALL, INK, MOUTH, PUPIL, SIDES, TONGUE, WHITE
from storybook.world.paints import mix, shaded
from storybook.world.render import Canvas


def paint_features(canvas: Canvas, bust: Bust) -> None:
    p, head = bust.person, bust.head
    r = max(0.19, 0.036 / p.head)
    for _, side in SIDES:
        x, y = bust.face(side * 0.42, -0.04)
        narrow = 1 - 0.25 * max(0.0, side * math.sin(bust.yaw))
        rx, ry = r * narrow, r * (0.3 + 0.68 * p.lids)
        ball = head.ellipse(x, y, rx, ry)
        canvas.paint(head.ellipse(x, y - 0.02, rx + 0.025, ry + 0.03), mix(INK, p.skin, 0.1))
        canvas.paint(ball, EYEBALL)
        px, py = x + 0.3 * rx * p.look_x, y + 0.25 * ry * p.look_y
        canvas.paint(head.ellipse(px, py, 0.78 * r), p.iris, clip=ball)
        canvas.paint(head.ellipse(px, py, 0.5 * r), PUPIL, clip=ball)
        canvas.paint(head.ellipse(px - 0.22 * r, py - 0.25 * r, 0.2 * r), WHITE, clip=ball)
        if p.glasses:
            canvas.paint(head.arc(x, y, 0.31, 0.03, math.pi), (0.2, 0.14, 0.14))
        bx, by = bust.brow(side)
        tone = mix(p.hair_colour if p.hair != "bald" else (0.3, 0.2, 0.15), INK, 0.35)
        canvas.paint(head.arc(bx, by + 0.3, -0.32, 0.042, 0.6, 0.1 * side), tone)
    if p.glasses:
        a, b = bust.face(-0.12, -0.06, 0.05), bust.face(0.12, -0.06, 0.05)
        canvas.paint(head.capsule(a, b, 0.028), (0.2, 0.14, 0.14))
    nose = head.ellipse(*bust.face(0, 0.18, 0.2), 0.12, 0.13)
    canvas.shadow(nose, 0.16, (0.004, 0.009), 0.006)
    canvas.paint(nose, shaded(mix(p.skin, (0.9, 0.42, 0.36), 0.22), nose, depth=0.2, rim=0.06, rim_width=0.018))
    _lips(canvas, bust)


def _lips(canvas: Canvas, bust: Bust) -> None:
    p, head = bust.person, bust.head
    (x, y), w, sag, depth = bust.mouth()
    lip = mix(p.skin, (0.6, 0.13, 0.15), 0.65)
    if p.mouth > 0.04:
        low = max(sag, 0.0) + depth
        cavity = head.ellipse(x, y, w, low) & head.box(x, y + low, 2.4 * w, 2 * low)
        canvas.paint(cavity.grow(0.03 * head.scale), lip)
        canvas.paint(cavity, MOUTH)
        canvas.paint(head.ellipse(x, y + 0.9 * low, 0.7 * w, 0.42 * low), TONGUE, clip=cavity, soft=0.002)
        canvas.paint(head.box(x, y + 0.05, 1.7 * w, 0.12, 0.04), (1.0, 1.0, 0.97), clip=cavity)
        return
    # An arc through both corners with the wanted sag (straight when it vanishes).
    bend = sag if abs(sag) > 0.02 else 0.02
    radius = (w * w + bend * bend) / (2 * abs(bend))
    half = math.asin(min(w / radius, 1.0))
    sign = 1 if bend > 0 else -1
    canvas.paint(head.arc(x, y + bend - sign * radius, sign * radius, 0.04, half), lip)
