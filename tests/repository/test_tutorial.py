"""The tutorial does what it says: its files are written and its commands run, as a reader would."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from places import DOCS

TUTORIAL = DOCS / "tutorials" / "own-detector.md"

# a minute of two idle cores, which may be busy
pytestmark = pytest.mark.timeout(900)

_FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# the reader's own environment is not to be touched by a test, and a test has no network
_PIP = f"{shlex.quote(sys.executable)} -m pip"
_INSTALL = f"{_PIP} install --quiet --no-index --no-build-isolation --no-deps --target site ."


def _without_numbers(line: str) -> str:
    """Mask what may differ from one machine to another: numbers, hashes, the folder."""
    line = re.sub(r"/.*/run/", "run/", line)
    line = re.sub(r"\b[0-9a-f]{12,}\b", "HASH", line)
    return re.sub(r"[+-]?\d+(\.\d+)?", "N", " ".join(line.split()))


@pytest.fixture(scope="module")
def commands() -> list[tuple[str, list[str]]]:
    """Every command of the tutorial with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for block in _CONSOLE.findall(TUTORIAL.read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line:
                found[-1][1].append(line)
    return found


@pytest.fixture(scope="module")
def printed(
    commands: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> list[list[str]]:
    """What each command printed, in a folder that holds the tutorial's files."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in _FILE.findall(TUTORIAL.read_text()):
        (folder / name).write_text(text)
    end = "-- end of a command --"
    script = ["set -e"]
    for command, _ in commands:
        is_installation = command == "pip install ."
        script.append(f"{_INSTALL}; export PYTHONPATH=$PWD/site" if is_installation else command)
        script.append(f"echo; echo '{end}'")
    environment = {
        **os.environ,
        "COLUMNS": "80",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    ended = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return [part.splitlines() for part in ended.stdout.split(end)[:-1]]


def test_the_tutorial_has_a_detector_and_takes_it_through_every_stage(
    commands: list[tuple[str, list[str]]],
) -> None:
    assert {name for name, _ in _FILE.findall(TUTORIAL.read_text())} == {
        "skin_blobs.py",
        "small.toml",
        "pyproject.toml",
    }
    stages = [command.split()[1] for command, _ in commands if command.startswith("crface")]
    assert stages == ["cache", "cache", "train", "rank", "evaluate", "detectors", "plan"]


def test_every_command_prints_what_the_tutorial_shows_numbers_aside(
    commands: list[tuple[str, list[str]]], printed: list[list[str]]
) -> None:
    for (command, shown), lines in zip(commands, printed, strict=True):
        actual = {_without_numbers(line) for line in lines}
        missing = [line for line in shown if _without_numbers(line) not in actual]
        assert missing == [], f"{command} printed\n" + "\n".join(lines)


def test_the_ap_that_the_tutorial_shows_is_the_ap_that_it_gets(
    commands: list[tuple[str, list[str]]], printed: list[list[str]]
) -> None:
    at = next(i for i, (command, _) in enumerate(commands) if command.startswith("crface evaluate"))
    shown, actual = _ap_table(commands[at][1]), _ap_table(printed[at])
    for name, values in shown.items():
        assert actual[name] == pytest.approx(values, abs=2.0), name  # another JPEG decoder, another training
    predicted, _, oracle = shown["hard"]
    assert actual["hard"][-1] > actual["hard"][0] + 10  # the gap that the text speaks of
    text = TUTORIAL.read_text()
    assert f"worth {oracle} %" in " ".join(text.split())
    assert f"worth {predicted} %" in " ".join(text.split())


def test_a_detector_that_is_installed_is_listed_by_its_name(
    commands: list[tuple[str, list[str]]], printed: list[list[str]]
) -> None:
    at = next(i for i, (command, _) in enumerate(commands) if command == "crface detectors")
    assert "skin-blobs: Blobs of skin colour, the most oval first." in printed[at]


def _ap_table(lines: list[str]) -> dict[str, list[float]]:
    """Give predicted, ranked and oracle AP of each setting."""
    rows = [
        re.sub(r"\([^)]*\)", "", line).split() for line in lines if re.match("  (easy|medium|hard) ", line)
    ]
    return {
        setting: [float(v) for v in (predicted, ranked, oracle)]
        for setting, _, predicted, ranked, _, oracle in rows
    }
