"""The report and `crface view` in a browser: read, filtered, pointed at, and used by keys, wide and narrow."""

import importlib.util
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from browser import Browser, Scheme, open_browser
from gallery_world import EVIL, FACELESS, HELPED, HURT, PATHS, SAME, SMALL, gallery_run
from PIL import Image
from places import DOCS, ROOT
from report_world import Run
from selenium.webdriver.common.keys import Keys

from pipeline.view.server import open_server
from workflows.cli.options import make_job
from workflows.commands.view import viewer

WIDE, NARROW = 1280, 390
WIDTHS = pytest.mark.parametrize("width", [WIDE, NARROW])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def run(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = gallery_run(tmp_path_factory.mktemp("browser"))
    run.build()
    return run


@pytest.fixture(scope="module")
def report(run: Run) -> str:
    return (run.workspace.report / "index.html").as_uri()


@pytest.fixture(scope="module")
def local_page(run: Run) -> Iterator[str]:
    with open_server(viewer(make_job(out=run.workspace.root)), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture(params=["report", "local_page"])
def page(request: pytest.FixtureRequest) -> str:
    """Either page: what has the same gallery behaves the same."""
    return request.getfixturevalue(request.param)


def listed(browser: Browser) -> list[str]:
    return [button.get_attribute("title") for button in browser.all("#gallery-list button")]


def shown(browser: Browser, side: str) -> int:
    return len(browser.all(f"#gallery-{side} [data-box]"))


def look_at(browser: Browser, path: str) -> None:
    # the slider waits for the survey, with which the list is ordered and all is drawn anew
    browser.until("return !document.getElementById('gallery-threshold').disabled")
    browser.one(f"#gallery-list button[title='{path}']").click()
    browser.until("return document.querySelector('#gallery-before [data-box]') !== null")
    assert browser.text("#gallery-title") == path


@WIDTHS
@SCHEMES
def test_a_page_has_no_error_no_sideways_scrolling_and_no_barrier(
    browser: Browser, page: str, width: int, scheme: Scheme
):
    browser.open(page, width, scheme)
    assert browser.overflow() == []
    assert browser.violations() == []
    assert browser.errors() == []


def test_an_error_a_barrier_and_a_page_that_is_too_wide_are_noticed(browser: Browser, report: str):
    browser.open(report, NARROW)
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\"><p style=\"width: 500px\">wide</p>');"
        "console.error('something')"
    )
    assert any("wide" in one for one in browser.overflow())
    assert any(one.startswith("image-alt") for one in browser.violations())
    assert any("something" in one for one in browser.errors())


@WIDTHS
def test_every_link_of_the_report_leads_somewhere(browser: Browser, report: str, run: Run, width: int):
    browser.open(report, width)
    links = browser.run(
        "return [...document.querySelectorAll('a[href]')].map((one) => one.getAttribute('href'))"
    )
    assert len(links) > 4
    for link in dict.fromkeys(links):
        if link.startswith("#"):
            browser.run("document.querySelector(`a[href='${arguments[0]}']`).click()", link)
            assert browser.run("return location.hash") == link
            assert browser.run("return document.querySelector(':target') !== null"), link
        else:
            assert (Path(str(run.workspace.report)) / link).is_file(), link
    assert browser.errors() == []


def test_images_come_helped_most_first_and_the_unchanged_only_by_number(browser: Browser, local_page: str):
    browser.open(local_page)
    browser.until("return document.querySelectorAll('#gallery-list li').length === 5")
    assert listed(browser) == [HELPED, EVIL, SMALL, FACELESS, HURT]
    assert browser.text("#gallery-title") == HELPED
    browser.choose("#gallery-order", "hurt most first")
    assert listed(browser)[0] == browser.text("#gallery-title") == HURT
    browser.choose("#gallery-order", "all, by number")
    assert listed(browser) == list(PATHS)
    assert browser.text("#gallery-count") == "6 of 6 images"


def test_the_report_lists_what_changed_for_the_chosen_detector(browser: Browser, report: str):
    browser.open(report)
    assert listed(browser) == [HELPED, EVIL, SMALL, FACELESS, HURT]
    browser.choose("#gallery-order", "all, by number")
    assert SAME not in listed(browser)
    browser.choose("#gallery-detector", "other-detector")
    browser.until("return document.getElementById('gallery-after-words').textContent.startsWith('oracle')")
    assert HELPED in listed(browser)


def test_filters_leave_the_images_that_they_name(browser: Browser, page: str):
    browser.open(page)
    browser.until("return !document.getElementById('gallery-size').disabled")
    browser.choose("#gallery-event", "1--Crowd")
    assert listed(browser) == [SMALL, FACELESS]
    browser.choose("#gallery-size", "up to 20 px high")
    assert listed(browser) == [SMALL]
    assert re.match("1 of [56] images", browser.text("#gallery-count"))
    browser.choose("#gallery-failure", "misplaced box")
    assert listed(browser) == []
    assert browser.text("#gallery-title") == "No image passes these filters"
    assert shown(browser, "before") == 0
    browser.choose("#gallery-failure", "any or none")
    browser.choose("#gallery-size", "of any size")
    browser.choose("#gallery-failure", "box on the background")
    assert listed(browser) == [FACELESS]
    assert browser.text("#gallery-title") == FACELESS
    assert browser.errors() == []


def test_pointing_at_a_box_shows_its_three_confidences(browser: Browser, page: str):
    browser.open(page)
    look_at(browser, HELPED)
    browser.hover(browser.one("#gallery-before [data-box='1'] .line"))
    words = browser.text("#gallery-box")
    assert "predicted 0.800, refined 0.100, oracle 0.000" in words
    assert "predicted: on the background; ranked: below the threshold" in words
    assert browser.text("#gallery-before-tip") == "predicted 0.800, refined 0.100, oracle 0.000"
    browser.hover(browser.one("#gallery-before [data-box='0'] .line"))
    assert "finds a face" in browser.text("#gallery-box")
    assert "chosen" in browser.one("#gallery-after [data-box='0']").get_attribute("class")
    assert browser.one("#gallery-after-tip").is_displayed()


def test_a_tap_on_a_narrow_screen_shows_them_too(browser: Browser, report: str):
    browser.open(report, NARROW)
    look_at(browser, HELPED)
    box = browser.one("#gallery-before [data-box='0'] .line")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", box)
    browser.tap(box)
    browser.until("return document.querySelector('#gallery-box').textContent.includes('oracle 1.000')")
    assert browser.overflow() == []


def test_the_slider_moves_both_sides_and_shows_equally_many_boxes(browser: Browser, page: str):
    browser.open(page)
    browser.until("return !document.getElementById('gallery-threshold').disabled")
    look_at(browser, HURT)
    assert (shown(browser, "before"), shown(browser, "after")) == (2, 2)
    assert browser.text("#gallery-before-words") == "predicted: 2 of 2 faces found, 0 false"
    assert browser.text("#gallery-after-words") == "ranked: 1 of 2 faces found, 1 false"
    before = browser.text("#gallery-share")
    slider = browser.one("#gallery-threshold")
    browser.run("arguments[0].focus()", slider)
    browser.press(Keys.HOME)
    assert (shown(browser, "before"), shown(browser, "after")) == (1, 1)
    assert browser.text("#gallery-share") != before
    assert slider.get_attribute("aria-valuetext") == browser.text("#gallery-share")
    browser.press(Keys.END)
    assert (shown(browser, "before"), shown(browser, "after")) == (3, 3)


def test_labelled_faces_are_shown_on_request_and_those_missed_stand_out(browser: Browser, page: str):
    browser.open(page)
    look_at(browser, HELPED)
    browser.until("return !document.getElementById('gallery-threshold').disabled")
    assert browser.all(".face rect") == []
    browser.one("#gallery-truth").click()
    assert (
        len(browser.all("#gallery-before .face.found"))
        == len(browser.all("#gallery-before .face.missed"))
        == 1
    )
    assert len(browser.all("#gallery-after .face.found")) == 2


def test_keys_do_all_that_the_hint_says(browser: Browser, page: str):
    browser.open(page)
    browser.until("return document.querySelectorAll('#gallery-list li').length === 5")
    browser.run("document.getElementById('gallery-stage').focus()")
    browser.press(Keys.ARROW_RIGHT)
    assert browser.text("#gallery-title") == EVIL
    browser.press(Keys.END)
    assert browser.text("#gallery-title") == HURT
    browser.press(Keys.ARROW_RIGHT)  # there is none after the last
    assert browser.text("#gallery-title") == HURT
    browser.press(Keys.HOME, Keys.ARROW_LEFT)
    assert browser.text("#gallery-title") == HELPED
    browser.until("return document.querySelector('#gallery-before [data-box]') !== null")
    browser.press(Keys.ARROW_DOWN)
    assert browser.text("#gallery-box").startswith("Box 1 of ")
    browser.press(Keys.ARROW_UP)
    assert browser.text("#gallery-box").startswith("Box 3 of 3")
    browser.press("+", "+")
    assert browser.text("#gallery-zoom") == "225 %"
    assert browser.run(
        "return document.getElementById('gallery-before').getAttribute('viewBox')"
    ) == browser.run("return document.getElementById('gallery-after').getAttribute('viewBox')")
    browser.press(Keys.ESCAPE)
    assert browser.text("#gallery-box").startswith("Point at a box")
    assert browser.text("#gallery-zoom") == "225 %"
    browser.press(Keys.ESCAPE)
    assert browser.text("#gallery-zoom") == "100 %"
    browser.press("g")
    assert browser.all("#gallery-before .face") != []
    browser.press("[")
    assert browser.text("#gallery-share").startswith("0.9 for each face")
    browser.press("]", "]")
    assert browser.text("#gallery-share").startswith("1.1 for each face")
    assert browser.errors() == []


def test_keys_in_a_menu_stay_the_menus(browser: Browser, report: str):
    browser.open(report)
    browser.run("document.getElementById('gallery-detector').focus()")
    browser.press("g", Keys.ARROW_RIGHT)
    assert browser.text("#gallery-title") == HELPED
    assert browser.all(".face") == []


def test_every_control_can_be_reached_by_the_tab_key(browser: Browser, report: str):
    browser.open(report)
    wanted = {
        *(
            "gallery-detector",
            "gallery-order",
            "gallery-size",
            "gallery-failure",
            "gallery-event",
            "gallery-stage",
        ),
        *(
            "gallery-next",
            "gallery-threshold",
            "gallery-truth",
            "gallery-box-next",
            "gallery-in",
            "gallery-whole",
        ),
    }
    browser.run("document.getElementById('gallery-detector').focus()")
    reached = []
    for _ in range(30):
        reached.append(browser.run("return document.activeElement.id"))
        browser.press(Keys.TAB)
    assert wanted <= set(reached)
    in_the_page = browser.run(
        "return [...document.querySelectorAll('#gallery-app [id]')].map((one) => one.id)"
    )
    order = [in_the_page.index(name) for name in dict.fromkeys(reached) if name in wanted]
    assert order == sorted(order)


def test_a_name_that_looks_like_html_is_a_name(browser: Browser, page: str):
    browser.open(page)
    browser.until("return document.querySelectorAll('#gallery-list li').length === 5")
    browser.all("#gallery-list button")[1].click()
    assert browser.text("#gallery-title") == EVIL
    assert browser.run("return document.querySelectorAll('[onclick]').length") == 0
    assert browser.errors() == []


def test_without_javascript_the_report_has_pictures(browser: Browser, report: str):
    browser.allow_scripts(is_allowed=False)
    try:
        browser.driver.get("about:blank")
        browser.driver.get(report)
        assert browser.one(".gallery-still").is_displayed()
        assert not browser.one("#gallery-app").is_displayed()
        assert HELPED in browser.text(".gallery-still")
        assert len(browser.all(".gallery-still .picture rect")) > 4
        assert "Without JavaScript" in browser.text(".gallery-still")
    finally:
        browser.allow_scripts(is_allowed=True)


def test_on_paper_the_report_has_those_pictures_too(browser: Browser, report: str):
    browser.open(report)
    assert not browser.one(".gallery-still").is_displayed()
    browser.print_media()
    assert browser.one(".gallery-still").is_displayed()
    assert not browser.one("#gallery-app").is_displayed()


def test_the_viewer_shows_any_image_and_leads_to_the_report(browser: Browser, local_page: str):
    browser.open(local_page)
    browser.until("return !document.getElementById('gallery-order').disabled")
    browser.choose("#gallery-order", "all, by number")
    look_at(browser, SAME)
    browser.until(
        "return [...document.querySelectorAll('#gallery-list img')].every((one) => one.naturalWidth > 0)"
    )
    browser.one("a[href='report/']").click()
    browser.until("return location.pathname === '/report/'")
    assert HELPED in listed(browser)
    assert browser.errors() == []


@pytest.fixture
def script() -> ModuleType:
    """The program that takes the documentation's pictures."""
    spec = importlib.util.spec_from_file_location("screenshots", DOCS / "figures" / "screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_a_picture_of_the_documentation_has_the_most_colours_that_fit(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    picture = Image.effect_noise((60, 60), 100).convert("RGB")
    first, *_, last = script.COLOURS
    assert len(picture.getcolors()) > last
    wide = script.small_png(picture)
    assert last < len(Image.open(io.BytesIO(wide)).getcolors()) <= first
    monkeypatch.setattr(script, "MOST_BYTES", len(wide) - 1)
    assert len(Image.open(io.BytesIO(script.small_png(picture))).getcolors()) < first // 2 + 1
    monkeypatch.setattr(script, "MOST_BYTES", 100)
    with pytest.raises(SystemExit, match="make it smaller"):
        script.small_png(picture)


def plain_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def test_the_documentations_pictures_are_taken_by_its_script(
    run: Run, tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(script, "IMAGES", tmp_path)
    monkeypatch.setattr(script, "small_png", plain_png)  # to find the most colours that fit takes seconds
    script.take_all(run.workspace.root)
    taken = {path.name: Image.open(io.BytesIO(path.read_bytes())).size for path in tmp_path.iterdir()}
    assert sorted(taken.values()) == [(390, 844), (1100, 860), (1100, 860), (1100, 930)]
    in_the_pages = (DOCS / "looking.md").read_text() + (ROOT / "README.md").read_text()
    assert all(f"images/{name})" in in_the_pages for name in taken)
    assert all(0 < (DOCS / "images" / name).stat().st_size <= script.MOST_BYTES for name in taken)
