"""The face of an animal, painted back to front: head, mouth, eyes, nose."""

from __future__ import annotations

from storybook.world.animal_coats import coat, fur
from storybook.world.animal_rig import Rig
from storybook.world.figure import EYEBALL, INK, MOUTH, PUPIL, SIDES, TONGUE, WHITE
from storybook.world.paints import mix, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import blend, polyline


def paint_face(canvas: Canvas, rig: Rig) -> None:
    """The features on a head that is already there."""
    _mouth(canvas, rig)
    _eyes(canvas, rig)
    _nose(canvas, rig)


def paint_head(canvas: Canvas, rig: Rig) -> None:
    animal, head, breed = rig.animal, rig.head, rig.breed
    parts = [head.ellipse(0, 0, *breed.head)]
    if animal.pattern == "cheeks":
        parts += [head.capsule((0, 0.2), (side * 1.12, 0.46), 0.4, 0.06) for side in (-1, 1)]
    elif animal.kind == "frog":
        parts += [head.ellipse(*rig.eye_at(side), 0.36) for side in (-1, 1)]
    elif animal.kind in ("cat", "dog", "bear", "rabbit"):
        parts += [head.ellipse(side * 0.42, 0.3, 0.62, 0.5) for side in (-1, 1)]
    shape = blend(*parts, k=0.14 * head.scale) if len(parts) > 1 else parts[0]
    canvas.paint(shape, fur(shape, coat(animal, head, rig, "head"), depth=0.18, grain=0.06))
    if animal.kind == "owl":
        for side in (-1, 1):
            disc = head.ellipse(*rig.face(side * 0.4, -0.02), 0.47 * rig.narrow(side * 0.4), 0.52)
            canvas.paint(disc, shaded(animal.coat.light, disc, rim_width=0.012))
    elif animal.kind in ("rabbit", "pig", "mouse", "frog", "penguin"):
        for side in (-1, 1):
            blush = head.ellipse(*rig.face(side * 0.62, 0.3), 0.17, 0.12)
            canvas.paint(blush, (0.98, 0.55, 0.52), alpha=0.45, soft=0.008)


def _mouth(canvas: Canvas, rig: Rig) -> None:
    animal, head, breed, c = rig.animal, rig.head, rig.breed, rig.animal.coat
    if breed.nose_kind in ("beak", "bill"):
        return
    (x, y), w, h = rig.lip()
    mw, mh, mv = breed.muzzle
    tone = c.main if breed.muzzle[0] == 0 else c.light
    if animal.mouth > 0.04:
        jaw = head.ellipse(x, y + 0.45 * h, w + 0.14, 0.62 * h + 0.16)
        if breed.nose_kind != "nostrils":  # a frog's mouth is wide inside its head: it needs no jaw
            canvas.paint(jaw, shaded(tone, jaw, rim=0.16, rim_width=0.012))
        top = head.box(x, y + h, 2.4 * w, 2 * h)
        cavity = head.ellipse(x, y, w, h) & top
        canvas.paint(cavity, MOUTH)
        canvas.paint(head.ellipse(x, y + 0.85 * h, 0.7 * w, 0.5 * h), TONGUE, clip=cavity, soft=0.002)
    if mw:
        puffs = blend(*(head.ellipse(*rig.face(s * 0.42 * mw, mv - 0.05, 0.15), 0.62 * mw, 0.92 * mh) for s in (-1, 1)),
                      k=0.06 * head.scale)  # fmt: skip
        canvas.paint(puffs, shaded(tone, puffs, depth=0.1, rim=0.1, rim_width=0.012))
        if breed.nose_kind != "snout":
            if animal.kind in ("rabbit", "mouse"):
                canvas.paint(head.box(x, y + 0.1, 0.2, 0.2, 0.04), (1.0, 1.0, 0.98))
            for s in (-1, 1):
                canvas.paint(head.arc(x + s * 0.3 * mw, y - 0.13, 0.3 * mw, 0.022, 1.15), INK)
            nx, ny = rig.face(0, breed.nose[2], 0.28)
            canvas.paint(head.capsule((nx, ny), (x, y - 0.08), 0.022), INK)
        elif animal.mouth <= 0.04:
            canvas.paint(head.arc(x, y - 0.12, 0.26, 0.026, 0.9), INK)
    elif animal.mouth <= 0.04:
        r = 1.5 * w
        canvas.paint(head.arc(x, y - r * 0.8, r, 0.03, 0.62), INK)
    elif breed.nose_kind == "nostrils":
        canvas.paint(head.arc(x, y - 2.4 * w, 2.4 * w, 0.026, 0.44), INK)


def _eyes(canvas: Canvas, rig: Rig) -> None:
    animal, head, breed, c = rig.animal, rig.head, rig.breed, rig.animal.coat
    r = max(breed.eye * animal.eye, 0.036 / animal.head)
    lid_tone = mix(c.main, c.dark, 0.35)
    for _, side in SIDES:
        x, y = rig.eye_at(side)
        rx = r * (rig.narrow(side * breed.eye_at[0]) if breed.eye_at[1] > -0.5 else 1.0)
        ry = r * (0.35 + 0.65 * animal.lids)
        ball = head.ellipse(x, y, rx, ry)
        canvas.paint(head.ellipse(x, y, rx + 0.03, ry + 0.035), mix(INK, lid_tone, 0.25))
        px, py = x + 0.3 * rx * animal.look_x, y + 0.26 * ry * animal.look_y
        if breed.glass:
            canvas.paint(ball, shaded(animal.iris, ball, depth=-0.2, rim=0.3, rim_width=0.008))
            slit = 0.4 if animal.kind == "cat" else 0.56
            canvas.paint(head.ellipse(px, py, slit * rx, 0.66 * ry), PUPIL, clip=ball)
        else:
            canvas.paint(ball, EYEBALL)
            canvas.paint(head.ellipse(px, py, 0.8 * r), animal.iris, clip=ball)
            canvas.paint(head.ellipse(px, py, 0.54 * r), PUPIL, clip=ball)
        canvas.paint(head.ellipse(px - 0.24 * r, py - 0.26 * r, 0.22 * r), WHITE, clip=ball)
        if animal.lids < 0.97:
            canvas.paint(head.arc(x, y + 0.35 * ry, -1.12 * r, 0.035, 0.9), lid_tone)


def _nose(canvas: Canvas, rig: Rig) -> None:
    animal, head, breed, c = rig.animal, rig.head, rig.breed, rig.animal.coat
    w, h, v = breed.nose
    x, y = rig.face(0, v, 0.28)
    if breed.nose_kind == "leather":
        tone = (0.9, 0.5, 0.52) if animal.kind in ("cat", "rabbit", "mouse") and sum(c.main) > 1.0 else INK
        nose = blend(head.ellipse(x, y - 0.2 * h, w, 0.75 * h), head.ellipse(x, y + 0.4 * h, 0.45 * w, 0.6 * h), k=0.03)
        canvas.paint(nose, shaded(tone, nose, depth=0.3, rim=0.0))
        canvas.paint(head.ellipse(x - 0.3 * w, y - 0.45 * h, 0.3 * w, 0.22 * h), WHITE, alpha=0.6)
    elif breed.nose_kind == "snout":
        snout = head.ellipse(x, y, w, h)
        canvas.shadow(snout, 0.2, (0.004, 0.01), 0.008)
        canvas.paint(snout, shaded(mix(c.main, c.dark, 0.25), snout, rim_width=0.012))
        for side in (-1, 1):
            canvas.paint(head.ellipse(x + side * 0.36 * w, y, 0.16 * w, 0.34 * h), mix(c.dark, INK, 0.45))
    elif breed.nose_kind == "nostrils":
        for side in (-1, 1):
            canvas.paint(head.ellipse(x + side * 0.12, y, w, h), mix(c.dark, INK, 0.4))
    elif breed.nose_kind == "trunk":
        line = [head(*p) for p in rig.trunk()]
        trunk = polyline(line, w * head.scale, 0.13 * head.scale)
        canvas.shadow(trunk, 0.25, (0.006, 0.014), 0.01)
        canvas.paint(trunk, fur(trunk, c.main, rim_width=0.014))
    else:
        m = animal.mouth
        tone = (0.96, 0.64, 0.2)
        if m > 0.04:
            lower = head.capsule((x, y), (x, y + 0.1 + 0.4 * m), 0.85 * w, 0.06)
            canvas.paint(lower, shaded(mix(tone, INK, 0.22), lower, rim_width=0.01))
            canvas.paint(head.capsule((x, y + 0.02), (x, y + 0.02 + 0.32 * m), 0.62 * w, 0.05), MOUTH)
        upper = head.capsule((x, y - 0.08), (x, y + h - 0.1), w, 0.04)
        canvas.paint(upper, shaded(tone, upper, depth=0.25, rim=0.18, rim_width=0.01))
