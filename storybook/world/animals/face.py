"""The face of an animal, painted back to front: head, mouth, eyes, nose."""

from storybook.world.animals.coat import coat, paint_fur
from storybook.world.animals.skeleton import Skeleton
from storybook.world.canvas import Canvas
from storybook.world.faces import EYEBALL, INK, MOUTH, PUPIL, SIDES, TONGUE, WHITE
from storybook.world.paints import mix
from storybook.world.shapes import blend, polyline


def paint_face(canvas: Canvas, animal: Skeleton) -> None:
    """The features on a head that is already there."""
    if not animal.is_bird:
        _mouth(canvas, animal)
    _eyes(canvas, animal)
    _nose(canvas, animal)


def paint_head(canvas: Canvas, animal: Skeleton) -> None:
    head = animal.head_pose
    parts = [head.ellipse(0, 0, *animal.breed.head)]
    if animal.pattern == "cheeks":
        parts += [head.capsule((0, 0.2), (side * 1.12, 0.46), 0.4, 0.06) for side in (-1, 1)]
    elif animal.kind == "frog":
        parts += [head.ellipse(*animal.eye_at(side), 0.36) for side in (-1, 1)]
    elif animal.kind in ("cat", "dog", "bear", "rabbit"):
        parts += [head.ellipse(side * 0.42, 0.3, 0.62, 0.5) for side in (-1, 1)]
    shape = blend(*parts, k=0.14 * head.scale) if len(parts) > 1 else parts[0]
    paint_fur(canvas, shape, coat(animal, head, "head"), depth=0.18, grain=0.06)
    if animal.kind == "owl":
        for side in (-1, 1):
            disc = head.ellipse(*animal.face(side * 0.4, -0.02), 0.47 * animal.narrow(side * 0.4), 0.52)
            canvas.solid(disc, animal.coat.light, rim_width=0.012)
    elif animal.kind in ("rabbit", "pig", "mouse", "frog", "penguin"):
        for side in (-1, 1):
            blush = head.ellipse(*animal.face(side * 0.62, 0.3), 0.17, 0.12)
            canvas.paint(blush, (0.98, 0.55, 0.52), alpha=0.45, soft=0.008)


def _mouth(canvas: Canvas, animal: Skeleton) -> None:
    head, c, muzzle, nose = animal.head_pose, animal.coat, animal.breed.muzzle, animal.breed.nose
    (x, y), w, h = animal.lip()
    closed, tone = animal.mouth <= 0.04, c.light if muzzle.width else c.main
    if not closed:
        if nose.kind != "nostrils":  # a frog's mouth is wide inside its head: it needs no jaw
            canvas.solid(head.ellipse(x, y + 0.45 * h, w + 0.14, 0.62 * h + 0.16), tone, rim=0.16, rim_width=0.012)
        cavity = head.ellipse(x, y, w, h) & head.box(x, y + h, 2.4 * w, 2 * h)
        canvas.paint(cavity, MOUTH)
        canvas.paint(head.ellipse(x, y + 0.85 * h, 0.7 * w, 0.5 * h), TONGUE, clip=cavity, soft=0.002)
    if muzzle.width:
        mw, mh = muzzle.width, muzzle.height
        centres = [animal.face(side * 0.42 * mw, muzzle.v - 0.05, 0.15) for side in (-1, 1)]
        puffs = blend(*(head.ellipse(*at, 0.62 * mw, 0.92 * mh) for at in centres), k=0.06 * head.scale)
        canvas.solid(puffs, tone, depth=0.1, rim=0.1, rim_width=0.012)
        if nose.kind != "snout":
            if animal.kind in ("rabbit", "mouse"):
                canvas.paint(head.box(x, y + 0.1, 0.2, 0.2, 0.04), (1.0, 1.0, 0.98))
            for side in (-1, 1):
                canvas.paint(head.arc(x + side * 0.3 * mw, y - 0.13, 0.3 * mw, 0.022, 1.15), INK)
            canvas.paint(head.capsule(animal.face(0, nose.v, 0.28), (x, y - 0.08), 0.022), INK)
        elif closed:
            canvas.paint(head.arc(x, y - 0.12, 0.26, 0.026, 0.9), INK)
    elif closed:
        r = 1.5 * w
        canvas.paint(head.arc(x, y - r * 0.8, r, 0.03, 0.62), INK)
    elif nose.kind == "nostrils":
        canvas.paint(head.arc(x, y - 2.4 * w, 2.4 * w, 0.026, 0.44), INK)


def _eyes(canvas: Canvas, animal: Skeleton) -> None:
    head, c, eye = animal.head_pose, animal.coat, animal.breed.eye
    r = max(eye.size * animal.eye, 0.036 / animal.head)
    lid = mix(c.main, c.dark, 0.35)
    for _, side in SIDES:
        x, y = animal.eye_at(side)
        rx = r * (animal.narrow(side * eye.at[0]) if eye.at[1] > -0.5 else 1.0)
        ry = r * (0.35 + 0.65 * animal.lids)
        ball = head.ellipse(x, y, rx, ry)
        canvas.paint(head.ellipse(x, y, rx + 0.03, ry + 0.035), mix(INK, lid, 0.25))
        px, py = x + 0.3 * rx * animal.look_x, y + 0.26 * ry * animal.look_y
        if eye.glass:
            canvas.solid(ball, animal.iris, depth=-0.2, rim=0.3, rim_width=0.008)
            slit = 0.4 if animal.kind == "cat" else 0.56
            canvas.paint(head.ellipse(px, py, slit * rx, 0.66 * ry), PUPIL, clip=ball)
        else:
            canvas.paint(ball, EYEBALL)
            canvas.paint(head.ellipse(px, py, 0.8 * r), animal.iris, clip=ball)
            canvas.paint(head.ellipse(px, py, 0.54 * r), PUPIL, clip=ball)
        canvas.paint(head.ellipse(px - 0.24 * r, py - 0.26 * r, 0.22 * r), WHITE, clip=ball)
        if animal.lids < 0.97:
            canvas.paint(head.arc(x, y + 0.35 * ry, -1.12 * r, 0.035, 0.9), lid)


def _nose(canvas: Canvas, animal: Skeleton) -> None:
    head, nose, c = animal.head_pose, animal.breed.nose, animal.coat
    w, h = nose.width, nose.height
    x, y = animal.face(0, nose.v, 0.28)
    if nose.kind == "leather":
        tone = (0.9, 0.5, 0.52) if animal.kind in ("cat", "rabbit", "mouse") and sum(c.main) > 1.0 else INK
        pad, tip = head.ellipse(x, y - 0.2 * h, w, 0.75 * h), head.ellipse(x, y + 0.4 * h, 0.45 * w, 0.6 * h)
        canvas.solid(blend(pad, tip, k=0.03), tone, depth=0.3, rim=0.0)
        canvas.paint(head.ellipse(x - 0.3 * w, y - 0.45 * h, 0.3 * w, 0.22 * h), WHITE, alpha=0.6)
    elif nose.kind == "snout":
        snout = head.ellipse(x, y, w, h)
        canvas.shadow(snout, 0.2, (0.004, 0.01), 0.008)
        canvas.solid(snout, mix(c.main, c.dark, 0.25), rim_width=0.012)
        for side in (-1, 1):
            canvas.paint(head.ellipse(x + side * 0.36 * w, y, 0.16 * w, 0.34 * h), mix(c.dark, INK, 0.45))
    elif nose.kind == "nostrils":
        for side in (-1, 1):
            canvas.paint(head.ellipse(x + side * 0.12, y, w, h), mix(c.dark, INK, 0.4))
    elif nose.kind == "trunk":
        trunk = polyline([head(*p) for p in animal.trunk()], w * head.scale, 0.13 * head.scale)
        canvas.shadow(trunk, 0.25, (0.006, 0.014), 0.01)
        paint_fur(canvas, trunk, c.main, rim_width=0.014)
    else:
        m, tone = animal.mouth, (0.96, 0.64, 0.2)
        if m > 0.04:
            lower = head.capsule((x, y), (x, y + 0.1 + 0.4 * m), 0.85 * w, 0.06)
            canvas.solid(lower, mix(tone, INK, 0.22), rim_width=0.01)
            canvas.paint(head.capsule((x, y + 0.02), (x, y + 0.02 + 0.32 * m), 0.62 * w, 0.05), MOUTH)
        upper = head.capsule((x, y - 0.08), (x, y + h - 0.1), w, 0.04)
        canvas.solid(upper, tone, depth=0.25, rim=0.18, rim_width=0.01)
