"""The picture one draws on: ipycanvas layers and an SVG, painted from the state; pointer and keys become gestures."""

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from io import BytesIO
from threading import Lock

import ipywidgets as W
import numpy as np
from ipycanvas import MultiCanvas, hold_canvas
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from PIL import Image, ImageFilter

from gooddrag.marks import HANDLE, TARGET
from gooddrag.widgets.state import PickerState

REACH, CLICK = 11, 2  # CSS pixels: a press so near takes hold of an end; a pull so short is a click
DENSE = 2  # pixels of the canvas per CSS pixel: sharp on dense screens, too
UPLOAD_LIMIT = 10_000_000  # bytes: Jupyter drops a connection on which a message of 10 MiB comes
_PAINTING = Lock()  # what ipycanvas holds is one for all canvases; messages may be handled in several threads
TEMPLATES = Environment(loader=PackageLoader("gooddrag.widgets"), autoescape=True)


class PickerCanvas:
    """Shows an image with its points and mask; `to_image` and `to_canvas` are the only places that know its scale.

    Args:
        longest: longest side on the screen, in CSS pixels.
        act: runs the handler of an event, `act(function, hover=...)`: shows its errors, then repaints.

    Attributes:
        size: (w, h) of the canvas in its own pixels. script: the page's script and style, to be shown beside it.
    """

    def __init__(self, state: PickerState, longest: int, act: Callable):
        self.state, self.longest, self.act, self._shown = state, longest, act, None
        self.layers, self._picture = MultiCanvas(2, layout={"width": "100%", "height": "auto"}), W.Image(format="jpeg")
        self.marks = W.HTML().add_class("gooddrag-marks")
        self.widget = W.Box([self.layers, self.marks], layout={"max_width": "100%"}).add_class("gooddrag-canvas")
        self.script = W.HTML(render("page.html", limit=UPLOAD_LIMIT)).add_class("gooddrag-script")
        w, s = self.layers, state
        w.on_mouse_down(partial(self._point, s.press))
        w.on_mouse_move(partial(self._point, s.pull))
        w.on_mouse_up(partial(self._point, s.release))
        w.on_mouse_out(lambda x, y: act(lambda: setattr(s, "pointer", None), hover=True))
        w.on_touch_start(partial(self._touch, s.press))
        w.on_touch_move(partial(self._touch, s.pull))
        w.on_touch_end(lambda _: s.pointer is None or act(lambda: s.release(*s.pointer)))
        w.on_touch_cancel(lambda _: act(lambda: s.key("Escape")))
        w.on_key_down(lambda key, shift, ctrl, meta: act(lambda: s.key(key, ctrl=ctrl or meta, shift=shift)))
        w.on_client_ready(lambda: self.paint(everything=True))  # a browser that comes (back) has empty canvases
        self.paint()

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Canvas pixels, whose corner is (0, 0), to pixels of the image, whose first centre is (0, 0)."""
        return x / self.scale[0] - 0.5, y / self.scale[1] - 0.5

    def to_canvas(self, points: np.ndarray) -> np.ndarray:
        """The other way round, (..., 2)."""
        return (np.asarray(points, float) + 0.5) * self.scale

    def paint(self, *, everything: bool = False) -> None:
        """Bring it up to date. The picture goes first, so that a browser that was reloaded learns the layer's name."""
        s, before, self._shown = self.state, self._shown, self.state.now
        if before is None or s.image is not before.image:
            self._resize()
            everything = True
        if everything or s.now.mask != before.mask:
            veiled = None if s.mask is None else veil(s.mask, self.size)
            with _PAINTING, hold_canvas():
                self.layers[0].draw_image(self._picture, 0, 0, *self.size)
                self.layers[1].clear()
                if veiled is not None:
                    self.layers[1].put_image_data(veiled)
        path, pointer = np.reshape(s.path, (-1, 2)), np.reshape(s.pointer or (), (-1, 2))
        pairs, path, pointer = ((self.to_canvas(at) / DENSE).tolist() for at in (s.pulled, path, pointer))
        radius, size = s.radius * self.scale[0] / DENSE, np.divide(self.size, DENSE)
        gesture = {"mode": s.mode, "selected": s.selected, "radius": radius, "path": path, "pointer": pointer}
        self.marks.value = render("marks.svg", pairs=pairs, size=size, red=HANDLE, blue=TARGET, **gesture)

    def _resize(self) -> None:
        """Take the image of the state."""
        image, pixel = self.state.image, max(self.state.size) / self.longest  # of CSS, in pixels of the image
        self.size = tuple(max(1, round(DENSE * side / pixel)) for side in image.size)
        self.scale = np.array(self.size) / image.size
        self.state.reach, self.state.click = REACH * pixel, CLICK * pixel
        self.widget.layout.width = f"{self.size[0] / DENSE}px"
        self.layers.width, self.layers.height = self.size
        self._picture.value = encoded(image.resize(self.size, Image.Resampling.LANCZOS, reducing_gap=3))

    def _point(self, gesture: Callable, x: float, y: float) -> None:
        hover = gesture != self.state.press and not self.state.path
        self.act(lambda: gesture(*self.to_image(x, y)), hover=hover)

    def _touch(self, gesture: Callable, touches: list[tuple[float, float]]) -> None:
        if len(touches) == 1:
            self._point(gesture, *touches[0])
        else:  # two fingers scroll or zoom
            self.act(lambda: self.state.key("Escape"))


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
    """The image as a file; a JPEG has no alpha and keeps colour edges sharp, a WebP is three times smaller."""
    buffer, quality = BytesIO(), 75 if kind == "WEBP" else 92
    (image.convert("RGB") if kind == "JPEG" else image).save(buffer, kind, quality=quality, subsampling=0)
    return buffer.getvalue()


def data_uri(image: Image.Image, longest: int | None = None, kind: str = "WEBP") -> str:
    """The image as a file inside an address, scaled down where its long side is longer than `longest` pixels."""
    if longest:
        image = image.copy()
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return f"data:image/{kind.lower()};base64,{b64encode(encoded(image, kind)).decode()}"


def render(template: str, **values) -> Markup:
    """HTML or SVG of a file in `templates`; what is not `Markup` is escaped."""
    return Markup(TEMPLATES.get_template(template).render(**values))
