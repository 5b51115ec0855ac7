"""The page about reliability promises nothing that no test shows."""

import re

from places import ROOT


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 30
    found = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    for file, test in named:
        assert f"\ndef {test}(" in found[file].read_text(), f"{file}::{test}"
