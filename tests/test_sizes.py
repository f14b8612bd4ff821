"""Pictures of any shape through the whole edit on a small model of Stable Diffusion's shape: sizes and places."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny import picture

from gooddrag import motion
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.frame import Frame

# (W, H): Drag100 has the first two; their latents, 64 x 84 and 94 x 64, are not divisible by 8, nor 48 x 80 by 64
SIZES = [(512, 665), (748, 512), (384, 640), (130, 190)]
CONFIG = DragConfig(num_steps=2, strength=1.0, K=1, B=1, J=1, lam=0.0)


@pytest.mark.parametrize("size", SIZES)
def test_whole_edit(tiny_sd, size):
    """The result has the input's size, and the loss pulls where the handles are: within two latent cells of them."""
    w, h = size
    points = np.array([[[60, 50], [60, 80]], [[w - 62 - w % 2, h - 72 - h % 2], [w - 42 - w % 2, h - 72 - h % 2]]])
    seen = []
    editor = DragEditor(tiny_sd).set_image(picture(size))
    result = editor.drag(points, None, CONFIG, callback=lambda s: seen.append(s) if s.event == "update" else None)
    assert result.image.size == size and result.frame.scaled == size
    assert result.tensor.shape == (1, 3, -(-h // 8) * 8, -(-w // 8) * 8) and result.tensor.isfinite().all()
    assert (np.abs(result.path[-1] - points[:, 0]) <= 24).all()  # tracked within the window, in pixels of the picture

    energy = seen[0].grad[0].square().sum(dim=0)  # (h, w) of the latent
    y, x = torch.meshgrid(*(8 * torch.arange(n) + 3.5 for n in energy.shape), indexing="ij")  # its cells' centres
    near_first = (x - points[0, 0, 0]) ** 2 + (y - points[0, 0, 1]) ** 2 < (x - points[1, 0, 0]) ** 2 + (
        y - points[1, 0, 1]
    ) ** 2
    for part, handle in zip((near_first, ~near_first), points[:, 0], strict=True):
        pull = energy * part
        centre = np.array([float((pull * axis).sum() / pull.sum()) for axis in (x, y)])
        assert np.abs(centre - handle).max() < 16
        assert float(pull.sum() / energy.sum()) > 0.2


def page(size, at):
    """A flat page with a two-coloured marker around a point."""
    image = Image.new("RGB", size, (90, 110, 130))
    draw, (x, y) = ImageDraw.Draw(image), at
    draw.rectangle([x - 10, y - 14, x + 9, y + 13], fill=(240, 40, 30))
    draw.rectangle([x - 10, y - 14, x - 1, y - 1], fill=(30, 220, 40))
    return image


@pytest.mark.parametrize("shift, corner", [((16, 0), False), ((-16, 8), True), ((8, -16), True)])
@pytest.mark.parametrize("size", SIZES)
def test_a_marker_is_found_where_it_was_dragged_to(tiny_sd, size, shift, corner):
    """To half a pixel, near the far corner too. The latent stands for the features: it moves with the marker by whole
    cells, so the picture's coordinates, the padding, the latent and the grid must fit together.
    """
    w, h = size
    start = (w - 66 - w % 2, h - 66 - h % 2) if corner else (54, 60)
    goal = (start[0] + shift[0], start[1] + shift[1])
    z_0, z = (tiny_sd.encode(Frame.fit(size, 8, 512).to_tensor(page(size, at))) for at in (start, goal))
    frame = Frame.fit(size, 8, 512)
    grid = frame.grid(tuple(z.shape[-2:]), "latent4")
    handle = frame.to_grid(np.array([start]), grid)
    assert np.abs(frame.from_grid(handle, grid) - start).max() <= 0.5
    found, _ = motion.track(z, motion.features_at(z_0, grid, handle), grid, handle, r2=12)
    assert np.abs(frame.from_grid(found, grid) - goal).max() <= 0.5
