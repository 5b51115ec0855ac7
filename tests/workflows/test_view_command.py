"""`crface view` as a user meets it: an address, a page behind it, and an end by Ctrl-C."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from gallery_world import PATHS, gallery_run

from workflows.cli.main import cli

CRFACE = [sys.executable, "-c", "from workflows.cli.main import run_command; run_command()"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    gallery_run(folder)
    return folder / "run"


def test_the_page_is_served_until_ctrl_c(workspace: Path):
    command = [*CRFACE, "view", str(workspace), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:[0-9]+/", said)
        assert found is not None, (said, process.stderr.read() if process.stderr else "")
        try:
            with urllib.request.urlopen(found[0] + "split.json", timeout=30) as answer:
                assert [name[1] for name in json.load(answer)["names"]] == list(PATHS)
        finally:
            process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "view: ended\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--split", "train"], "the data set has no split train: it has val"),
        (["--data", "nowhere"], "the data set .*nowhere is not there any more"),
    ],
)
def test_what_cannot_be_shown_is_said(workspace: Path, arguments: list[str], sentence: str):
    failed = CliRunner().invoke(cli, ["view", str(workspace), *arguments])
    assert failed.exception is not None
    assert re.search(sentence, str(failed.exception))


def test_an_empty_workspace_says_what_to_do(tmp_path: Path):
    failed = CliRunner().invoke(cli, ["view", str(tmp_path / "none")])
    assert "run `crface cache` first" in str(failed.exception)
