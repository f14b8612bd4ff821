"""Calm backgrounds with depth for animals, portraits, plants and things: hills, snow, beach, wood, room, studio."""

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from storybook.world.canvas import Canvas
from storybook.world.paints import Colour, downwards, hsv, mix, noise, rgb
from storybook.world.shapes import below, box, ellipse, level, rolling

KINDS = ("meadow", "meadow", "snow", "beach", "wood", "room", "room", "studio")
WALLS = (0.02, 0.08, 0.12, 0.14, 0.25, 0.38, 0.47, 0.55, 0.6, 0.94)  # blush, peach, cream, sage, mint, sky; few purples
HUES = {"meadow": (0.22, 0.36), "snow": (0.52, 0.64), "beach": (0.48, 0.56), "wood": (0.24, 0.4)}
WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Backdrop:
    """What is behind and below a figure."""

    kind: str = "meadow"  # one of KINDS
    hue: float = 0.3  # of the dominant colour
    light: float = 0.8  # time of day in [0, 1]: 0 evening, 1 noon (a lamp-lit or a bright room)
    horizon: float = 0.68  # height where the ground begins, from the top
    seed: int = 0  # of the shapes of hills, trees and wallpaper

    @classmethod
    def sample(cls, rng: random.Random) -> "Backdrop":
        kind = rng.choice(KINDS)
        hue = rng.uniform(*HUES[kind]) if kind in HUES else rng.choice(WALLS) + rng.uniform(-0.025, 0.025)
        return cls(kind, hue, rng.uniform(0.15, 1.0), rng.uniform(0.62, 0.76), rng.randrange(10**6))

    def draw(self, canvas: Canvas) -> None:
        getattr(self, "_" + self.kind)(canvas, random.Random(self.seed))

    def ground(self, figure_colour: Colour) -> Colour:
        """The colour of a figure's shadow on the ground: dark, a little of the figure's colour."""
        return mix((0.06, 0.06, 0.12), figure_colour, 0.12)

    def _sky(self, canvas: Canvas, noon: Colour = (0.47, 0.73, 0.93), low: Colour = (0.88, 0.94, 0.96)) -> None:
        top, bottom = mix((0.4, 0.44, 0.66), noon, self.light), mix((0.99, 0.74, 0.6), low, self.light)
        canvas.paint(level(0.0), downwards(top, bottom, 0.0, self.horizon))

    def _hill(self, canvas: Canvas, rng: random.Random, top: float, swing: float, colours: tuple[Colour, Colour]):
        line = rolling(top, swing, rng.uniform(0, math.tau), rng.uniform(2.5, 5.0))
        canvas.paint(below(line, top - 1.3 * swing), downwards(*colours, top - swing, 1.0), soft=0.002)

    def _cloud(self, canvas: Canvas, rng: random.Random, n: int) -> None:
        for _ in range(n):
            x, y, r = rng.uniform(0.05, 0.95), rng.uniform(0.06, 0.3), rng.uniform(0.05, 0.09)
            puff = ellipse((x, y), 1.9 * r, 0.55 * r) | ellipse((x - 0.4 * r, y - 0.4 * r), r, 0.7 * r)
            canvas.paint(puff, mix((1.0, 0.88, 0.8), WHITE, self.light), alpha=0.75, soft=0.008)

    def _dusk(self, *colours: Colour) -> tuple[Colour, ...]:
        """Colours of the ground in the light of the hour."""
        evening = [tuple(c * k for c, k in zip(colour, (0.72, 0.62, 0.72), strict=True)) for colour in colours]
        return tuple(mix(a, b, 0.25 + 0.75 * self.light) for a, b in zip(evening, colours, strict=True))

    def _meadow(self, canvas: Canvas, rng: random.Random) -> None:
        self._sky(canvas)
        self._cloud(canvas, rng, rng.choice((0, 1, 2)))
        far = self._dusk(hsv(self.hue + 0.14, 0.32, 0.72), hsv(self.hue + 0.08, 0.3, 0.78))
        self._hill(canvas, rng, self.horizon - 0.16, 0.035, far)
        near = self._dusk(hsv(self.hue, 0.5, 0.74), hsv(self.hue, 0.58, 0.56))
        self._hill(canvas, rng, self.horizon, 0.02, near)

    def _snow(self, canvas: Canvas, rng: random.Random) -> None:
        self._sky(canvas, (0.56, 0.72, 0.88), (0.9, 0.93, 0.97))
        self._hill(canvas, rng, self.horizon - 0.14, 0.05, self._dusk(hsv(self.hue, 0.24, 0.84), (0.8, 0.87, 0.94)))
        self._hill(canvas, rng, self.horizon, 0.025, self._dusk((0.96, 0.97, 1.0), (0.76, 0.83, 0.93)))

    def _beach(self, canvas: Canvas, rng: random.Random) -> None:
        self._sky(canvas)
        self._cloud(canvas, rng, rng.choice((0, 1)))
        deep, sea = self._dusk(hsv(self.hue + 0.04, 0.65, 0.62), hsv(self.hue, 0.5, 0.82))
        top = self.horizon - 0.2
        canvas.paint(level(top), downwards(deep, sea, top, self.horizon))
        self._hill(canvas, rng, self.horizon, 0.012, self._dusk((0.96, 0.86, 0.66), (0.86, 0.7, 0.48)))

    def _wood(self, canvas: Canvas, rng: random.Random) -> None:
        mist = mix(hsv(self.hue - 0.1, 0.25, 0.72), hsv(self.hue - 0.06, 0.2, 0.93), self.light)
        deep, bark = self._dusk(hsv(self.hue + 0.04, 0.3, 0.62), hsv(self.hue + 0.06, 0.3, 0.4))
        canvas.paint(level(0.0), downwards(deep, mist, -0.1, self.horizon))
        for i in range(5):
            x, w = (i + rng.uniform(0.15, 0.85)) / 5, rng.uniform(0.04, 0.075)
            trunk = box((x, 0.4), w, 1.0, 0.01, rng.uniform(-0.04, 0.04))
            canvas.paint(trunk, mix(mist, bark, 0.35 + 0.25 * (i % 2)), soft=0.006)
        near = self._dusk(hsv(self.hue, 0.45, 0.6), hsv(self.hue, 0.5, 0.42))
        self._hill(canvas, rng, self.horizon, 0.015, near)

    def _room(self, canvas: Canvas, rng: random.Random) -> None:
        wall = mix(hsv(self.hue, 0.32, 0.62), hsv(self.hue, 0.22, 0.9), self.light)
        stripe, style = mix(wall, WHITE, 0.22), rng.randrange(4)
        n = rng.choice((5, 6, 7, 8))

        def paper(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
            if style == 0:
                pattern = ((torch.sin(x * math.tau * n) * 8).clamp(-1, 1) + 1) / 2 + 0 * y
            elif style == 1:
                pattern = ((torch.sin(x * math.tau * n) * torch.sin(y * math.tau * n) - 0.55) * 6).clamp(0, 1)
            else:
                pattern = torch.zeros_like(x + y)
            fall = 1.04 - 0.16 * ((x - 0.1) ** 2 + (y - 0.05) ** 2)
            return torch.lerp(rgb(wall), rgb(stripe), pattern) * fall

        canvas.paint(level(0.0), paper)
        if style == 2:
            self._window(canvas, rng)
        wood = mix(hsv(0.07, 0.5, 0.42), hsv(0.09, 0.42, 0.72), self.light)
        carpet = mix(hsv(self.hue + 0.04, 0.42, 0.46), hsv(self.hue + 0.04, 0.34, 0.7), self.light)
        floor = wood if rng.random() < 0.6 else carpet
        top = self.horizon + 0.02
        canvas.paint(box((0.5, top - 0.02), 1.2, 0.04), mix(wall, WHITE, 0.55))
        canvas.paint(level(top), downwards(floor, mix(floor, (0.1, 0.05, 0.1), 0.3), top, 1.0))

    def _window(self, canvas: Canvas, rng: random.Random) -> None:
        x, y = rng.choice((0.17, 0.83)), rng.uniform(0.2, 0.28)
        canvas.paint(box((x, y), 0.25, 0.32, 0.01), (0.96, 0.94, 0.9))
        top = mix((0.3, 0.3, 0.55), (0.55, 0.78, 0.95), self.light)
        low = mix((0.98, 0.75, 0.6), (0.9, 0.96, 0.98), self.light)
        for dx in (-0.056, 0.056):
            for dy in (-0.073, 0.073):
                canvas.paint(box((x + dx, y + dy), 0.098, 0.132, 0.004), downwards(top, low, y - 0.15, y + 0.15))

    def _studio(self, canvas: Canvas, rng: random.Random) -> None:
        light, dark = hsv(self.hue, 0.2, 0.7 + 0.25 * self.light), hsv(self.hue + 0.04, 0.42, 0.42 + 0.25 * self.light)
        seed = rng.randrange(10**6)

        def paper(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
            far = ((x - 0.4) ** 2 + (y - 0.35) ** 2).sqrt() * 1.15 + 0.16 * (noise(x, y, seed, 3.0) - 0.5)
            return torch.lerp(rgb(light), rgb(dark), far.clamp(0, 1))

        canvas.paint(level(0.0), paper)
        floor = self.horizon + 0.06
        shade = mix(dark, (0.08, 0.05, 0.12), 0.25)
        canvas.paint(below(lambda x: floor + 0 * x, floor - 0.1), shade, alpha=0.55, soft=0.012)
