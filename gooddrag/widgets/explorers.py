"""Before and after, a run from step to step, and what the model sees at a place.

`compare` and `play` are plain HTML: they need no kernel, and work in exported pages.
"""

from collections.abc import Sequence
from functools import lru_cache

import ipywidgets as W
import numpy as np
import torch
from ipycanvas import MultiCanvas
from IPython.display import HTML
from markupsafe import Markup
from matplotlib import colormaps
from PIL import Image, ImageDraw

from gooddrag import motion
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.files import ImageSource
from gooddrag.lora import unet_lock
from gooddrag.marks import HANDLE, TARGET
from gooddrag.masactrl import recorded_states, transformer_blocks
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.widgets.canvas import data_uri, encoded, render

CURVES = {"left": "pixels to the target", "feature": "L1 distance to the original feature"}


def compare(
    before: Image.Image, after: Image.Image, labels: Sequence[str] = ("before", "after"), width: int = 512
) -> HTML:
    """Two pictures of one size, at most `width` CSS pixels long, beside a divider that the mouse drags."""
    return HTML(page(after, width, before, labels=labels, at=50))


def page(after: Image.Image, width: int, before: Image.Image | None = None, **values) -> Markup:
    """HTML of a picture, with or without another one on the left of a divider; see `compare.html`."""
    images = {"before": before and data_uri(before, 2 * width), "after": data_uri(after, 2 * width)}
    width = round(width * after.width / max(after.size))
    return render("compare.html", width=width, size=after.size, **images, **values)


def path_svg(path: np.ndarray, targets: np.ndarray, size: tuple[int, int]) -> Markup:
    """SVG of the handles' way: path (n, l, 2) and targets (l, 2), (x, y) in pixels of an image of `size`."""
    ways = zip(np.swapaxes(path + 0.5, 0, 1).tolist(), (targets + 0.5).tolist(), strict=True)
    return render("path.svg", ways=ways, size=size, red=HANDLE, blue=TARGET)


def play(
    *results: DragResult, labels: Sequence[str] = (), curve: str = "left", frames: int = 24, width: int = 420
) -> HTML:
    """A run, or several of one image to switch between, step by step: page, handles, search window, curve.

    Args:
        results: with `keep=("maps",)` each tracking's distance map lies over the page; dark is alike.
        labels: of the runs. frames: at most so many of each. width: of the long side, at most so many CSS pixels.
        curve: "left" (pixels to the targets) or "feature" (L1 distance to the original feature, as in Fig. 14b).
    """
    if not results or any(not r.history or r.image.size != results[0].image.size for r in results):
        raise ValueError("results: none, or without drag operations, or of several sizes; expected runs of one image")
    to_go = [np.linalg.norm([r.sample.targets - op.handles for op in r.history], axis=2).mean(axis=1) for r in results]
    values = to_go if curve == "left" else [[np.mean(op.distances) for op in r.history] for r in results]
    top, x = max(map(max, values)) or 1.0, 392 / max(1, max(map(len, values)) - 1)
    curves = [" ".join(f"{4 + i * x:.1f},{98 - 78 * v / top:.1f}" for i, v in enumerate(ours)) for ours in values]
    data = [_frames(r, left, frames, x, width) for r, left in zip(results, to_go, strict=True)]
    overlay = Markup('<div class="window"></div><div class="marks"></div>')
    content = {
        "page": page(results[0].sample.image, width, overlay=overlay),
        "width": width,
        "last": max(map(len, data)) - 1,
        "labels": labels or [f"run {n + 1}" for n in range(len(results))],
        "title": f"{CURVES[curve]}, 0 to {top:.3g}, at each drag operation",
        "curves": curves,
        "data": data,
    }
    return HTML(render("play.html", **content))


def _frames(result: DragResult, to_go: np.ndarray, count: int, x: float, width: int) -> list[dict]:
    """What the player shows of some of a run's operations, the first and the last among them."""
    frame, sample, r2, shown = result.frame, result.sample, result.config.r2, []
    grid = frame.grid_size(tuple(result.latent.shape[-2:]), result.config.grid)
    for i in np.unique(np.linspace(0, len(to_go) - 1, count).round().astype(int)).tolist():
        op, p = result.history[i], frame.to_grid(result.path[i], grid)
        low, high = (p - r2).clamp_min(0), torch.minimum(p + r2, torch.tensor(grid) - 1)
        low, high = frame.from_grid(low, grid), frame.from_grid(high, grid)
        heats = [data_uri(heatmap(m.float().numpy(), "viridis"), kind="PNG") for m in op.maps or ()] or [""] * len(p)
        windows = zip(np.concatenate([low, high - low], axis=1).tolist(), heats, strict=True)
        content = {
            "page": data_uri(frame.to_image(result.model.decode_image(op.z0_hat)), width),
            "window": render("window.svg", windows=windows, size=sample.image.size),
            "marks": path_svg(result.path[: i + 2], sample.targets, sample.image.size),
            "text": f"operation {op.k}, level t = {op.t}: {to_go[i]:.1f} px to go, loss {op.losses[-1]:.4g}",
            "x": round(4 + i * x, 1),
        }
        shown.append(content)
    return shown


class probe(W.VBox):  # noqa: N801 (called like a function)
    """Click a place of the picture: where else does the model see the same?

    Args:
        image: anything that `DragEditor.set_image` takes.
        what: "features" (the L1 distance of every place's feature to the clicked one's, as Eq. 6 measures it; dark is
            alike) or "attention" (how much the clicked place looks at every other one; bright is much).
        config: levels and steps of the inversion; None = the model's preset.
        width: of the long side, at most so many CSS pixels.

    Attributes:
        map: (h, w) float array of the last click, or None. picture: the page with the map over it, PIL RGB.
    """

    def __init__(
        self,
        model: DiffusionModel,
        image: ImageSource,
        what: str = "features",
        config: DragConfig | None = None,
        width: int = 420,
    ):
        config = config or DragConfig.preset(model.preset)
        self._editor = DragEditor(model, None).set_image(image)
        latents, schedule = self._editor.invert(config), model.schedule(config.num_steps)
        self._image, self._cells = self._editor.image, tuple(latents[0].shape[-2:])
        self._grid = self._editor.frame.grid_size(self._cells, config.grid)
        self._layers, self.at, self.map = transformer_blocks(model.unet), None, None

        @lru_cache(maxsize=8)
        @torch.no_grad()
        def seen(t: int, block: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
            """Features of an up block, (1, C, h, w), and what every self-attention is given, (1, N, C) each."""
            with recorded_states(model.unet, 0) as states:
                return model.eps_and_features(latents[t], schedule.timestep(t), block)[1], states

        ups, layers = len(model.unet.up_blocks), len(self._layers)
        kinds = {
            "features": ("up block", range(-ups, 0), config.feature_block, self._distances, "viridis"),
            "attention": ("transformer", range(layers), layers - 1, self._attention, "magma"),
        }
        name, blocks, start, self._look, self._colours = kinds[what]
        self._seen = seen
        self.block = W.Dropdown(options=[(f"{name} {n}", n) for n in blocks], value=start, layout={"width": "150px"})
        self.level = W.IntSlider(config.T, 1, config.T, description="level t", layout={"width": "260px"})
        self._size = tuple(max(1, round(2 * width * side / max(self._image.size))) for side in self._image.size)
        self.canvas = MultiCanvas(2, width=self._size[0], height=self._size[1])
        self.canvas.layout = W.Layout(width=f"{self._size[0] // 2}px", max_width="100%", height="auto")  # always crisp
        self._shown, self.caption = W.Image(format="jpeg"), W.HTML("Click a place of the picture.")
        controls = W.HBox([self.block, self.level], layout={"flex_flow": "row wrap"})
        super().__init__([controls, self.canvas, self.caption])
        self.canvas.on_mouse_down(lambda x, y: self.look(x / self._size[0], y / self._size[1]))
        self.canvas.on_client_ready(self._paint)
        for control in (self.block, self.level):
            control.observe(lambda _: self.at and self.look(*self.at), "value")
        self._put(self._image)

    def look(self, x: float, y: float) -> np.ndarray:
        """The map of a place, x and y as shares of the picture's width and height; shown, and returned as (h, w)."""
        with unet_lock(self._editor.model.unet):  # not while a run's LoRA is in its weights
            self.at, self.map = (x, y), self._look(x, y)
        self.caption.value = f"from {self.map.min():.4g} (dark) to {self.map.max():.4g} (bright)"
        grey = self._image.convert("L").resize(self._size, Image.Resampling.LANCZOS).convert("RGBA")
        heat = heatmap(self.map, self._colours).resize(self._size, Image.Resampling.BICUBIC)
        self._put(Image.alpha_composite(grey, heat))
        return self.map

    def _put(self, picture: Image.Image) -> None:
        self.picture = picture.convert("RGB").resize(self._size, Image.Resampling.LANCZOS)
        for colour, radius in (("white", 13), (HANDLE, 10)) if self.at else ():
            ImageDraw.Draw(self.picture).circle(np.multiply(self.at, self._size).tolist(), radius, fill=colour)
        self._shown.value = encoded(self.picture)
        self._paint()

    def _paint(self) -> None:
        self.canvas[0].draw_image(self._shown, 0, 0, *self._size)
        self.canvas[1].reset_transform()  # so that the next picture names its layer to a browser that was reloaded

    def _distances(self, x: float, y: float) -> np.ndarray:
        F = self._seen(self.level.value, self.block.value)[0]
        p = self._editor.frame.to_grid(np.array([[x, y]]) * self._image.size, self._grid).to(F.device)
        f_0 = motion.features_at(F, self._grid, p)[0]
        return motion.distance_map(F, f_0, self._grid, p[0], max(self._grid))[0].float().cpu().numpy()

    @torch.no_grad()
    def _attention(self, x: float, y: float) -> np.ndarray:
        """softmax(q k / sqrt(d)) of the clicked place's query, the mean over the heads."""
        state, layer = self._seen(self.level.value, -1)[1][self.block.value][0], self._layers[self.block.value].attn1
        shrunk = round((np.prod(self._cells) / len(state)) ** 0.5)
        h, w = (-(-n // shrunk) for n in self._cells)
        place = min(int(y * h), h - 1) * w + min(int(x * w), w - 1)
        q, k = (to(state).unflatten(-1, (layer.heads, -1)) for to in (layer.to_q, layer.to_k))  # (N, heads, d)
        weights = torch.einsum("hd,nhd->hn", q[place], k).mul(layer.scale).softmax(dim=1).mean(dim=0)
        return weights.reshape(h, w).float().cpu().numpy()

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        """With a still picture, of the same size, for pages without a kernel."""
        still = data_uri(self.picture, kind="PNG").partition(",")[2]
        shown = {"image/png": {"width": self._size[0] // 2}}
        return {**super()._repr_mimebundle_(**kwargs), "image/png": still}, shown


def heatmap(values: np.ndarray, colours: str) -> Image.Image:
    """(h, w) as RGBA in the colours of matplotlib's map, from the least value (dark) to the largest (bright)."""
    rgba = colormaps[colours]((values - values.min()) / (np.ptp(values) or 1.0), alpha=0.65)
    return Image.fromarray((255 * rgba).round().astype(np.uint8))
