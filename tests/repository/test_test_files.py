"""The files of the suite: each test file can be read, moved and run without another."""

import ast
from pathlib import Path

from places import ROOT

TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def _imported(file: Path) -> set[str]:
    """Every part of the names of modules and objects that a file imports, wherever in it."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [node.module or "", *(alias.name for alias in node.names)]
    return {name for module in modules for name in module.split(".")}


def test_no_test_file_imports_another() -> None:
    others = {file.stem for file in TEST_FILES}
    found = {file.name: names for file in TEST_FILES if (names := _imported(file) & others)}
    assert found == {}, "what several test files use belongs in tests/support"


def test_every_test_file_has_a_name_of_its_own() -> None:
    assert len({file.stem for file in TEST_FILES}) == len(TEST_FILES) > 100
