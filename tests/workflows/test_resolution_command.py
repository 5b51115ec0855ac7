"""`crface evaluate-resolutions` in a process of its own, on a small embedded data set."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from installed_command import Ended, crface

CONFIG = """
[dataset]
train_images = 1
val_images = 2
long_side_px = 96
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A workspace in which the command was run with `--json`, and how it ended."""
    folder = tmp_path_factory.mktemp("resolutions")
    (folder / "small.toml").write_text(CONFIG)
    return folder, run("--heights", "64", "96", "--json", cwd=folder)


def run(*arguments: str, cwd: Path, command: str = "evaluate-resolutions") -> Ended:
    return crface(command, "--config", "small.toml", "--out", "w", *arguments, cwd=cwd, on_thread=True)


def test_json_is_all_that_is_on_standard_output_and_is_what_is_stored(measured: tuple[Path, Ended]) -> None:
    folder, ended = measured
    assert ended.status == 0, ended.errors
    rows = json.loads(ended.output)
    assert {(row["height_px"], row["protocol"], row["split"]) for row in rows} == {
        (64, "height-64", "val"),
        (96, "height-96", "val"),
    }
    assert {row["confidence"] for row in rows} == {"predicted", "oracle"}
    table = pq.read_table(folder / "w" / "results" / "resolutions.parquet")
    assert table.to_pylist() == rows
    assert not (folder / "w" / "results" / "ap.parquet").exists()


def test_a_second_run_computes_only_another_height_and_a_third_nothing(measured: tuple[Path, Ended]) -> None:
    folder, _ = measured
    second = run("--heights", "64", "80", "96", cwd=folder)
    assert second.status == 0, second.errors
    assert [line for line in second.output.splitlines() if line.startswith("cache")] == [
        "cache retinaface-mobilenet0.25 on val, height-64: nothing to do",
        "cache retinaface-mobilenet0.25 on val, height-96: nothing to do",
        "cache retinaface-mobilenet0.25 on val, height-80: 2 images done",
    ]
    assert "embedded data set (generated" in second.output
    assert all(len(line) <= 80 for line in second.output.splitlines() if str(folder) not in line)
    file = folder / "w" / "results" / "resolutions.parquet"
    before = file.stat().st_mtime_ns
    third = run("--heights", "64", "80", "96", cwd=folder)
    assert third.output.count("nothing to do") == 4  # three heights, and the table
    assert file.stat().st_mtime_ns == before


def test_the_plan_of_the_stages_is_as_it_was(measured: tuple[Path, Ended]) -> None:
    ended = run(cwd=measured[0], command="plan")
    assert ended.status == 0, ended.errors
    assert "height" not in ended.output
    assert "cache retinaface-mobilenet0.25 on val: 2 images in 1 blocks" in ended.output


def test_single_large_faces_are_made_when_they_are_asked_for(measured: tuple[Path, Ended]) -> None:
    folder, _ = measured
    assert not (folder / "w" / "data" / "WIDER_large").exists()
    ended = run("--split", "large", "--heights", "64", cwd=folder)
    assert ended.status == 0, ended.errors
    assert len(list((folder / "w" / "data" / "WIDER_large").rglob("*.jpg"))) == 1  # half as many as in val
    rows = pq.read_table(folder / "w" / "results" / "resolutions.parquet").to_pylist()
    large = [row for row in rows if row["split"] == "large"]
    assert {
        (row["faces"], row["most_faces"], row["definition"]) for row in large if row["setting"] == "hard"
    } == {(1, 1, "by height")}
    assert any(row["split"] == "val" for row in rows)
    assert "Large_Face" not in (folder / "w/data/wider_face_split/wider_face_val_bbx_gt.txt").read_text()


def test_imported_candidates_which_have_one_size_are_refused_in_a_sentence(
    measured: tuple[Path, Ended],
) -> None:
    ended = run("--heights", "64", "--detector", "imported:x", cwd=measured[0])
    assert ended.status == 2
    assert "were computed elsewhere, at one size" in " ".join(ended.errors.split())
    assert "Traceback" not in ended.errors
