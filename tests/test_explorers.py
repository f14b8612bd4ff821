"""Before and after, a run played back, and what the model sees at a place."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
import torch
from tiny import picture

import gooddrag as gd
from gooddrag.lora import unet_lock
from gooddrag.masactrl import transformer_blocks
from gooddrag.widgets import compare, play, probe

CONFIG = gd.DragConfig(K=4, B=2, J=1, num_steps=10, stop_unmoved=None, lr=0.001, r2=3)


@pytest.fixture(scope="module")
def result(tiny):
    sample = gd.Sample(picture((64, 48)), [[[20, 30], [40, 36]], [[5, 5], [9, 20]]])
    return gd.DragEditor(tiny, None).set_image(sample.image).drag(sample, config=CONFIG, keep=("maps",))


def frames(html):
    return json.loads(unescape(re.search(r'<script type="application/json">(.*?)</script>', html.data, re.S)[1]))


def test_compare_needs_no_kernel_and_no_other_file():
    html = compare(picture((64, 48)), picture((64, 48), seed=1), labels=("<up>", "down")).data
    assert html.count("data:image/webp;base64,") == 2 and 'type="range"' in html and "--at:50%" in html
    assert "aspect-ratio:64/48" in html and "&lt;up&gt;" in html and "<up>" not in html
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_play_has_every_operation_of_every_run(result):
    runs = frames(play(result, result, labels=("one", "two"), curve="feature"))
    assert len(runs) == 2 and [len(run) for run in runs] == [4, 4]
    last = runs[0][-1]
    assert last["text"].startswith(f"operation 4, level t = {result.history[-1].t}: ")
    handle = result.handles[0] + 0.5
    assert f'cx="{handle[0]:.1f}" cy="{handle[1]:.1f}"' in last["marks"]
    assert last["window"].count("<image") == 2 and last["window"].count("<rect") == 2
    xs = [frame["x"] for frame in runs[0]]
    assert xs[0] == 4 and xs[-1] == 396 and xs == sorted(xs)
    html = play(result, frames=2)
    assert [frame["text"][:11] for frame in frames(html)[0]] == ["operation 1", "operation 4"]
    assert "run 1" in html.data and "pixels to the target" in html.data


def test_the_search_window_lies_around_the_handle_before_the_tracking(result):
    history = [replace(op, handles=result.sample.handles + [2 * op.k, op.k]) for op in result.history]  # they do move
    moved = replace(result, history=history)
    window = frames(play(moved))[0][1]["window"]
    numbers = re.search(r'<image x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"', window).groups()
    x, y, width, height = map(float, numbers)
    before = moved.path[1][0]  # the window of operation 2
    assert x + width / 2 == pytest.approx(before[0], abs=0.5) and y + height / 2 == pytest.approx(before[1], abs=0.5)
    assert width == height == 2 * CONFIG.r2


def test_play_refuses_what_it_cannot_show(result):
    for bad in ((), (replace(result, history=[]),), (result, replace(result, image=picture((32, 32))))):
        with pytest.raises(ValueError, match="results: .*expected"):
            play(*bad)


def test_features_of_a_place_are_nearest_to_themselves(tiny):
    p = probe(tiny, picture((64, 48)), config=CONFIG, width=128)
    assert p.canvas.layout.width == "128px" and p._size == (256, 192)
    p.canvas._handle_custom_msg({"event": "mouse_down", "x": 64.0, "y": 96.0}, [])
    row, column = np.unravel_index(p.map.argmin(), p.map.shape)
    assert p.map.shape == (48, 64) and p.map.min() == 0 and (row, column) == (24, 16)
    before = p.map
    p.level.value = 1
    assert (p.map != before).any() and "0 (dark)" in p.caption.value
    before = p.map
    p.block.value = -1
    assert (p.map != before).any()
    before = p.map
    with ThreadPoolExecutor(1) as other:
        with unet_lock(tiny.unet):  # a run is going
            look = other.submit(p.look, 0.9, 0.9)
            with pytest.raises(TimeoutError):
                look.result(timeout=0.2)
        assert (look.result(timeout=60) != before).any()
    bundle, shown = p._repr_mimebundle_()
    assert shown == {"image/png": {"width": 128}}
    assert bundle["image/png"].startswith("iVBOR") and "application/vnd.jupyter.widget-view+json" in bundle


def test_attention_of_a_place_is_what_the_layer_computes(tiny):
    p = probe(tiny, picture((64, 48)), what="attention", config=CONFIG)
    seen = p.look(0.3, 0.6)
    assert seen.sum() == pytest.approx(1, abs=1e-4) and (seen >= 0).all()
    layer = transformer_blocks(tiny.unet)[p.block.value].attn1
    state = p._seen(p.level.value, -1)[1][p.block.value]
    q, k = (layer.head_to_batch_dim(to(state)) for to in (layer.to_q, layer.to_k))
    with torch.no_grad():
        whole = layer.get_attention_scores(q, k).mean(dim=0)  # (N, N), the mean over the heads
    h, w = seen.shape
    place = int(0.6 * h) * w + int(0.3 * w)
    assert np.allclose(seen.ravel(), whole[place].numpy(), atol=1e-6)
