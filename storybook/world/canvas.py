"""The canvas: pictures painted from signed distances, back to front, at any resolution.

An edge is `sigmoid(-distance / pixel)`: anti-aliased at any size, and a picture rendered at 512 px is the same picture
as at 128 px. Only the pixels of a shape's box are touched: that keeps a scene of fifty shapes under ten milliseconds
at 128 px.
"""

import math

import torch
from torch import Tensor

from storybook.world.paints import Colour, Paint, flat, rgb, shaded
from storybook.world.shapes import Point, Shape


class Canvas:
    """A picture of size x size pixels to paint on, back to front. `image` is (3, size, size), float32, about [0, 1]."""

    def __init__(self, size: int, background: Colour = (1.0, 1.0, 1.0)):
        self.size, self.pixel = size, 1.0 / size
        centres = (torch.arange(size, dtype=torch.float32) + 0.5) / size
        self.x, self.y = centres[None, :], centres[:, None]  # (1, size), (size, 1)
        self.image = rgb(background).expand(3, size, size).clone()

    def fill(self, paint: Paint) -> None:
        """The whole picture in one paint (cheaper than a shape: no edges); it may be constant along x or y."""
        self.image[:] = paint(self.x, self.y, self.x)

    def _window(self, box: tuple[float, float, float, float], pad: float) -> tuple[slice, slice]:
        x0, y0, x1, y1 = box
        lo = [min(max(int((v - pad) * self.size), 0), self.size) for v in (y0, x0)]
        hi = [min(max(math.ceil((v + pad) * self.size), 0), self.size) for v in (y1, x1)]
        return slice(lo[0], hi[0]), slice(lo[1], hi[1])

    def paint(
        self,
        shape: Shape,
        paint: Paint | Colour,
        alpha: float = 1.0,
        soft: float = 0.0,
        clip: Shape | None = None,
    ) -> None:
        """Cover `shape` with a paint or a plain colour.

        Args:
            shape: where.
            paint: colour (r, g, b) in [0, 1], or a function of position and distance.
            alpha: opacity in [0, 1].
            soft: extra softness of the edge, in picture sides (0: one pixel, anti-aliased).
            clip: paint only inside this shape too (spots on a coat, a pupil in an eye).
        """
        rows, cols = self._window(shape.box, 2 * self.pixel + 7 * soft)
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return
        x, y = self.x[:, cols], self.y[rows]
        d = shape.sdf(x, y)
        edge = self.pixel * 0.3 + soft
        cover = torch.sigmoid(d * (-1 / edge))
        if clip is not None:
            cover = cover * torch.sigmoid(clip.sdf(x, y) * (-1 / (self.pixel * 0.3)))
        colour = (paint if callable(paint) else flat(paint))(x, y, d)
        self.image[:, rows, cols].lerp_(colour, cover if alpha == 1 else cover * alpha)

    def solid(self, shape: Shape, paint: Paint | Colour, **light: float) -> None:
        """Cover `shape` with a paint that is lit as on a round body (`light`: arguments of `shaded`)."""
        self.paint(shape, shaded(paint, shape, **light))

    def shadow(self, shape: Shape, strength: float = 0.3, offset: Point = (0.012, 0.02), soft: float = 0.012) -> None:
        """A soft shadow of `shape`, cast away from the light, onto what is already there."""
        self.paint(shape.shift(*offset), (0.05, 0.05, 0.12), alpha=strength, soft=soft)

    def pool(
        self, centre: Point, rx: float, ry: float, colour: Colour = (0.06, 0.06, 0.1), strength: float = 0.5
    ) -> None:
        """A soft flat spot, half as strong at its half axes rx, ry: the shadow where something touches the ground."""
        (cx, cy), n = centre, 2.0
        rows, cols = self._window((cx - n * rx, cy - n * ry, cx + n * rx, cy + n * ry), 0.0)
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return
        r2 = ((self.x[:, cols] - cx) / rx) ** 2 + ((self.y[rows] - cy) / ry) ** 2
        self.image[:, rows, cols].lerp_(rgb(colour), strength * torch.exp(-0.7 * r2 * r2.sqrt()))

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float = 0.6) -> None:
        """Light added around a point, falling off as a Gaussian of width `radius`."""
        d2 = (self.x - centre[0]) ** 2 + (self.y - centre[1]) ** 2
        self.image += strength * torch.exp(-d2 / (2 * radius * radius)) * (rgb(colour) - self.image).clamp_min(0)

    def tensor(self) -> Tensor:
        """The picture as (3, size, size) in [-1, 1]."""
        return self.image.clamp(0, 1) * 2 - 1
