"""Candidates of detectors in Python that cannot be faces: refused by name, before anything is stored."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from wider_folder import Picture, write_data_set

from workflows.cli.main import cli


class Sizes:
    """A detector that gives x, y, width and height."""

    version = 1
    name = "sizes"

    def __init__(self, weights: Path | None, device: str) -> None: ...

    def candidates(self, images: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array([[12, 11, 8, 6, 0.9], [5, 6, 3, 4, 0.5]], np.float32) for _ in images]


class Fractions(Sizes):
    """A detector that gives fractions of width and height."""

    name = "fractions"

    def candidates(self, images: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array([[0.1, 0.1, 0.5, 0.6, 0.9]], np.float32) for _ in images]


@pytest.mark.parametrize("name", ["Sizes", "Fractions"])
@pytest.mark.parametrize("command", ["detect", "cache"])
def test_a_detector_in_python_that_gives_sizes_for_corners_is_refused(
    tmp_path: Path, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    folder = write_data_set(tmp_path / "data", [Picture("0--Event", "one", [(4, 4, 10, 12)])])
    given = {
        "detect": [str(folder / "WIDER_val/images/0--Event/one.jpg"), "--out", str(tmp_path / "drawn")],
        "cache": ["--data", str(folder), "--out", str(tmp_path / "run")],
    }[command]
    spec = f"test_misread_candidates:{name}"
    ended = CliRunner().invoke(cli, [command, "--detector", spec, *given])
    assert ended.exit_code != 0
    said = " ".join(f"{ended.output} {ended.exception}".split())
    assert "boxes that no face can have" in said
    assert "a detector gives x1 y1 x2 y2 in pixels of the image" in said
    assert not (tmp_path / "drawn").exists()
