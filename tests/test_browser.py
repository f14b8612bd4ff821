"""Notebook 07 as a person uses it: JupyterLab in Chromium, with the mouse.

Needs chromium (`apt-get install chromium`); skipped without it. `GOODDRAG_SCREENSHOTS=figures pytest -n 0
tests/test_browser.py` runs the notebook's own settings and writes picker.png and studio.png there.
"""

import os
import re
import time
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lab import CHROMIUM, QUIET, evaluate, lab
from PIL import Image, ImageChops

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "07_point_picker.ipynb"
SCREENSHOTS = os.environ.get("GOODDRAG_SCREENSHOTS")
QUICK = """
EDIT = 100
CONFIG = gd.DragConfig(K=2, B=1, num_steps=10)
LORA = gd.LoraConfig(steps=1)
"""
MINUTES = 60_000  # milliseconds
RED, BLUE = (230, 40, 40), (40, 90, 235)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (knobs,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    if not SCREENSHOTS:
        knobs.source = QUICK
    nbformat.write(notebook, folder / NOTEBOOK.name)
    with lab(folder, GOODDRAG_MODEL="storybook", GOODDRAG_FIGURES=str(folder / "figures")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


class Page:
    """One page of JupyterLab with the notebook in it, and what went wrong in its scripts."""

    def __init__(self, browser, server):
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1300})
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.goto(server.notebook_url(NOTEBOOK.name), timeout=3 * MINUTES)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=3 * MINUTES)

    def run_all(self):
        """Run > Run All Cells, once the kernel is there; again if JupyterLab lost it while it was connecting."""
        self.page.wait_for_selector(".jp-Toolbar-kernelName:has-text('Python 3')", timeout=3 * MINUTES)
        self.page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/", timeout=3 * MINUTES)
        prompts = self.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
        for _ in range(12):
            if self.page.locator("dialog.jp-Dialog").count():  # it asks for the kernel: the preferred one is chosen
                self.page.click("dialog.jp-Dialog button.jp-mod-accept")
            self.page.click(".lm-MenuBar-itemLabel >> text=/^Run$/")
            self.page.click(".lm-Menu-itemLabel >> text=/^Run All Cells$/")
            self.page.wait_for_timeout(5000)
            if re.search(r"[\d*]", "".join(prompts.all_inner_texts())):
                return
        raise AssertionError("JupyterLab does not run the notebook")

    def canvas(self, box):
        """The canvas of the first picker, or of the studio, scrolled to where the mouse can reach all of it."""
        canvas = self.page.locator(f".{box} canvas").first
        canvas.wait_for(timeout=5 * MINUTES)
        canvas.evaluate("element => element.scrollIntoView({block: 'center'})")
        self.page.wait_for_timeout(500)
        return canvas

    def drag(self, canvas, *way):
        """Press, pull and release; (x, y) in pixels of the canvas."""
        corner = canvas.bounding_box()
        at = [(corner["x"] + x, corner["y"] + y) for x, y in way]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        for point in at[1:]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up()

    def pixels(self, element):
        return np.array(Image.open(BytesIO(element.screenshot())).convert("RGB")).astype(int)

    def own_errors(self):
        """JupyterLab on a machine without a network has errors of its own."""
        return [error for error in self.errors if re.search("widget|canvas|gooddrag", error, re.IGNORECASE)]


def near(pixels, at, colour):
    """Whether most of the small square around (x, y) has the colour."""
    x, y = (round(v) for v in at)
    patch = pixels[y - 2 : y + 3, x - 2 : x + 3]
    return (np.abs(patch - colour).max(axis=2) < 60).mean() > 0.6


def until(client, expression, timeout=120):
    """Wait in the kernel's own time: its messages are handled between two requests."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = evaluate(client, expression)
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError(f"never true: {expression}")


def screenshot(page, selector, name):
    image = Image.open(BytesIO(page.locator(selector).first.screenshot())).convert("RGB")
    left, top, right, bottom = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    box = (max(0, left - 8), max(0, top - 8), min(right + 8, image.width), min(bottom + 8, image.height))
    image.crop(box).save(Path(SCREENSHOTS) / name, optimize=True)


@pytest.fixture(scope="module")
def session(server, browser):
    """The notebook, run to its end, its page and a client of its kernel."""
    page = Page(browser, server)
    page.run_all()
    client = server.kernel()
    yield page, client
    client.stop_channels()


def test_run_all_ends_without_a_click_and_without_an_error(session):
    page, client = session
    # the request waits in the kernel's queue behind the cells; the last cell defines this name
    assert evaluate(client, "callable(mirrored)", timeout=900)
    assert not page.page.locator("[data-mime-type='application/vnd.jupyter.stderr'] >> text=Traceback").count()
    assert evaluate(client, "[len(studio.runs), studio.message]") == [2, ""]


def test_two_drags_a_mask_and_an_undo_with_the_mouse(session):
    page, client = session
    evaluate(client, "picker.clear()")
    canvas = page.canvas("gooddrag-picker")
    page.drag(canvas, (102, 122), (180, 160), (222, 130))
    until(client, "len(picker.points) == 1")
    page.drag(canvas, (302, 402), (342, 302))
    until(client, "len(picker.points) == 2")
    assert evaluate(client, "picker.points.tolist()") == [[[25, 30], [55, 32]], [[75, 100], [85, 75]]]
    page.page.wait_for_timeout(1500)
    pixels = page.pixels(canvas)
    assert near(pixels, (102, 122), RED) and near(pixels, (222, 130), BLUE)
    assert near(pixels, (302, 402), RED) and near(pixels, (342, 302), BLUE)

    page.page.click(".gooddrag-picker button:has-text('Box')")
    page.drag(canvas, (82, 90), (358, 418))
    until(client, "picker.mask is not None")
    mask = evaluate(client, "[picker.mask[60, 60].item(), picker.mask[5, 5].item(), picker.mask.sum().item()]")
    assert mask[:2] == [True, False] and mask[2] == 70 * 83
    page.page.wait_for_timeout(1500)
    veiled = page.pixels(canvas)
    assert veiled[20:60, 400:480].mean() < 0.8 * pixels[20:60, 400:480].mean()  # outside: darker
    assert abs(veiled[200:230, 200:230].mean() - pixels[200:230, 200:230].mean()) < 6  # inside: as it was

    page.page.keyboard.press("Control+z")
    until(client, "picker.mask is None")
    page.page.keyboard.press("Control+z")
    until(client, "len(picker.points) == 1")
    page.page.wait_for_timeout(1500)
    assert not near(page.pixels(canvas), (302, 402), RED)
    page.page.keyboard.press("Control+Shift+Z")
    until(client, "len(picker.points) == 2")
    if SCREENSHOTS:
        page.page.click(".gooddrag-picker button:has-text('Points') >> nth=0")
        evaluate(client, "picker.load(sample)")
        page.page.mouse.move(5, 5)
        page.page.wait_for_timeout(1500)
        screenshot(page.page, ".gooddrag-picker", "picker.png")


def test_the_studio_runs_by_its_button_and_shows_the_result(session):
    page, client = session
    evaluate(client, "studio.reset()")
    shown = page.page.locator(".gooddrag-result").first
    before = page.pixels(shown)
    canvas = page.canvas("gooddrag-studio")
    if not SCREENSHOTS:
        evaluate(client, "setattr(studio.picker, 'points', None)")
        page.drag(canvas, (58, 58), (111, 89))
        until(client, "len(studio.picker.points) == 1")
    page.page.click(".gooddrag-studio button.mod-success:has-text('Run')")
    page.page.wait_for_selector(".gooddrag-studio >> text=/before \\| run 3/", timeout=15 * MINUTES)
    assert evaluate(client, "[len(studio.runs), studio.busy, studio.message]") == [3, False, ""]
    if not SCREENSHOTS:
        assert evaluate(client, "studio.result.sample.points.tolist()") == [[[18, 18], [35, 28]]]
    page.page.wait_for_timeout(1500)
    after = page.pixels(shown)
    assert after.shape == before.shape
    width = after.shape[1]
    assert np.abs(after - before)[:, : width // 2 - 40].mean() < 4  # left of the divider: the image as it was
    assert np.abs(after - before)[:, width // 2 + 40 :].mean() > 1  # right of it: the edit
    if SCREENSHOTS:
        evaluate(client, "setattr(studio._outcome.slider, 'value', 0.25)")
        page.page.wait_for_timeout(1500)
        screenshot(page.page, ".gooddrag-studio", "studio.png")


def test_a_page_that_is_closed_and_opened_again_shows_what_the_kernel_has(session, server, browser):
    page, client = session
    evaluate(client, "setattr(picker, 'points', [[[25, 30], [55, 32]]])")
    evaluate(client, "picker.state.set_mask(None)")
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Control+s")
    page.page.wait_for_timeout(3000)
    assert not page.own_errors()
    page.page.close()

    again = Page(browser, server)
    canvas = again.canvas("gooddrag-picker")
    again.page.wait_for_timeout(4000)
    assert near(again.pixels(canvas), (102, 122), RED)  # redrawn from the kernel, which kept its state
    assert again.page.locator(".gooddrag-picker button.mod-active:has-text('Box')").count()  # the tool, too
    again.page.click(".gooddrag-picker button:has-text('Points') >> nth=0")
    again.drag(canvas, (302, 402), (342, 302))
    until(client, "picker.points.tolist() == [[[25, 30], [55, 32]], [[75, 100], [85, 75]]]")
    again.page.wait_for_timeout(1500)
    assert near(again.pixels(canvas), (302, 402), RED)
    assert not again.own_errors()
    again.page.close()


def test_a_new_kernel_starts_from_the_example_and_nothing_stale_is_left(session, server, browser):
    server.shut_down_kernels()
    page = Page(browser, server)
    page.run_all()
    client = server.kernel()
    try:
        assert evaluate(client, "callable(mirrored)", timeout=900)
        assert evaluate(client, "(picker.points == sample.points).all().item() and picker.sample is sample")
        canvas = page.canvas("gooddrag-picker")
        page.page.wait_for_timeout(2000)
        handle = evaluate(client, "picker.canvas.to_canvas(sample.handles[0]).tolist()")
        pixels = page.pixels(canvas)
        assert near(pixels, handle, RED) and not near(pixels, (302, 402), RED)
        assert page.page.locator(".gooddrag-picker").count() == 3  # picker, studio, exercise: none twice
        assert not page.page.locator("text=Error displaying widget").count()
        # what the old outputs ask for before they are replaced: JupyterLab's own report, for any widget that was saved
        assert {"widget model not found" in error for error in page.own_errors()} <= {True}
    finally:
        client.stop_channels()
        page.page.close()
