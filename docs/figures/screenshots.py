"""Take the pictures of docs/looking.md and the README.

Run from the repository root, with a workspace that has a report: `python docs/figures/screenshots.py runs/screenshots`.
`make screenshots` makes that workspace first. It writes docs/images/report*.png and view.png, and needs Chromium and
chromedriver.
"""

import io
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.view.server import open_server
from workflows.cli.options import make_job
from workflows.commands.view import viewer

IMAGES = Path(__file__).parents[1] / "images"
MOST_BYTES = 300_000
COLOURS = (256, 128, 64, 32)

FOURTH_IMAGE = "for (let i = 0; i < 3; i++) document.getElementById('gallery-next').click()"
FACES = "document.getElementById('gallery-truth').click()"
BOX = "document.getElementById('gallery-box-next').click()"
TOP = "document.getElementById('gallery').scrollIntoView()"
STAGE_TOP = "document.getElementById('gallery-stage').scrollIntoView()"


def open_browser() -> webdriver.Chrome:
    """Start a headless Chromium of this machine."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in ("--headless=new", "--hide-scrollbars", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    # Chromium does not start in a temporary folder with a long name: its sockets lie there
    environment = {**os.environ, "TMPDIR": "/tmp"}  # noqa: S108 - Chromium makes a folder of its own in it
    service = webdriver.ChromeService(shutil.which("chromedriver"), env=environment)
    return webdriver.Chrome(options=options, service=service)


def take(
    browser: webdriver.Chrome,
    name: str,
    size: tuple[int, int],
    scheme: str = "light",
    scripts: Sequence[str] = (),
) -> None:
    """Save what the page at hand looks like after some scripts, with as many colours as fit."""
    width, height = size
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.refresh()
    wait = WebDriverWait(browser, 60)
    wait.until(lambda driver: not driver.find_element(By.ID, "gallery-threshold").get_property("disabled"))
    wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#gallery-before [data-box]"))
    for script in scripts:
        browser.execute_script(script)
        wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#gallery-before [data-box]"))
    wait.until(
        lambda driver: driver.execute_script("return [...document.images].every((one) => one.complete)")
    )
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    (IMAGES / name).write_bytes(small_png(picture))
    print(IMAGES / name)


def small_png(picture: Image.Image) -> bytes:
    """Encode a picture with the most colours that MOST_BYTES allow."""
    for colours in COLOURS:
        file = io.BytesIO()
        picture.quantize(colours, kmeans=1, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= MOST_BYTES:
            return file.getvalue()
    raise SystemExit(f"a picture of {picture.size} takes more than {MOST_BYTES:,} bytes: make it smaller")


def take_all(root: Path) -> None:
    """Take all pictures of a workspace."""
    page = root / "report" / "index.html"
    if not page.is_file():
        raise SystemExit(f"{page} is missing: run `make screenshots`, or give a workspace with a report")
    browser = open_browser()
    try:
        browser.get(page.as_uri())
        take(browser, "report.png", (1100, 860))
        take(browser, "report-gallery.png", (1100, 930), scripts=[FOURTH_IMAGE, FACES, BOX, TOP])
        take(browser, "report-phone.png", (390, 844), "dark", [FOURTH_IMAGE, BOX, STAGE_TOP])
        with open_server(viewer(make_job(out=root)), 0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser.get(server.url)
            take(browser, "view.png", (1100, 860), "dark", [FOURTH_IMAGE, FACES, BOX, STAGE_TOP])
            server.shutdown()
    finally:
        browser.quit()


if __name__ == "__main__":
    take_all(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/screenshots").absolute())
