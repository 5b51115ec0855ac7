"""A command's work is done, and ends without a traceback, whatever became of the streams that it speaks to."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from places import ROOT

CRFACE = "from workflows.cli.main import run_command; run_command()"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    cv2.imwrite(str(file), np.full((64, 64, 3), 127, np.uint8))
    return file


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which `crface` is the command."""
    crface = f'crface() {{ "{sys.executable}" -c "{CRFACE}" "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", crface + line],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


DETECT = "crface detect photo.png --out drawn"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_neither_the_work_nor_the_status(closed: str, photo: Path) -> None:
    ended = shell(f"{DETECT} {closed}", photo.parent)
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert sorted(file.name for file in (photo.parent / "drawn").iterdir()) == ["photo-faces.jpg"]


def test_a_reader_that_has_gone_changes_neither_the_work_nor_the_status(photo: Path) -> None:
    # `true` ends long before the detector is loaded
    ended = shell(f"{DETECT} | true; exit ${{PIPESTATUS[0]}}", photo.parent)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (photo.parent / "drawn" / "photo-faces.jpg").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_finds_no_room_is_an_error_after_the_work(photo: Path) -> None:
    ended = shell(f"{DETECT} > /dev/full", photo.parent)
    assert ended.returncode == 1
    assert (
        ended.stderr == "crface: cannot write to standard output: No space left on device; all else is done\n"
    )
    assert (photo.parent / "drawn" / "photo-faces.jpg").is_file()


def test_what_a_command_says_arrives_whole(photo: Path) -> None:
    ended = shell("crface detect photo.png --out drawn --json", photo.parent)
    assert ended.returncode == 0
    assert ended.stdout.startswith("[\n")
    assert ended.stdout.endswith("]\n")
