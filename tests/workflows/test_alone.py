"""`crface` without a command: what to do next in this folder, in five lines."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from wider_folder import Picture, write_data_set

from pipeline.dataset.index import update_index
from pipeline.workspace.layout import Workspace
from workflows.cli.main import main

Say = Callable[[], list[str]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """The lines that `crface` prints in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def lines() -> list[str]:
        with pytest.raises(SystemExit) as ended:
            main([])
        assert ended.value.code == 0
        return capsys.readouterr().out.splitlines()

    return lines


def make_workspace(folder: Path, command: str = "") -> None:
    """An indexed data set and nothing else, as after `crface dataset index`."""
    data = write_data_set(
        folder / "photographs", [Picture("event", "1", [(2, 2, 20, 20)]), Picture("event", "2")]
    )
    workspace = Workspace(folder / "runs" / "photographs")
    update_index(workspace, data, "val")
    if command:
        (workspace.root / ".lock").write_text(json.dumps({"command": command, "pid": 1}))


def test_an_empty_folder_is_told_how_to_begin(say: Say) -> None:
    lines = say()
    assert len(lines) == 5
    assert lines[1].endswith("crface demo")
    assert lines[2].endswith("crface cache --data FOLDER")


def test_a_data_set_in_the_folder_is_named(say: Say, tmp_path: Path) -> None:
    write_data_set(tmp_path / "my faces", [Picture("event", "1")])
    assert say()[2].endswith("crface cache --data 'my faces'")


def test_the_next_stage_of_the_workspace_is_named_with_the_options_of_its_last_command(
    say: Say, tmp_path: Path
) -> None:
    make_workspace(tmp_path, "crface dataset index --data photographs --config smoke")
    lines = say()
    assert lines[0].startswith("in this folder: runs/photographs; last command: crface dataset index")
    assert lines[1] == "done: only the index; to do: cache, evaluate, report"
    assert lines[2].startswith("next, retinaface-mobilenet0.25 on val: 2 images in 1 blocks")
    assert lines[3] == "  crface cache --data photographs --config smoke"
    assert len(lines) == 5


def test_images_without_labels_are_for_candidates_only(say: Say, tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "photographs", [Picture("event", "1")])
    images = data / "WIDER_val" / "images"
    update_index(Workspace(tmp_path / "runs" / "photographs"), images, "images")
    assert say()[1] == "done: only the index; to do: cache"
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--data", str(images), "--out", "runs/photographs"])
    assert ended.value.code == 0


@pytest.mark.parametrize("arguments", [[], ["status"], ["clean", "--dry-run"], ["plan"]])
def test_looking_at_a_workspace_waits_for_nothing_large(arguments: list[str], tmp_path: Path) -> None:
    make_workspace(tmp_path)
    program = (
        "import sys; from workflows.cli.main import cli; cli.main(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'torch', 'dask', 'matplotlib', 'pyarrow.compute', 'rich'} & sys.modules.keys()))"
    )
    words = [*arguments, *(["--out", "runs/photographs"] if arguments else [])]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_workspace_that_does_not_say_its_last_command_is_named_by_its_place(
    say: Say, tmp_path: Path
) -> None:
    make_workspace(tmp_path)
    assert say()[3] == "  crface cache --out runs/photographs"
    (tmp_path / "runs" / "photographs" / ".lock").write_bytes(b"\xff[1")
    assert say()[3] == "  crface cache --out runs/photographs"


def test_what_a_stranger_wrote_into_the_lock_is_neither_obeyed_by_the_terminal_nor_by_the_shell(
    say: Say, tmp_path: Path
) -> None:
    make_workspace(tmp_path, "crface cache --config \x1b[2J")
    assert "\x1b" not in "\n".join(say())
    make_workspace(tmp_path, "crface cache --data '; rm x'")
    assert "crface cache --out runs/photographs --data '; rm x'" in say()[3]


def test_what_cannot_be_told_is_said_in_a_sentence(say: Say, tmp_path: Path) -> None:
    make_workspace(tmp_path, "crface cache --config gone.toml")
    assert "gone.toml" in "\n".join(say())
    (tmp_path / "runs" / "photographs" / "dataset" / "val.parquet").write_bytes(b"damaged")
    (tmp_path / "runs" / "photographs" / ".lock").unlink()
    assert "what comes next is not clear" in "\n".join(say())


def test_no_line_changes_anything(say: Say, tmp_path: Path) -> None:
    make_workspace(tmp_path, "crface cache --data photographs")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    say()
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
