"""Protocols by the installed command, in real processes, on a small embedded data set."""

import json
from pathlib import Path

import pytest
from test_command_line import Ended, crface

CONFIG = """
[dataset]
train_images = 1
val_images = 1
long_side_px = 96

[cache]
block_images = 2
"""


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A workspace in which `crface cache --protocol multi` was run, with what it printed."""
    folder = tmp_path_factory.mktemp("protocols")
    (folder / "small.toml").write_text(CONFIG)
    return folder, run("cache", "--split", "val", "--protocol", "multi", cwd=folder)


def run(command: str, *arguments: str, cwd: Path) -> Ended:
    return crface(command, "--config", "small.toml", "--out", "w", *arguments, cwd=cwd)


def test_multi_is_cached_view_by_view_and_evaluated_under_its_name(cached: tuple[Path, Ended]) -> None:
    folder, ended = cached
    assert ended.status == 0, ended.errors
    done = [line for line in ended.output.splitlines() if line.endswith("1 images done")]
    assert len(done) == 11  # ten views and what they are fused to
    assert done[-1] == "cache retinaface-mobilenet0.25 on val, multi: 1 images done"
    result = run("evaluate", "--protocol", "multi", "--json", cwd=folder)
    assert result.status == 0, result.errors
    assert {(row["protocol"], row["input_size"]) for row in json.loads(result.output)} == {
        ("multi", "short side 500, 800, 1100, 1400, 1700, each also mirrored, box voting 0.4 above 0.02")
    }


def test_the_table_names_protocol_and_sizes_within_80_columns(cached: tuple[Path, Ended]) -> None:
    text = run("evaluate", "--protocol", "multi", cwd=cached[0]).output
    assert " ".join(text.split()).count("short side 500, 800, 1100, 1400, 1700, each also mirrored") == 1
    assert next(line.split()[:4] for line in text.splitlines() if "multi" in line) == [
        "predicted",
        "see",
        "above",
        "multi",
    ]
    assert max(len(line) for line in text.splitlines() if str(cached[0]) not in line) <= 80


def test_a_view_of_multi_is_there_already_and_the_plan_says_so(cached: tuple[Path, Ended]) -> None:
    folder, _ = cached
    again = run("cache", "--split", "val", "--protocol", "short-500-mirrored", cwd=folder)
    assert again.output.splitlines()[-1] == (
        "cache retinaface-mobilenet0.25 on val, short-500-mirrored: nothing to do"
    )
    plan = run("plan", "--protocol", "multi", cwd=folder).output
    assert "cache retinaface-mobilenet0.25 on val, short-1700: nothing to do" in plan
    assert "cache retinaface-mobilenet0.25 on train, multi: 1 images in 1 blocks" in plan


def test_a_protocol_file_that_fuses_views_of_multi_in_another_way_forwards_nothing(
    cached: tuple[Path, Ended],
) -> None:
    folder, _ = cached
    (folder / "two.toml").write_text(
        '[[views]]\nside = "short"\npx = [500, 800]\n\n[fusion]\nmethod = "nms"\n'
    )
    ended = run("cache", "--split", "val", "--protocol", "two.toml", cwd=folder)
    assert ended.status == 0, ended.errors
    assert [line for line in ended.output.splitlines() if line.startswith("cache")] == [
        "cache retinaface-mobilenet0.25 on val, short-500: nothing to do",
        "cache retinaface-mobilenet0.25 on val, short-800: nothing to do",
        "cache retinaface-mobilenet0.25 on val, two: 1 images done",
    ]


def test_a_limit_on_the_largest_side_is_reported(cached: tuple[Path, Ended]) -> None:
    folder, _ = cached
    (folder / "limited.toml").write_text(CONFIG + '\n[cache.max_side_px]\n"retinaface-mobilenet0.25" = 128\n')
    arguments = ("--config", "limited.toml", "--out", "w", "--split", "val", "--protocol", "height-480")
    ended = crface("cache", *arguments, cwd=folder)
    assert ended.status == 0, ended.errors
    said = " ".join(ended.output.split())
    assert "retinaface-mobilenet0.25 takes at most 128 px a side" in said
    assert "1 of 1 images are shown smaller; filed as height-480-max-128" in said
    assert "on val, height-480-max-128: 1 images done" in said


@pytest.mark.parametrize(
    ("protocol", "words"), [("8K", "8k-multi"), ("gone.toml", "gone.toml"), ("bad.toml", "views.0.sides")]
)
def test_a_protocol_that_is_none_is_one_sentence(
    cached: tuple[Path, Ended], protocol: str, words: str
) -> None:
    folder, _ = cached
    (folder / "bad.toml").write_text("[[views]]\nsides = 3\n")
    ended = run("cache", "--protocol", protocol, cwd=folder)
    assert ended.status == 2
    assert words in ended.errors
    assert "Traceback" not in ended.errors
