"""`crface evaluate-protocols` in a process of its own, on a small embedded data set: lines over the same images."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from installed_command import Ended, crface

CONFIG = """
[dataset]
train_images = 3
val_images = 4
long_side_px = 96

[cache]
block_images = 2

[train]
num_candidates = 20
image_side_px = 64
output_range = "scaled"
batch_size = 2
iterations = 2
checkpoint_every = 2

[evaluate]
resamples = 20

[comparison]
images = 2
train_images = 2
timed_images = 1

[[comparison.protocols]]
protocol = "single"
rankers = ["run"]

[[comparison.protocols]]
protocol = "low.toml"

[[comparison.protocols]]
protocol = "short-64"

[[comparison.protocols]]
protocol = "long-192"
rankers = ["run", "own"]
"""

LARGE = """
[[comparison.protocols]]
protocol = "long-160"
split = "8k"
rankers = ["run"]
"""

LOW = """
[[views]]
side = "short"
px = [64]
also_mirrored = true
"""

LINES = ["single", "single, rank", "low", "short-64", "long-192", "long-192, rank", "long-192, rank-long-192"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A workspace with a trained ranker in which the command was run with `--json`, and how it ended."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "small.toml").write_text(CONFIG)
    (folder / "low.toml").write_text(LOW)
    for stage in ("cache", "train"):
        ended = run(stage, cwd=folder)
        assert ended.status == 0, ended.errors
    return folder, run("evaluate-protocols", "--json", cwd=folder)


def run(command: str, *arguments: str, cwd: Path, config: str = "small.toml", out: str = "w") -> Ended:
    return crface(command, "--config", config, "--out", out, *arguments, cwd=cwd, on_thread=True)


def test_every_line_is_over_the_same_few_images_with_its_milliseconds(compared: tuple[Path, Ended]) -> None:
    folder, ended = compared
    assert ended.status == 0, ended.errors
    rows = json.loads(ended.output)
    assert list(dict.fromkeys(row["line"] for row in rows)) == LINES
    assert {(row["images"], row["split_images"], row["timed_images"]) for row in rows} == {(2, 4, 1)}
    assert len({row["faces"] for row in rows if row["setting"] == "hard"}) == 1
    assert all(row["median_ms"] > 0 for row in rows)
    assert pq.read_table(folder / "w" / "results" / "protocols.parquet").to_pylist() == rows


def test_a_view_that_two_protocols_share_is_computed_once(compared: tuple[Path, Ended]) -> None:
    _, ended = compared
    done = [line for line in ended.errors.splitlines() if " on val, short-64: 2 images in" in line]
    assert len(done) == 1, ended.errors


def test_the_oracle_closes_the_lines_of_every_protocol(compared: tuple[Path, Ended]) -> None:
    folder, ended = compared
    rows = json.loads(ended.output)
    assert all(row["oracle_ap"] >= row["ap"] for row in rows if row["ap"] is not None)
    table = run("evaluate-protocols", cwd=folder).output
    bounds = {row["protocol"]: row["oracle_ap"] for row in rows if row["setting"] == "hard"}
    for protocol, bound in bounds.items():
        (line,) = [line.split() for line in table.splitlines() if line.startswith(f"{protocol}, oracle")]
        assert line[-2:] == [f"{100 * bound:.1f}", "-"]


def test_the_curves_of_every_line_are_kept_with_the_ap_of_the_table(compared: tuple[Path, Ended]) -> None:
    folder, ended = compared
    ap = {(row["line"], row["setting"]): row["ap"] for row in json.loads(ended.output)}
    curves = pq.read_table(folder / "w" / "results" / "protocol_curves.parquet").to_pylist()
    assert {(curve["line"], curve["setting"]): curve["ap"] for curve in curves} == ap
    assert {len(curve["precision"]) for curve in curves} == {1000}


def test_the_ranker_of_a_protocol_is_trained_on_its_candidates_of_a_few_images(
    compared: tuple[Path, Ended],
) -> None:
    folder, ended = compared
    rows = json.loads(ended.output)
    trained = {row["line"]: (row["confidence"], row["trained_on"]) for row in rows}
    assert trained == {
        "single": ("predicted", 0),
        "single, rank": ("ranked", 3),
        "low": ("predicted", 0),
        "short-64": ("predicted", 0),
        "long-192": ("predicted", 0),
        "long-192, rank": ("ranked", 3),
        "long-192, rank-long-192": ("ranked", 2),
    }
    rankers = {row["line"]: row["ranker"] for row in rows}
    assert rankers["single, rank"] == rankers["long-192, rank"] != rankers["long-192, rank-long-192"]
    (parts,) = (folder / "w" / "subsets" / "2" / "rankers").glob("*/parts.json")
    (candidates,) = json.loads(parts.read_text())["candidates"].values()
    assert candidates.startswith("long-192 ")


def test_a_second_run_computes_nothing_and_prints_the_table_within_80_columns(
    compared: tuple[Path, Ended],
) -> None:
    folder, _ = compared
    file = folder / "w" / "results" / "protocols.parquet"
    before = file.stat().st_mtime_ns
    again = run("evaluate-protocols", cwd=folder)
    assert again.status == 0, again.errors
    assert file.stat().st_mtime_ns == before
    assert again.output.count("nothing to do") == 4  # candidates, the training, scores, and the table
    assert "images done" not in again.output
    assert "the same 2 of 4 images of val" in " ".join(again.output.split())
    assert [line for line in LINES if f"\n{line}  " in again.output] == LINES
    assert "rank-long-192: the ranker trained on 2 images" in " ".join(again.output.split())
    assert all(len(line) <= 80 for line in again.output.splitlines() if str(folder) not in line)


def test_the_report_has_the_table_and_the_images_of_the_split_are_as_they_were(
    compared: tuple[Path, Ended],
) -> None:
    folder, _ = compared
    assert run("rank", cwd=folder).status == 0
    assert run("evaluate", cwd=folder).status == 0
    ended = run("report", cwd=folder)
    assert ended.status == 0, ended.errors
    page = (folder / "w" / "report" / "index.html").read_text()
    assert "Protocols over the same images" in page
    assert "long-192, rank-long-192" in page
    assert len(pq.read_table(folder / "w" / "dataset" / "val.parquet")) == 4


def test_a_configuration_without_protocols_to_compare_is_told_what_to_add(
    compared: tuple[Path, Ended],
) -> None:
    folder, _ = compared
    (folder / "none.toml").write_text("[dataset]\ntrain_images = 3\nval_images = 4\nlong_side_px = 96\n")
    ended = run("evaluate-protocols", config="none.toml", cwd=folder)
    assert ended.status == 2
    assert "[[comparison.protocols]]" in ended.errors


def test_a_missing_ranker_is_said_before_any_candidates_are_computed(compared: tuple[Path, Ended]) -> None:
    folder, _ = compared
    (folder / "longer.toml").write_text(
        CONFIG.replace("iterations = 2", "iterations = 4").replace("192", "200")
    )
    ended = run("evaluate-protocols", config="longer.toml", cwd=folder)
    assert ended.status == 1
    assert "no ranker is trained with this configuration" in ended.errors
    assert "long-200" not in ended.errors


def test_protocols_of_another_split_are_compared_on_its_images_in_a_table_of_their_own(
    compared: tuple[Path, Ended],
) -> None:
    folder, _ = compared
    (folder / "large.toml").write_text(CONFIG + LARGE)
    ended = run("evaluate-protocols", "--json", config="large.toml", cwd=folder)
    assert ended.status == 0, ended.errors
    rows = json.loads(ended.output)
    on = {row["line"]: (row["split"], row["images"], row["split_images"]) for row in rows}
    assert on == dict.fromkeys(LINES, ("val", 2, 4)) | {
        "long-160": ("8k", 1, 1),
        "long-160, rank": ("8k", 1, 1),
    }
    again = run("evaluate-protocols", config="large.toml", cwd=folder)
    assert "the results are up to date" in again.output
    assert "the only image of 8k" in " ".join(again.output.split())


def test_what_was_compared_on_another_split_is_kept_and_asks_for_nothing_else_of_it(
    compared: tuple[Path, Ended],
) -> None:
    folder, _ = compared
    (folder / "large.toml").write_text(CONFIG + LARGE)
    ended = run("evaluate-protocols", config="large.toml", cwd=folder)
    assert ended.status == 0, ended.errors
    cached = run("cache", config="large.toml", cwd=folder)
    assert cached.status == 0, cached.errors
    assert "8k" not in cached.output
    cleaned = run("clean", "--yes", config="large.toml", cwd=folder)
    assert cleaned.status == 0, cleaned.errors
    again = run("evaluate-protocols", config="large.toml", cwd=folder)
    assert again.output.count("nothing to do") == 4


def test_a_data_set_without_the_split_is_compared_on_the_one_that_is_evaluated(
    compared: tuple[Path, Ended],
) -> None:
    folder, _ = compared
    (folder / "elsewhere.toml").write_text(CONFIG.partition("[[comparison")[0] + LARGE.replace('"run"', ""))
    made = crface("dataset", "make", "own", "--config", "elsewhere.toml", cwd=folder)
    assert made.status == 0, made.errors
    ended = run("evaluate-protocols", "--data", "own", "--json", config="elsewhere.toml", out="o", cwd=folder)
    assert ended.status == 0, ended.errors
    assert {row["split"] for row in json.loads(ended.output)} == {"val"}
