"""Protocols by the installed command, in real processes, on a small embedded data set."""

import json
from pathlib import Path

import pytest
from installed_command import Ended, crface

CONFIG = """
[dataset]
train_images = 1
val_images = 1
long_side_px = 96

[cache]
block_images = 2
"""


LOW = """
[[views]]
side = "short"
px = [64, 96]
also_mirrored = true
"""


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A workspace in which `crface cache` was run under a protocol of four small views, with what it printed."""
    folder = tmp_path_factory.mktemp("protocols")
    (folder / "small.toml").write_text(CONFIG)
    (folder / "low.toml").write_text(LOW)
    return folder, run(
        "cache",
        "--split",
        "val",
        "--protocol",
        "low.toml",
        "--cluster",
        "local:1",
        cwd=folder,
        on_thread=False,
    )


def run(command: str, *arguments: str, cwd: Path, on_thread: bool = True) -> Ended:
    return crface(command, "--config", "small.toml", "--out", "w", *arguments, cwd=cwd, on_thread=on_thread)


def test_several_views_are_cached_one_by_one_and_evaluated_under_the_protocol_s_name(
    cached: tuple[Path, Ended],
) -> None:
    folder, ended = cached
    assert ended.status == 0, ended.errors
    done = [line for line in ended.output.splitlines() if line.endswith("1 images done")]
    assert done == [
        f"cache retinaface-mobilenet0.25 on val, {name}: 1 images done"
        for name in ("short-64", "short-64-mirrored", "short-96", "short-96-mirrored", "low")
    ]
    result = run("evaluate", "--protocol", "low.toml", "--json", cwd=folder)
    assert result.status == 0, result.errors
    assert {(row["protocol"], row["input_size"]) for row in json.loads(result.output)} == {
        ("low", "short side 64, 96, each also mirrored, box voting 0.4 above 0.02")
    }


def test_the_table_names_protocol_and_sizes_within_80_columns(cached: tuple[Path, Ended]) -> None:
    text = run("evaluate", "-v", "--protocol", "low.toml", cwd=cached[0]).output
    assert " ".join(text.split()).count("input: short side 64, 96, each also mirrored, box voting 0.4") == 1
    row = next(line for line in text.splitlines() if line.startswith("predicted"))
    assert row.split()[:4] == ["predicted", "see", "above", "low"]
    assert max(len(line) for line in text.splitlines() if str(cached[0]) not in line) <= 80


@pytest.mark.slow
def test_multi_is_ten_views_and_what_they_are_fused_to(cached: tuple[Path, Ended]) -> None:
    ended = run("cache", "--split", "val", "--protocol", "multi", cwd=cached[0])
    assert ended.status == 0, ended.errors
    done = [line for line in ended.output.splitlines() if line.endswith("1 images done")]
    assert len(done) == 11
    assert done[-1] == "cache retinaface-mobilenet0.25 on val, multi: 1 images done"


def test_a_view_of_a_protocol_is_there_already_and_the_plan_says_so(cached: tuple[Path, Ended]) -> None:
    folder, _ = cached
    again = run("cache", "--split", "val", "--protocol", "short-64-mirrored", cwd=folder)
    assert again.output.splitlines()[-1] == (
        "cache retinaface-mobilenet0.25 on val, short-64-mirrored: nothing to do"
    )
    plan = run("plan", "--protocol", "low.toml", cwd=folder).output
    assert "cache retinaface-mobilenet0.25 on val, short-96: nothing to do" in plan
    assert "cache retinaface-mobilenet0.25 on train, low: 1 images in 1 blocks" in plan


def test_a_protocol_file_that_fuses_some_of_the_views_in_another_way_forwards_nothing(
    cached: tuple[Path, Ended],
) -> None:
    folder, _ = cached
    (folder / "two.toml").write_text('[[views]]\nside = "short"\npx = [64, 96]\n\n[fusion]\nmethod = "nms"\n')
    ended = run("cache", "--split", "val", "--protocol", "two.toml", cwd=folder)
    assert ended.status == 0, ended.errors
    assert [line for line in ended.output.splitlines() if line.startswith("cache")] == [
        "cache retinaface-mobilenet0.25 on val, short-64: nothing to do",
        "cache retinaface-mobilenet0.25 on val, short-96: nothing to do",
        "cache retinaface-mobilenet0.25 on val, two: 1 images done",
    ]


def test_a_limit_on_the_largest_side_is_reported(cached: tuple[Path, Ended]) -> None:
    folder, _ = cached
    (folder / "limited.toml").write_text(CONFIG + '\n[cache.max_side_px]\n"retinaface-mobilenet0.25" = 128\n')
    arguments = ("--config", "limited.toml", "--out", "w", "--split", "val", "--protocol", "height-480")
    ended = crface("cache", *arguments, cwd=folder, on_thread=True)
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
