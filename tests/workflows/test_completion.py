"""Completion in the shell, by click's protocol: what the shell's script asks, and what is answered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import DOCS


def ask(words: str, current: str, cwd: Path) -> list[str]:
    """What is offered for the last word of a line, as bash asks."""
    answer = run({"_CRFACE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": current}, cwd)
    return [line.partition(",")[2] for line in answer.splitlines()]


def run(environment: dict[str, str], cwd: Path) -> str:
    program = "import sys; sys.argv[0] = 'crface'; from workflows.cli.main import run_command; run_command()"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_commands_options_and_choices_are_completed(tmp_path: Path) -> None:
    assert ask("crface eval", "1", tmp_path) == ["evaluate", "evaluate-protocols", "evaluate-resolutions"]
    assert ask("crface dataset co", "2", tmp_path) == ["collect"]
    assert "--detector" in ask("crface cache --de", "2", tmp_path)
    assert ask("crface export-detections out --format pa", "4", tmp_path) == ["parquet"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_that_the_documentation_names_is_there(shell: str, tmp_path: Path) -> None:
    script = run({"_CRFACE_COMPLETE": f"{shell}_source"}, tmp_path)
    assert "_CRFACE_COMPLETE" in script
    assert f"_CRFACE_COMPLETE={shell}_source crface" in (DOCS / "command-line.md").read_text()
