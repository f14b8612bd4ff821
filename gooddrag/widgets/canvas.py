"""The picture one draws on: three ipycanvas layers, painted from the state; pointer and keys become gestures."""

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from io import BytesIO
from threading import Lock

import ipywidgets as W
import numpy as np
from ipycanvas import Canvas, MultiCanvas, hold_canvas
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from PIL import Image, ImageFilter

from gooddrag.marks import HANDLE, TARGET
from gooddrag.widgets.state import PickerState

DARK, LIGHT, MARK = "rgba(10, 10, 25, 0.75)", "white", "#ffd23f"
STROKES = {"brush": "rgba(120, 230, 150, 0.55)", "eraser": "rgba(240, 110, 90, 0.55)"}
IMAGE, MASK, MARKS = range(3)  # the layers; the last one gets the events
REACH, CLICK = 11, 2  # CSS pixels: a press so near takes hold of an end; a pull so short is a click
GROW, LARGEST = 24, 2048  # a tiny image is enlarged at most so many times; the canvas has at most so many pixels a side
UPLOAD_LIMIT = 10_000_000  # bytes: Jupyter drops a connection on which a message of 10 MiB comes
_PAINTING = Lock()  # what ipycanvas holds is one for all canvases; messages may be handled in several threads
TEMPLATES = Environment(loader=PackageLoader("gooddrag.widgets"), autoescape=True)


class PickerCanvas:
    """Shows an image with its points and mask; `to_image` and `to_canvas` are the only places that know its scale.

    Args:
        longest: longest side on the screen, in CSS pixels.
        act: runs the handler of an event, `act(function, hover=...)`: shows its errors, then repaints.

    Attributes:
        size: (w, h) of the canvas in pixels of the screen. ratio: pixels of the screen per CSS pixel.
        script: the page's script and style, to be shown beside it. on_news: gets its other news, a name and a number.
    """

    def __init__(self, state: PickerState, longest: int, act: Callable):
        self.state, self.longest, self.act = state, longest, act
        self.on_news: Callable[[str, float], object] = lambda name, number: None
        self.widget, self._picture = MultiCanvas(3), W.Image(format="jpeg")
        self.widget.layout.height, self.widget.layout.max_width = "auto", "100%"
        self._beat, self._beats = W.HTML(), 0
        self._beat.add_class("gooddrag-beat")
        script = TEMPLATES.loader.get_source(TEMPLATES, "page.js")[0] + f"(this, {UPLOAD_LIMIT})"
        self.script = W.VBox([self._beat, W.HTML(render("page.html", script=script))])
        self.script.add_class("gooddrag-script")
        self._resize()
        w, s = self.widget, state
        w.on_mouse_down(partial(self._point, s.press))
        w.on_mouse_move(partial(self._point, s.pull))
        w.on_mouse_up(partial(self._point, s.release))
        w.on_mouse_out(lambda x, y: act(lambda: setattr(s, "pointer", None), hover=True))
        w.on_touch_start(partial(self._touch, s.press))
        w.on_touch_move(partial(self._touch, s.pull))
        w.on_touch_end(lambda _: s.pointer is None or act(lambda: s.release(*s.pointer)))
        w.on_touch_cancel(lambda _: act(s.cancel))
        w.on_key_down(self._key)
        w.on_client_ready(lambda: self.paint(everything=True))  # a browser that comes (back) has empty canvases

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Canvas pixels, whose corner is (0, 0), to pixels of the image, whose first centre is (0, 0)."""
        return x / self.scale[0] - 0.5, y / self.scale[1] - 0.5

    def to_canvas(self, points: np.ndarray) -> np.ndarray:
        """The other way round, (..., 2)."""
        return (np.asarray(points, float) + 0.5) * self.scale

    def paint(self, everything: bool = False) -> None:
        """Bring the layers up to date: one message to the browser."""
        if self.state.image is not self._shown_image:
            self._resize()
            everything = True
        mask, marks = self.state.mask, self.widget[MARKS]
        remask = everything or mask is not self._shown_mask
        veiled = veil(mask, self.size) if remask and mask is not None else None
        self._shown_mask = mask
        with _PAINTING, hold_canvas():
            if everything:
                self.widget[IMAGE].draw_image(self._picture, 0, 0, *self.size)
            self.widget[MASK].reset_transform()  # names a layer: a reloaded browser does not know which was current
            if remask:
                self.widget[MASK].clear()
            if veiled is not None:
                self.widget[MASK].put_image_data(veiled)
            marks.reset_transform()
            marks.clear()
            marks.scale(self.ratio)  # from here on, one unit is a CSS pixel
            self._paint_points(marks)
            if self.state.pointer is not None:
                self._paint_pointer(marks)

    def _resize(self, css_width: float | None = None, ratio: float = 1.0) -> None:
        """Take the image of the state, and draw at the screen's own pixels; None = the width that suits the image."""
        image = self.state.image
        if css_width is None:
            css_width = image.width * min(self.longest / max(image.size), GROW)
            self.widget.layout.width = f"{max(1, round(css_width))}px"
        width = min(css_width * ratio, LARGEST, LARGEST * image.width / image.height)
        self.size = (max(1, round(width)), max(1, round(width * image.height / image.width)))
        self.ratio, self.scale = width / css_width, np.array(self.size) / image.size
        pixel = self.ratio / float(self.scale.min())  # of CSS, in pixels of the image
        self.state.reach, self.state.click = REACH * pixel, CLICK * pixel
        self.widget.width, self.widget.height = self.size
        self._picture.value = encoded(image.resize(self.size, Image.Resampling.LANCZOS, reducing_gap=3))
        self._shown_image, self._shown_mask = image, self  # unlike any mask: the next paint draws it

    def _point(self, gesture: Callable, x: float, y: float) -> None:
        if pressed := gesture == self.state.press:
            self._beats += 1
            self._beat.value = str(self._beats)  # the page sees that the kernel is listening
        self.act(lambda: gesture(*self.to_image(x, y)), hover=not (pressed or self.state.path))

    def _touch(self, gesture: Callable, touches: list[tuple[float, float]]) -> None:
        if len(touches) == 1:
            self._point(gesture, *touches[0])
        else:  # two fingers scroll or zoom
            self.act(self.state.cancel)

    def _key(self, key: str, shift: bool, ctrl: bool, meta: bool) -> None:
        name, *numbers = key.split() or [key]
        if not numbers:
            self.act(lambda: self.state.key(key, ctrl or meta, shift))
        elif name == "display":
            self._resize(*map(float, numbers))
            self.paint(everything=True)
        else:
            self.on_news(name, float(numbers[0]))

    def _paint_points(self, layer: Canvas) -> None:
        points = self.to_canvas(self.state.pulled) / self.ratio
        for handle, target in points:
            arrow(layer, handle, target)
        layer.font, layer.text_baseline, layer.text_align = "bold 13px sans-serif", "middle", "center"
        for number, (handle, target) in enumerate(points):
            rim, size = (MARK, 9.5) if number == self.state.selected else (DARK, 7.5)
            for at, colour in ((target, TARGET), (handle, HANDLE)):
                for layer.fill_style, radius in ((rim, size), (LIGHT, 6.5), (colour, 5)):
                    layer.fill_circle(*at, radius)
            x, y = handle - [0, 16 if handle[1] > 24 else -16]
            layer.stroke_style, layer.line_width, layer.fill_style = DARK, 3.5, LIGHT
            layer.stroke_text(str(number + 1), x, y)
            layer.fill_text(str(number + 1), x, y)

    def _paint_pointer(self, layer: Canvas) -> None:
        """The brush, and what a gesture has covered so far."""
        state, (*path, pointer) = self.state, self.to_canvas([*self.state.path, self.state.pointer]) / self.ratio
        if state.mode in STROKES:
            radius = max(1.0, state.radius * float(self.scale.min()) / self.ratio)
            if path:
                layer.stroke_style, layer.line_width = STROKES[state.mode], 2 * radius
                layer.line_cap = layer.line_join = "round"
                layer.stroke_lines(np.array([*path, path[-1] + 0.1]))  # a single point would leave nothing
            outlined(layer, lambda: layer.stroke_circle(*pointer, radius))
        elif path and state.mode != "points":
            low, extent = np.minimum(path[0], path[-1]), np.abs(path[-1] - path[0])
            layer.begin_path()
            if state.mode == "box":
                layer.rect(*low, *extent)
            else:
                layer.ellipse(*(low + extent / 2), *(extent / 2), 0, 0, 2 * np.pi)
            outlined(layer, layer.stroke)


def arrow(layer: Canvas, handle: np.ndarray, target: np.ndarray) -> None:
    """From handle to target; shows on any picture: light inside dark."""
    length = float(np.hypot(*(target - handle)))
    if length < 1:
        return
    tip, head = length - min(6.0, 0.3 * length), min(12.0, 0.6 * length)  # the tip is at the rim of the target's dot
    half = [[0, 1.5], [tip - head, 1.5], [tip - head, head / 2], [tip, 0]]  # along the way, and across
    x, y = (target - handle) / length
    shape = handle + np.array([*half, *([a, -b] for a, b in half[-2::-1])]) @ [[x, y], [-y, x]]
    layer.stroke_style, layer.line_width, layer.line_join, layer.fill_style = DARK, 3.5, "round", LIGHT
    layer.stroke_polygon(shape)
    layer.fill_polygon(shape)


def outlined(layer: Canvas, stroke: Callable[[], None]) -> None:
    """A light line inside a dark one."""
    for layer.stroke_style, layer.line_width in ((DARK, 3.5), (LIGHT, 1.5)):
        stroke()


def veil(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What lies over the pixels of a mask (H, W) that may not change: dark, stripes, an edge; uint8 (h, w, 4)."""
    shown = Image.fromarray(mask).convert("L").resize(size, Image.Resampling.NEAREST)
    inside, outside = np.asarray(shown.filter(ImageFilter.MinFilter(3))) > 0, np.asarray(shown) == 0
    y, x = np.indices(outside.shape)
    painted = np.zeros((*outside.shape, 4), np.uint8)
    painted[outside] = (10, 10, 25, 125)
    painted[outside & ((x + y) % 16 < 2)] = (235, 235, 245, 60)
    painted[~inside & ~outside] = (255, 255, 255, 255)
    return painted


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    """The image as a file; a JPEG has no alpha and keeps colour edges sharp."""
    buffer = BytesIO()
    (image.convert("RGB") if kind == "JPEG" else image).save(buffer, kind, quality=92, subsampling=0)
    return buffer.getvalue()


def data_uri(image: Image.Image, longest: int | None = None, kind: str = "JPEG") -> str:
    """The image as a file inside an address, scaled down where its long side is longer than `longest` pixels."""
    if longest:
        image = image.copy()
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return f"data:image/{kind.lower()};base64,{b64encode(encoded(image, kind)).decode()}"


def render(template: str, **values) -> Markup:
    """HTML or SVG of a file in `templates`; what is not `Markup` is escaped."""
    return Markup(TEMPLATES.get_template(template).render(**values))
