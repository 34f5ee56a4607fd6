"""The lessons' panels as a student has them: JupyterLab in a browser, a key on the slider, a choice from the menu.

Not collected by a plain `pytest`: `make test-browser`. Screenshots are left in `build/browser/`.
"""

import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import torch
from playwright.sync_api import Page, TimeoutError, sync_playwright

from magnet_helpers.panels import Caption, Exploration, ImageRow
from tools.site.notebooks import Kernel, build_notebook, execute

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no browser found: on Debian `apt-get install chromium`, or name one in MAGNET_BROWSER"
PANELS = {
    "03_denoising_autoencoder": "noise_panel(",
    "06_attacks": "attack_panel(",
    "08_magnet_detectors": "detector_panel(",
}
PICTURE = 'img[alt*=" digits. "][src^="data:image/png"]'
KEYS = 8  # to the right, and back; every slider has as many steps left on its right
START_SECONDS, BEGIN_SECONDS, CELLS_SECONDS, CHANGE_SECONDS = 120, 15, 600, 30
ATTEMPTS = 8
SMALL_PANEL = """
import ipywidgets
from magnet_helpers.panels import Panel
from test_panels_in_jupyterlab import explore
Panel(explore, {"x": ipywidgets.FloatSlider(value=0.5)})
"""
# From the key to the frame in which the new picture is decoded and drawn.
WATCH = """() => {
    window.pressed = 0;
    window.drawn = [];
    const picture = () => document.querySelector(PICTURE);
    let last = picture().src;
    document.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
    const look = async () => {
        const now = picture();
        if (now && now.src !== last) {
            last = now.src;
            await now.decode().catch(() => {});
            requestAnimationFrame(() => window.drawn.push(performance.now() - window.pressed));
        }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}""".replace("PICTURE", json.dumps(PICTURE))


def explore(x: float) -> Exploration:
    row = ImageRow(torch.zeros(1, 1, 28, 28), (Caption(str(x), "passed"),))
    return Exploration("some_name", str(x), {"row": row}, "a note")


def find_browser() -> str:
    named = os.environ.get("MAGNET_BROWSER")
    path = next((path for name in ([named] if named else BROWSERS) if (path := shutil.which(name))), None)
    if path is None:
        pytest.fail(MISSING, pytrace=False)
    return path


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    folder: Path

    def page_of(self, notebook: str) -> str:
        # A workspace of its own: else the notebooks of the tests before it are opened again beside it.
        return f"{self.url}lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token={self.token}"


def up_to_the_panel(lesson: str) -> nbformat.NotebookNode:
    """Return the lesson with all its cells up to its panel, not executed."""
    notebook = build_notebook(ROOT / "notebooks" / "source" / f"{lesson}.py")
    (last,) = [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and re.search(rf"^{re.escape(PANELS[lesson])}", cell.source, re.MULTILINE)
    ]
    notebook.cells = notebook.cells[: last + 1]
    return notebook


def wait_for(what, seconds: float, message: str):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(message)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """JupyterLab on the loopback address, on a port of its own choice, with a token; ended afterwards."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "notebooks"
    settings = home / "settings" / "@jupyterlab"
    for each in (folder, settings / "notebook-extension", settings / "apputils-extension", home / "runtime"):
        each.mkdir(parents=True)
    for lesson in PANELS:
        nbformat.write(up_to_the_panel(lesson), folder / f"{lesson}.ipynb")
    # Else cells outside the window are not in the page.
    (settings / "notebook-extension" / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    (settings / "apputils-extension" / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    token = secrets.token_hex(16)
    environment = {
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_TOKEN": token,  # not on the command line, which others can read
        "MAGNET_HOME": os.environ.get("MAGNET_HOME") or str(home),
        "MAGNET_BUDGET": os.environ.get("MAGNET_BUDGET") or "smoke",
        "MAGNET_DATASET": os.environ.get("MAGNET_DATASET") or "digits",
        "MAGNET_SEED": "0",
        "PYTHONPATH": str(ROOT),
        "TQDM_DISABLE": "1",
    }
    options = [
        "--no-browser",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.user_settings_dir={home / 'settings'}",
        f"--LabApp.workspaces_dir={home / 'workspaces'}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--ServerApp.terminals_enabled=False",
        *(["--allow-root"] if os.getuid() == 0 else []),
    ]
    with (home / "server.log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(
                lambda: process.poll() is not None or list((home / "runtime").glob("jpserver-*.json")),
                START_SECONDS,
                f"JupyterLab does not start, see {home / 'server.log'}",
            )
            assert process.poll() is None, (home / "server.log").read_text()
            (record,) = (home / "runtime").glob("jpserver-*.json")
            facts = json.loads(record.read_text())
            assert facts["url"].startswith("http://127.0.0.1:")
            yield Server(facts["url"], token, folder)
        finally:
            process.terminate()  # it ends its kernels
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def browser():
    path = find_browser()
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        running = playwright.chromium.launch(executable_path=path, args=options)
        yield running
        running.close()


def opened(page: Page, server: Server, notebook: str) -> None:
    page.goto(server.page_of(notebook), wait_until="domcontentloaded", timeout=1000 * START_SECONDS)
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=1000 * START_SECONDS)
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=1000 * START_SECONDS)


def run_all_cells(page: Page) -> None:
    begun = page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|\d+)\]"))
    for _ in range(ATTEMPTS):  # JupyterLab drops the command while it still connects to the kernel, and does not say so
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        try:
            begun.first.wait_for(timeout=1000 * BEGIN_SECONDS)
            break
        except TimeoutError:
            page.keyboard.press("Escape")
    page.locator(f".jupyter-widgets {PICTURE}").wait_for(timeout=1000 * CELLS_SECONDS)


def source(page: Page) -> str:
    return page.locator(PICTURE).get_attribute("src")


def text(page: Page) -> str:
    return page.locator(PICTURE).get_attribute("alt")


def pressed(page: Page, key: str) -> float:
    """Press a key and return the milliseconds until the new picture is drawn."""
    before = page.evaluate("window.drawn.length")
    page.keyboard.press(key)
    page.wait_for_function(f"window.drawn.length > {before}", timeout=1000 * CHANGE_SECONDS)
    page.wait_for_timeout(50)  # a second picture for one key would be seen here
    drawn = page.evaluate("window.drawn")
    assert len(drawn) == before + 1
    return drawn[-1]


@pytest.mark.parametrize("lesson", PANELS)
def test_the_picture_follows_the_slider_and_the_menu(server, browser, lesson):
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    opened(page, server, f"{lesson}.ipynb")
    run_all_cells(page)
    page.locator(PICTURE).scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    first, told = source(page), text(page)
    page.screenshot(path=SHOTS / f"{lesson[:2]}_start.png")
    page.evaluate(WATCH)

    page.locator(".widget-slider [role=slider]").first.focus()
    milliseconds = [pressed(page, key) for key in ["ArrowRight"] * KEYS + ["ArrowLeft"] * KEYS]
    assert source(page) == first, "as many steps back as forth"
    assert text(page) == told
    pressed(page, "ArrowRight")
    assert source(page) != first
    page.screenshot(path=SHOTS / f"{lesson[:2]}_slider.png")

    for menu in page.locator(".widget-dropdown select").all():
        before = source(page)
        index = menu.evaluate("each => each.selectedIndex")
        menu.select_option(index=1 if index == 0 else index - 1)
        page.wait_for_function(
            "([css, before]) => document.querySelector(css).src !== before",
            arg=[PICTURE, before],
            timeout=1000 * CHANGE_SECONDS,
        )
    page.screenshot(path=SHOTS / f"{lesson[:2]}_menus.png")
    page.close()
    print(
        f"\n{lesson}: from key to picture, {len(milliseconds)} keys: "
        f"median {statistics.median(milliseconds):.0f} ms, worst {max(milliseconds):.0f} ms"
    )


def test_an_executed_notebook_shows_the_picture_without_a_kernel(server, browser):
    """As the committed notebooks are read: the picture, and no error of a widget that is gone.

    JupyterLab does not give a picture its text from the metadata; web pages made of the notebook do.
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SMALL_PANEL)])
    execute(
        notebook,
        Kernel(server.folder, {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}),
        lambda *_: None,
    )
    nbformat.write(notebook, server.folder / "executed.ipynb")
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(server.page_of("executed.ipynb"), wait_until="domcontentloaded", timeout=1000 * START_SECONDS)
    page.wait_for_selector(".jp-OutputArea-output img", timeout=1000 * START_SECONDS)
    width = page.locator(".jp-OutputArea-output img").evaluate("each => each.naturalWidth")
    assert width == explore(0.5).picture().width
    assert page.get_by_text("Error displaying widget").count() == 0
    page.screenshot(path=SHOTS / "executed.png")
    page.close()


def test_the_server_asks_for_its_token(server):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{server.url}api/contents")
