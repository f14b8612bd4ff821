"""The picture one draws on: four ipycanvas layers that are painted from the state and keep nothing themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from ipycanvas import Canvas, MultiCanvas, hold_canvas
from ipywidgets import Image as ImageWidget
from PIL import Image

from gooddrag.picker import marks
from gooddrag.picker.gestures import Gestures
from gooddrag.plots.base import HANDLE, TARGET

IMAGE, MASK, ARROWS, TOUCH = range(4)  # the layers; the last one gets the events
REACH = 11  # canvas pixels around an end in which a press takes hold of it
GROW = 24  # at most so many canvas pixels for one of a tiny image


class PickerCanvas:
    """Shows an image with its points and mask, and turns pointer and keys into gestures.

    The canvas is as large as fits; `to_image` and `to_canvas` are the only places that know its scale.

    Args:
        image: PIL RGB.
        gestures: what the events go to.
        longest: longest side of the canvas in pixels.
        act: runs the handler of an event: `act(function)`; it shows errors and tells whoever listens.
    """

    def __init__(self, image: Image.Image, gestures: Gestures, longest: int, act: Callable[[Callable], None]):
        self.gestures, self.longest, self.act = gestures, longest, act
        self.widget = MultiCanvas(4)
        self.widget.layout.max_width = "100%"
        self.widget.layout.height = "auto"
        self._picture = ImageWidget()
        self.show(image)
        self._listen()

    def show(self, image: Image.Image) -> None:
        """Take an image; its size decides the size of the canvas."""
        scale = min(self.longest / max(image.size), GROW)
        self.size = tuple(max(1, round(n * scale)) for n in image.size)
        self.scale = np.array(self.size) / image.size
        self.gestures.reach = REACH / float(self.scale.min())
        self.widget.width, self.widget.height = self.size
        self._picture.format = "png" if enlarged(image, self.size) else "jpeg"
        self._picture.value = display_bytes(image, self.size)
        self._shown_mask = self._shown_arrows = self  # unlike anything that can be shown: the next paint draws it

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Canvas pixels, whose corner is (0, 0), to pixels of the image, whose first centre is (0, 0)."""
        return x / self.scale[0] - 0.5, y / self.scale[1] - 0.5

    def to_canvas(self, points: np.ndarray) -> np.ndarray:
        """The other way round, (..., 2)."""
        return (np.asarray(points, float) + 0.5) * self.scale

    def paint(self, everything: bool = False) -> None:
        """Bring the layers up to date: one message to the browser."""
        mask, arrows = self.gestures.state.mask, (self.gestures.points.tobytes(), self.gestures.selected)
        veil = None
        if everything or mask is not self._shown_mask:
            veil = marks.veil(mask, self.size) if mask is not None else np.empty(0)
        with _one_message(self.widget):
            if everything:
                self.widget[IMAGE].clear()
                self.widget[IMAGE].draw_image(self._picture, 0, 0, *self.size)
            if veil is not None:
                self.widget[MASK].clear()
                if veil.size:
                    self.widget[MASK].put_image_data(veil)
            if everything or arrows != self._shown_arrows:
                self._paint_arrows(self.widget[ARROWS])
            self._paint_touch(self.widget[TOUCH])
        self._shown_mask, self._shown_arrows = mask, arrows

    def _listen(self) -> None:
        w = self.widget
        w.on_mouse_down(lambda x, y: self._point("press", x, y))
        w.on_mouse_move(lambda x, y: self._point("pull", x, y))
        w.on_mouse_up(lambda x, y: self._point("release", x, y))
        w.on_mouse_out(lambda x, y: self.act(lambda: self._leave(x, y)))
        w.on_touch_start(lambda touches: self._touch("press", touches))
        w.on_touch_move(lambda touches: self._touch("pull", touches))
        w.on_touch_end(lambda _: self.act(self._lift))
        w.on_touch_cancel(lambda _: self.act(lambda: self.gestures.cancel()))
        w.on_key_down(lambda key, shift, ctrl, meta: self.act(lambda: self.gestures.key(key, shift, ctrl or meta)))
        w.on_client_ready(lambda: self.paint(everything=True))  # a browser that comes (back) has empty canvases

    def _point(self, gesture: str, x: float, y: float) -> None:
        self.act(lambda: getattr(self.gestures, gesture)(*self.to_image(x, y)))

    def _touch(self, gesture: str, touches: list[tuple[float, float]]) -> None:
        if len(touches) == 1:
            self._point(gesture, *touches[0])
        else:  # two fingers: not ours
            self.act(self.gestures.cancel)

    def _leave(self, x: float, y: float) -> None:
        """A pull out of the canvas ends at its border: the release outside would never arrive."""
        try:
            self.gestures.release(*self.to_image(x, y))
        finally:
            self.gestures.pointer = None

    def _lift(self) -> None:
        if self.gestures.pointer is not None:  # the event itself does not say where the finger was
            self.gestures.release(*self.gestures.pointer)

    def _paint_arrows(self, layer: Canvas) -> None:
        layer.clear()
        points = self.to_canvas(self.gestures.points)
        for handle, target in points:
            marks.arrow(layer, handle, target)
        for number, (handle, target) in enumerate(points):
            chosen = number == self.gestures.selected
            marks.dot(layer, target, TARGET, chosen)
            marks.dot(layer, handle, HANDLE, chosen)
            marks.label(layer, str(number + 1), handle, self.size)

    def _paint_touch(self, layer: Canvas) -> None:
        layer.clear()
        g = self.gestures
        if g.pointer is None:
            return
        pointer = self.to_canvas(g.pointer)
        path = self.to_canvas(g.live.path) if g.live else None
        if g.mode in ("brush", "eraser"):
            marks.brush(layer, pointer, path, g.radius * float(self.scale.min()), g.mode == "brush")
        elif g.mode in ("box", "ellipse") and path is not None:
            marks.shape(layer, path[0], path[-1], g.mode == "ellipse")
        marks.readout(layer, "{}, {}".format(*g.snap(*g.pointer)), self.size)


@contextmanager
def _one_message(widget: MultiCanvas) -> Iterator[None]:
    """Hold the drawing and send it as one message, which begins by saying which layer it is for.

    Without that a browser that was reloaded does not know, and its queue of drawing stops for good. An error inside
    must not leave the holding on either: it is global.
    """
    error = None
    with hold_canvas():
        widget._canvas_manager._current_canvas = None
        try:
            yield
        except Exception as caught:
            error = caught
    if error:
        raise error


def enlarged(image: Image.Image, size: tuple[int, int]) -> bool:
    """Whether showing an image at this size makes it larger."""
    return size[0] >= image.width


def display_bytes(image: Image.Image, size: tuple[int, int]) -> bytes:
    """An image at the size it is shown: whole pixels of a small one, as PNG; a large one scaled down, as JPEG."""
    buffer = BytesIO()
    if enlarged(image, size):
        image.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    else:
        small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
        small.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
