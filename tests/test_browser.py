"""Picker and studio as a person uses them: JupyterLab in Chromium on a small laptop's screen, with the mouse.

Needs chromium (`apt-get install chromium`); skipped without it.
"""

import re
import time
from io import BytesIO

import nbformat
import numpy as np
import pytest
from lab import CHROMIUM, QUIET, evaluate, lab
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")

MINUTES = 60_000  # milliseconds
RED, BLUE = (230, 40, 40), (40, 90, 235)
CELLS = [
    "import gooddrag as gd\nfrom storybook import edit\nmodel = gd.load_model('storybook')\n"
    "config = gd.DragConfig(K=2, B=1, num_steps=10)\n"
    "studio = gd.DragStudio(model, edit(100, 128), config=config, lora=gd.LoraConfig(steps=1))\nstudio",
    "picker = gd.PointPicker(edit(100, 128).image)\npicker",
    "ready = True",
]


class Page:
    """One page of JupyterLab with the notebook in it, and what went wrong in its scripts."""

    def __init__(self, browser, server):
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1366, "height": 768}, device_scale_factor=2)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.goto(server.notebook_url("notebook.ipynb"), timeout=3 * MINUTES)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=3 * MINUTES)

    def run_all(self):
        """Run > Run All Cells, once the kernel is there; again if JupyterLab lost it while it was connecting."""
        self.page.wait_for_selector(".jp-Toolbar-kernelName:has-text('Python 3')", timeout=3 * MINUTES)
        self.page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/", timeout=3 * MINUTES)
        prompts = self.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
        for _ in range(12):
            if re.search(r"[\d*]", "".join(prompts.all_inner_texts())):
                break
            if self.page.locator("dialog.jp-Dialog").count():  # it asks for the kernel: the preferred one is chosen
                self.page.click("dialog.jp-Dialog button.jp-mod-accept")
            self.page.click(".lm-MenuBar-itemLabel >> text=/^Run$/")
            self.page.click(".lm-Menu-itemLabel >> text=/^Run All Cells$/")
            self.page.wait_for_timeout(5000)

    def canvas(self, number):
        """The studio's canvas (0) or the picker's (1), with its widget scrolled to the top of the screen."""
        canvas = self.page.locator(".gooddrag-picker canvas").nth(number)
        canvas.wait_for(timeout=5 * MINUTES)
        self.page.locator(".gooddrag-picker").nth(number).evaluate("element => element.scrollIntoView()")
        self.page.wait_for_timeout(1000)
        return canvas

    def drag(self, canvas, *way, button="left"):
        """Press, pull and release; (x, y) in CSS pixels of the canvas, which is left and entered again on the way."""
        corner = canvas.bounding_box()
        at = [(corner["x"] + x, corner["y"] + y) for x, y in way]
        self.page.mouse.move(*at[0])
        self.page.mouse.down(button=button)
        for point in at[1:]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up(button=button)

    def pixels(self, element):
        """uint8 (H, W, 3) of an element, in CSS pixels."""
        image = Image.open(BytesIO(element.screenshot(scale="css"))).convert("RGB")
        return np.array(image).astype(int)


def near(pixels, at, colour):
    """Whether most of the small square around (x, y) has the colour."""
    patch = pixels[at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3]
    return (np.abs(patch - colour).max(axis=2) < 60).mean() > 0.6


def until(client, expression, timeout=120):
    """Wait in the kernel's own time: its messages are handled between two requests."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := evaluate(client, expression):
            return value
        time.sleep(0.5)
    raise AssertionError(f"never true: {expression}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(notebook, folder / "notebook.ipynb")
    with lab(folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def session(server, browser):
    """The notebook, run to its end, its page and a client of its kernel."""
    page = Page(browser, server)
    page.run_all()
    client = server.kernel()
    until(client, "'ready' in globals()", timeout=600)
    yield page, client
    client.stop_channels()


def test_drags_clicks_a_mask_and_an_undo_with_the_mouse(session):
    page, client = session
    canvas = page.canvas(1)
    assert canvas.evaluate("c => [c.width, c.clientWidth]") == [1024, 512]  # drawn at the screen's own pixels
    page.drag(canvas, (102, 122), (180, 160), (-60, 160), (222, 130))  # leaves the canvas and comes back
    until(client, "len(picker.points) == 1")
    page.drag(canvas, (302, 402))
    page.drag(canvas, (342, 302))  # click, click
    until(client, "len(picker.points) == 2")
    page.drag(canvas, (200, 300), (250, 300), button="right")
    page.page.keyboard.press("Escape")
    assert evaluate(client, "picker.points.tolist()") == [[[25, 30], [55, 32]], [[75, 100], [85, 75]]]
    page.page.wait_for_timeout(1500)
    pixels = page.pixels(canvas)
    assert near(pixels, (102, 122), RED) and near(pixels, (222, 130), BLUE)
    assert near(pixels, (302, 402), RED) and near(pixels, (342, 302), BLUE)

    cells = page.page.locator(".jp-Notebook .jp-Cell").count()
    page.page.locator(".gooddrag-picker").nth(1).locator("button:has-text('Box')").click()
    page.page.keyboard.press("b")  # goes to the canvas: the notebook's own "b" would insert a cell
    until(client, "picker.state.mode == 'brush'")
    assert page.page.locator(".jp-Notebook .jp-Cell").count() == cells
    page.drag(canvas, (256, 256), (300, 256))
    until(client, "picker.mask is not None")
    page.page.wait_for_timeout(1500)
    veiled = page.pixels(canvas)
    assert veiled[20:60, 400:480].mean() < 0.8 * pixels[20:60, 400:480].mean()  # outside: darker
    for condition in ("picker.mask is None", "len(picker.points) == 1"):
        page.page.keyboard.press("Control+z")
        until(client, condition)
    page.page.wait_for_timeout(1500)
    assert not near(page.pixels(canvas), (302, 402), RED)


def test_an_upload_above_the_limit_is_refused_before_it_is_sent(session, tmp_path):
    page, client = session
    page.canvas(0)
    (tmp_path / "large.png").write_bytes(b"0" * 11_000_000)
    Image.new("RGB", (96, 64), "teal").save(tmp_path / "small.png")
    for name, state in (("large", "visible"), ("small", "hidden")):
        with page.page.expect_file_chooser() as chosen:
            page.page.locator(".gooddrag-studio .widget-upload").click()
        chosen.value.set_files(tmp_path / f"{name}.png")
        page.page.locator(".gooddrag-large").wait_for(state=state)
    until(client, "studio.picker.image.size == (96, 64)")
    assert "picture books" in evaluate(client, "studio.picker.message")


def test_the_studio_fits_a_laptop_runs_by_its_button_and_shows_the_result_whole(session):
    page, client = session
    evaluate(client, "studio.set_image(edit(100, 128))")
    canvas, result = page.canvas(0), page.page.locator(".gooddrag-result .gooddrag-page").first
    boxes = [element.bounding_box() for element in (canvas, result)]
    run = page.page.locator(".gooddrag-studio button:has-text('Run')").first
    assert abs(boxes[0]["y"] - boxes[1]["y"]) < 4 and boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"]
    assert run.bounding_box()["y"] + 30 < 740
    before = page.pixels(result)
    run.click()
    page.page.locator(".gooddrag-studio .gooddrag-success").first.wait_for(timeout=10 * MINUTES)
    assert evaluate(client, "[len(studio.runs), studio.busy]") == [1, False]
    evaluate(client, "setattr(studio.path, 'value', False)")
    page.page.wait_for_timeout(1500)
    after, middle = page.pixels(result), before.shape[1] // 2
    assert after.shape == before.shape
    assert np.abs(after - before)[:, : middle - 40].mean() > 1 and np.abs(after - before)[:, middle + 40 :].mean() > 1
    page.drag(result, (14, 200), (middle, 200))  # the divider, on the picture
    page.page.wait_for_timeout(500)
    wiped = page.pixels(result)
    assert np.abs(wiped - before)[30:, : middle - 40].mean() < 1 < np.abs(wiped - before)[:, middle + 40 :].mean()


def test_a_page_that_is_closed_and_opened_again_shows_what_the_kernel_has(session, server, browser):
    page, client = session
    evaluate(client, "setattr(picker, 'points', [[[25, 30], [55, 32]]])")
    page.page.click(".jp-Notebook .jp-Cell >> nth=2")
    page.page.keyboard.press("Control+s")
    page.page.wait_for_timeout(3000)
    assert not [error for error in page.errors if re.search("widget|canvas|gooddrag", error, re.IGNORECASE)]
    page.page.close()
    again = Page(browser, server)
    canvas = again.canvas(1)
    again.page.wait_for_timeout(4000)
    assert near(again.pixels(canvas), (102, 122), RED)  # redrawn from the kernel, which kept its state
    evaluate(client, "picker.act(lambda: picker.state.key('p'))")
    again.drag(canvas, (302, 402), (342, 302))
    until(client, "picker.points.tolist() == [[[25, 30], [55, 32]], [[75, 100], [85, 75]]]")
    again.page.wait_for_timeout(1500)
    assert near(again.pixels(canvas), (302, 402), RED)
    again.page.close()
