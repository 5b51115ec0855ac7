"""A headless Chromium for tests: pages at a width, what they complain about, and what axe-core finds in them."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

Scheme = Literal["light", "dark"]

_FLAGS = ("--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage")
_WAIT_S = 30
_AXE = """
const done = arguments[arguments.length - 1];
const found = axe.run(document, {resultTypes: ["violations"]});
found.then((results) => done(results.violations), (error) => done(String(error)));
"""


class Browser:
    """One window; its width is that of the page, and a narrow one is a phone's."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._width = 0

    def open(self, address: str, width: int = 1280, scheme: Scheme = "light") -> None:
        """Load a page anew, and wait until its gallery, if it has one, shows an image."""
        self._width = width
        is_phone = width < 600
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": is_phone},
        )
        self._tell("Emulation.setTouchEmulationEnabled", {"enabled": is_phone})
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._tell("Emulation.setEmulatedMedia", {"media": "", "features": [feature]})
        self.driver.get("about:blank")
        self.errors()  # those of pages before
        self.driver.get(address)
        if self.all("#gallery-app"):
            self.until("return document.querySelector('#gallery-before image') !== null")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str) -> None:
        """Wait for a script to return something true."""
        WebDriverWait(self.driver, _WAIT_S, 0.05).until(lambda driver: driver.execute_script(script))

    def one(self, selector: str) -> WebElement:
        """The first element that a selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Every element that a selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element, as a reader sees it."""
        return self.one(selector).text

    def choose(self, menu: str, words: str) -> None:
        """Choose an entry of a menu by its words."""
        for entry in self.one(menu).find_elements(By.TAG_NAME, "option"):
            if entry.text == words:
                entry.click()
                return
        raise AssertionError(f"{menu} has no {words!r}")

    def hover(self, element: WebElement) -> None:
        """Move the mouse over an element."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        ActionChains(self.driver).move_to_element(element).perform()

    def tap(self, element: WebElement) -> None:
        """Touch the middle of an element with a finger."""
        middle = self.run(
            "const r = arguments[0].getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}",
            element,
        )
        self._tell("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [middle]})
        self._tell("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def print_media(self) -> None:
        """Show the page as it is printed."""
        self._tell("Emulation.setEmulatedMedia", {"media": "print", "features": []})

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def errors(self) -> list[str]:
        """What the console has complained about since the last call."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def overflow(self) -> list[str]:
        """The elements that reach beyond the page's right edge, unless they scroll inside of another."""
        if self.run("return [document.documentElement.scrollWidth, innerWidth]") == [self._width] * 2:
            return []
        return self.run(
            """
            return [...document.querySelectorAll("body *")]
              .filter((one) => one.getBoundingClientRect().right > arguments[0] + 1)
              .map((one) => `${one.tagName} ${one.id} ${one.textContent.slice(0, 40)}`)
            """,
            self._width,
        ) or ["something"]

    def violations(self) -> list[str]:
        """What axe-core finds of serious or critical impact: the rule, and where."""
        self.run(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(_AXE)
        assert isinstance(found, list), found
        return [
            f"{one['id']}: {json.dumps([node['target'] for node in one['nodes'][:3]])} {one['help']}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def allow_scripts(self, *, is_allowed: bool) -> None:
        """Whether pages may run scripts from now on."""
        self._tell("Emulation.setScriptExecutionDisabled", {"value": not is_allowed})

    def _tell(self, command: str, parameters: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(command, parameters)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A Chromium of this machine, driven by its chromedriver; skips the test where there is none."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("there is no Chromium with its driver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Chromium's sockets lie in its temporary folder, and the path of a socket may have some hundred characters only
    with TemporaryDirectory(prefix="crface-", dir="/tmp" if Path("/tmp").is_dir() else None) as folder:
        service = webdriver.ChromeService(chromedriver, env={**os.environ, "TMPDIR": folder})
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_script_timeout(_WAIT_S)
            yield Browser(driver)
        finally:
            driver.quit()
