"""The page of anchors says what its script prints, where no weights decide it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from places import DOCS


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("matplotlib", reason="the pictures are drawn with matplotlib")
    spec = importlib.util.spec_from_file_location("anchor_figures", DOCS / "figures" / "anchors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "IMAGES", tmp_path)
    return module


def test_the_page_tells_how_many_priors_there_are_and_match(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    party = script.example(11)
    script.draw_layouts(party)
    script.draw_matches(party)
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("wrote")]
    assert len(printed) == 17
    assert "\n".join(printed) in (DOCS / "anchors.md").read_text()


def test_every_picture_of_the_page_is_there_and_small() -> None:
    pictures = sorted((DOCS / "images").glob("anchors-*.png"))
    text = (DOCS / "anchors.md").read_text()
    assert [path.name for path in pictures if f"(images/{path.name})" in text] == [
        "anchors-detections.png",
        "anchors-layouts.png",
        "anchors-matches.png",
        "anchors-mining.png",
    ]
    assert all(path.stat().st_size < 150_000 for path in pictures)
