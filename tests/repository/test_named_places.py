"""Modules, paths and links that the documentation names exist."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

# the changelog also names what used to be there
PAGES = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "detectors").rglob("*.md")}
    - {ROOT / "CHANGELOG.md"}
)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MODULE = re.compile(r"(?<![\w./])(?:crface|detectors|pipeline|workflows)(?:\.[A-Za-z_]\w*)+(?![\w*])")
_PATH = re.compile(r"(?<![\w/.-])(?:crface|detectors|docs|pipeline|tests|workflows)/[\w./*-]*[\w*/]")
_TEST = re.compile(r"`(test_\w+)(?:\.py)?(?:::\w+)?`")
_NOT_MODULES = {"crface.detectors"}  # the group of entry points


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or what a module holds."""
    parts = dotted.split(".")
    for number in range(len(parts), 0, -1):
        try:
            found = importlib.util.find_spec(".".join(parts[:number]))
        except ModuleNotFoundError:  # a name below a module that is no package
            continue
        if found is not None:
            value: object = importlib.import_module(".".join(parts[:number]))
            for attribute in parts[number:]:
                if not hasattr(value, attribute):
                    return False
                value = getattr(value, attribute)
            return True
    return False


def _anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    is_code = False
    for line in page.read_text().splitlines():
        is_code ^= line.lstrip().startswith("```")
        if line.startswith("#") and not is_code:
            heading = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            yield heading.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = set(_MODULE.findall(page.read_text())) - _NOT_MODULES
    assert sorted(name for name in named if not _exists(name)) == []


def test_a_module_or_a_function_that_does_not_exist_is_noticed() -> None:
    assert _exists("crface.boxes.nms")
    assert not _exists("crface.boxes.nms_of_old")
    assert not _exists("pipeline.modules_of_old")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    named = set(_PATH.findall(page.read_text()))
    assert sorted(path for path in named if not any(ROOT.glob(path.rstrip("/")))) == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert sorted(set(_TEST.findall(page.read_text())) - files) == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in set(_anchors(place))):
            broken.append(target)
    assert broken == []
