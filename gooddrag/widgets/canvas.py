"""The picture one draws on: four ipycanvas layers, painted from the state; pointer and keys become gestures."""

from collections.abc import Callable
from io import BytesIO
from threading import Lock

import ipywidgets as W
import numpy as np
from ipycanvas import Canvas, MultiCanvas, hold_canvas
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from PIL import Image

from gooddrag.marks import HANDLE, TARGET
from gooddrag.widgets.gestures import Gestures

DARK, LIGHT, MARK = "rgba(10, 10, 25, 0.75)", "white", "#ffd23f"
IMAGE, MASK, ARROWS, TOUCH = range(4)  # the layers; the last one gets the events
REACH, CLICK = 11, 2  # CSS pixels: a press so near takes hold of an end; a pull so short is a click
GROW, LARGEST = 24, 2048  # a tiny image is enlarged at most so many times; the canvas has at most so many pixels a side
UPLOAD_LIMIT = 10_000_000  # bytes: Jupyter drops a connection on which a message of 10 MiB comes
_PAINTING = Lock()  # what ipycanvas holds is one for all canvases; messages may be handled in several threads
TEMPLATES = Environment(loader=PackageLoader("gooddrag.widgets"), autoescape=True)


class PickerCanvas:
    """Shows an image with its points and mask; `to_image` and `to_canvas` are the only places that know its scale.

    Args:
        gestures: what the events go to; it has the state.
        longest: longest side on the screen, in CSS pixels.
        act: runs the handler of an event, `act(function, hover=...)`: shows its errors, then repaints.

    Attributes:
        size: (w, h) of the canvas in pixels of the screen. ratio: pixels of the screen per CSS pixel.
        script: the widget that carries the page's script and style; it must be shown beside the canvas.
        on_news: gets other news of the page: a name and a number.
    """

    def __init__(self, gestures: Gestures, longest: int, act: Callable):
        self.gestures, self.longest, self.act = gestures, longest, act
        self.on_news: Callable[[str, float], object] = lambda name, number: None
        self.widget, self._picture = MultiCanvas(4), W.Image(format="jpeg")
        self.widget.layout.height, self.widget.layout.max_width = "auto", "100%"
        self._beat, self._beats = W.HTML(), 0
        self._beat.add_class("gooddrag-beat")
        script = TEMPLATES.loader.get_source(TEMPLATES, "page.js")[0] + f"(this, {UPLOAD_LIMIT})"
        self.script = W.VBox([self._beat, W.HTML(render("page.html", script=script))])
        self.script.add_class("gooddrag-script")
        self.show()
        self._listen()

    def show(self) -> None:
        """Take the image of the state; its shape decides the size of the canvas."""
        image = self.gestures.state.now.image
        width = image.width * min(self.longest / max(image.size), GROW)
        self.widget.layout.width = f"{max(1, round(width))}px"
        self._resize(width, 1.0)

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Canvas pixels, whose corner is (0, 0), to pixels of the image, whose first centre is (0, 0)."""
        return x / self.scale[0] - 0.5, y / self.scale[1] - 0.5

    def to_canvas(self, points: np.ndarray) -> np.ndarray:
        """The other way round, (..., 2)."""
        return (np.asarray(points, float) + 0.5) * self.scale

    def paint(self, everything: bool = False) -> None:
        """Bring the layers up to date: one message to the browser.

        Arrows and touch are always painted, so that every message begins with a change of the layer: a browser that was
        reloaded does not know which one was current.
        """
        state = self.gestures.state
        if state.now.image is not self._shown_image:
            self.show()
            everything = True
        remask = everything or state.mask is not self._shown_mask
        veiled = veil(state.mask, self.size) if remask and state.mask is not None else None
        self._shown_mask = state.mask
        with _PAINTING, hold_canvas():
            if everything:
                self.widget[IMAGE].draw_image(self._picture, 0, 0, *self.size)
            if remask:
                self.widget[MASK].clear()
            if veiled is not None:
                self.widget[MASK].put_image_data(veiled)
            self._paint_arrows(self._cleared(ARROWS))
            self._paint_touch(self._cleared(TOUCH))

    def _resize(self, css_width: float, ratio: float) -> None:
        """Take the width on the screen, and draw at the screen's own pixels."""
        image = self.gestures.state.now.image
        width = min(css_width * ratio, LARGEST, LARGEST * image.width / image.height)
        self.size = (max(1, round(width)), max(1, round(width * image.height / image.width)))
        self.ratio, self.scale = width / css_width, np.array(self.size) / image.size
        pixel = self.ratio / float(self.scale.min())  # of CSS, in pixels of the image
        self.gestures.reach, self.gestures.click = REACH * pixel, CLICK * pixel
        self.widget.width, self.widget.height = self.size
        self._picture.value = jpeg(image.resize(self.size, Image.Resampling.LANCZOS, reducing_gap=3))
        self._shown_image, self._shown_mask = image, self  # unlike any mask: the next paint draws it

    def _listen(self) -> None:
        w, g = self.widget, self.gestures
        w.on_mouse_down(self._press)
        w.on_mouse_move(self._pull)
        w.on_mouse_up(lambda x, y: self.act(lambda: g.release(*self.to_image(x, y)), hover=g.live is None))
        w.on_mouse_out(lambda x, y: self.act(g.leave, hover=True))
        w.on_touch_start(lambda touches: self._touch(self._press, touches))
        w.on_touch_move(lambda touches: self._touch(self._pull, touches))
        w.on_touch_end(lambda _: g.pointer is None or self.act(lambda: g.release(*g.pointer)))
        w.on_touch_cancel(lambda _: self.act(g.cancel))
        w.on_key_down(self._key)
        w.on_client_ready(lambda: self.paint(everything=True))  # a browser that comes (back) has empty canvases

    def _press(self, x: float, y: float) -> None:
        self._beats += 1
        self._beat.value = str(self._beats)  # the page sees that the kernel is listening
        self.act(lambda: self.gestures.press(*self.to_image(x, y)))

    def _pull(self, x: float, y: float) -> None:
        self.act(lambda: self.gestures.pull(*self.to_image(x, y)), hover=self.gestures.live is None)

    def _touch(self, gesture: Callable, touches: list[tuple[float, float]]) -> None:
        if len(touches) == 1:
            gesture(*touches[0])
        else:  # two fingers scroll or zoom
            self.act(self.gestures.cancel)

    def _key(self, key: str, shift: bool, ctrl: bool, meta: bool) -> None:
        name, *numbers = key.split() or [key]
        if not numbers:
            self.act(lambda: self.gestures.key(key, ctrl or meta, shift))
        elif name == "display":
            self._resize(*map(float, numbers))
            self.paint(everything=True)
        else:
            self.on_news(name, float(numbers[0]))

    def _cleared(self, layer: int) -> Canvas:
        """A layer on which one unit is a CSS pixel."""
        canvas = self.widget[layer]
        canvas.set_transform(1, 0, 0, 1, 0, 0)
        canvas.clear()
        canvas.set_transform(self.ratio, 0, 0, self.ratio, 0, 0)
        return canvas

    def _paint_arrows(self, layer: Canvas) -> None:
        points, width = self.to_canvas(self.gestures.points) / self.ratio, self.size[0] / self.ratio
        for handle, target in points:
            arrow(layer, handle, target)
        for number, (handle, target) in enumerate(points):
            rim, size = (MARK, 9.5) if number == self.gestures.selected else (DARK, 7.5)
            for at, colour in ((target, TARGET), (handle, HANDLE)):
                for layer.fill_style, radius in ((rim, size), (LIGHT, 6.5), (colour, 5)):
                    layer.fill_circle(*at, radius)
            right = handle[0] < width - 24  # of the point, where there is room
            x, y = handle + [11 if right else -11, -10 if handle[1] > 20 else 12]
            text(layer, str(number + 1), x, y, "left" if right else "right")

    def _paint_touch(self, layer: Canvas) -> None:
        g = self.gestures
        if g.pointer is None:
            return
        pointer = self.to_canvas(g.pointer) / self.ratio
        path = self.to_canvas(g.live.path) / self.ratio if g.live else None
        if g.mode in ("brush", "eraser"):
            radius = max(1.0, g.radius * float(self.scale.min()) / self.ratio)
            if path is not None:
                layer.stroke_style = "rgba(120, 230, 150, 0.55)" if g.mode == "brush" else "rgba(240, 110, 90, 0.55)"
                layer.line_width, layer.line_cap, layer.line_join = 2 * radius, "round", "round"
                layer.stroke_lines(np.concatenate([path, path[-1:] + 0.1]))
            outlined(layer, lambda: layer.stroke_circle(*pointer, radius))
        elif g.mode != "points" and path is not None:
            low, extent = np.minimum(path[0], path[-1]), np.abs(path[-1] - path[0])
            layer.begin_path()
            if g.mode == "box":
                layer.rect(*low, *extent)
            else:
                layer.ellipse(*(low + extent / 2), *(extent / 2), 0, 0, 2 * np.pi)
            outlined(layer, layer.stroke)
        text(layer, "{}, {}".format(*g.snap(*g.pointer)), 6, self.size[1] / self.ratio - 10, "left")


def arrow(layer: Canvas, handle: np.ndarray, target: np.ndarray) -> None:
    """From handle to target; shows on any picture: light inside dark."""
    way, length = target - handle, float(np.hypot(*(target - handle)))
    if length < 1:
        return
    along, across = way / length, np.array([-way[1], way[0]]) / length
    tip = target - along * min(6.0, 0.3 * length)  # at the rim of the target's dot
    head = min(12.0, 0.6 * length)
    base = tip - along * head
    triangle = np.array([tip, base + across * head * 0.5, base - across * head * 0.5])
    layer.line_cap = "round"
    for layer.stroke_style, layer.line_width in ((DARK, 6), (LIGHT, 3)):
        layer.stroke_line(*handle, *base)
        layer.stroke_polygon(triangle)
    layer.fill_style = LIGHT
    layer.fill_polygon(triangle)


def text(layer: Canvas, shown: str, x: float, y: float, align: str) -> None:
    """Light text with a dark rim, its middle at y."""
    layer.font, layer.text_baseline, layer.text_align = "bold 13px sans-serif", "middle", align
    layer.stroke_style, layer.line_width, layer.line_join, layer.fill_style = DARK, 3.5, "round", LIGHT
    layer.stroke_text(shown, x, y)
    layer.fill_text(shown, x, y)


def outlined(layer: Canvas, stroke: Callable[[], None]) -> None:
    """A light line inside a dark one."""
    for layer.stroke_style, layer.line_width in ((DARK, 3.5), (LIGHT, 1.5)):
        stroke()


def veil(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What lies over the pixels that may not change: dark with light stripes and an edge, uint8 (h, w, 4).

    Args:
        mask: bool (H, W). size: (w, h) of the canvas.
    """
    shown = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    y, x = np.indices(shown.shape)
    painted = np.zeros((*shown.shape, 4), np.uint8)
    painted[~shown] = (10, 10, 25, 125)
    painted[~shown & ((x + y) % 16 < 2)] = (235, 235, 245, 60)
    padded = np.pad(shown, 1, mode="edge")
    around = np.stack([padded[1:-1, 2:], padded[1:-1, :-2], padded[2:, 1:-1], padded[:-2, 1:-1]])
    painted[shown & ~around.all(axis=0)] = (255, 255, 255, 255)
    painted[~shown & around.any(axis=0)] = (10, 10, 25, 255)
    return painted


def jpeg(image: Image.Image) -> bytes:
    """The image as a JPEG file that keeps colour edges sharp."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def render(template: str, **values) -> Markup:
    """HTML or SVG of a file in `templates`; what is not `Markup` is escaped."""
    return Markup(TEMPLATES.get_template(template).render(**values))
