"""`crface bench timings`: parts apart, sums within each image, stored, and in the report when they are there."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from wider_folder import Picture, write_data_set

from crface import ranker
from detectors.protocols import PRESETS, View, view_candidates
from pipeline.errors import UserError
from pipeline.report.timings import timing_table
from pipeline.results.timings import TimingRow, as_lines, read_timings, timing_lines, write_timings
from pipeline.workspace.layout import Workspace
from workflows.cli.main import main

ROW = TimingRow(
    split="val",
    detector="retinaface-mobilenet0.25",
    weights="0" * 64,
    protocol="single",
    input_size="original",
    ranker="",
    part="detector",
    images=20,
    median_ms=12.34,
    p95_ms=1234.5,
    median_candidates=40.0,
    device="cpu",
    threads=2,
    torch="2.9.0",
)


def _data_set(root: Path) -> Path:
    return write_data_set(root, [Picture("0--A", f"p{number}", [(1, 1, 8, 9)]) for number in range(5)])


def test_every_part_is_timed_apart_and_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "ranker.safetensors"
    ranker.save(ranker.create("small", num_candidates=50, image_side_px=64), model)
    data, out = _data_set(tmp_path / "data"), tmp_path / "w"
    command = [
        "bench",
        "timings",
        "--data",
        str(data),
        "--out",
        str(out),
        "--detector",
        "fake_detector:ENTRY",
    ]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--protocol", "vga multi", "--ranker", str(model), "--images", "3", "--json"])
    assert ended.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    parts = {(row["protocol"], row["part"]): row for row in rows}
    assert [part for protocol, part in parts if protocol == "vga"] == [
        "detector",
        "nms",
        "ranker",
        "all but the ranker",
        "all",
    ]
    assert ("multi", "fusion") in parts
    assert all(row["images"] == 3 and 0 < row["median_ms"] <= row["p95_ms"] for row in rows)
    for protocol in ("vga", "multi"):
        longest = max(
            row["median_ms"] for (name, part), row in parts.items() if name == protocol and part != "all"
        )
        assert parts[protocol, "all"]["median_ms"] >= longest
    assert {row["part"] for row in rows if row["ranker"]} == {"ranker", "all"}
    assert [asdict(row) for row in read_timings(Workspace(out))] == rows


def test_without_a_ranker_the_table_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _data_set(tmp_path / "data")
    command = ["bench", "timings", "--data", str(data), "--out", str(tmp_path / "w")]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--detector", "fake_detector:ENTRY", "--images", "99"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "5 images of val on" in printed
    assert "no ranker: none is trained" in printed
    with pytest.raises(SystemExit) as ended:
        main([*command, "--detector", "imported:other"])
    assert ended.value.code == 2


def test_sums_are_within_each_image() -> None:
    from pipeline.bench import clock as bench_clock

    clock = bench_clock.Clock(None, None, object(), None, "cpu")  # type: ignore[arg-type]
    clock._seconds = {"detector": [1.0, 2.0, 9.0], "nms": [3.0, 0.5, 0.0], "ranker": [1.0, 1.0, 1.0]}
    parts = clock.parts()
    assert parts["all but the ranker"] == [4.0, 2.5, 9.0]
    assert np.median(parts["all"]) == 5.0  # of sums; the sum of medians is 3.5


def test_a_view_that_protocols_share_is_timed_once_for_an_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.bench import clock as bench_clock

    seen: list[str] = []

    def noted(detector: object, view: View, images: list[np.ndarray]) -> list[np.ndarray]:
        seen.append(view.name)
        return view_candidates(detector, view, images)  # type: ignore[arg-type]

    monkeypatch.setattr(bench_clock, "view_candidates", noted)
    command = ["bench", "timings", "--data", str(_data_set(tmp_path / "data")), "--out", str(tmp_path / "w")]
    options = ["--detector", "fake_detector:ENTRY", "--images", "3", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*command, *options, "--protocol", "short-500 multi short-800-mirrored"])
    assert ended.value.code == 0
    assert Counter(seen) == dict.fromkeys(
        {view.name for view in PRESETS["multi"].views}, 2 + 3
    )  # two warm up
    rows = json.loads(capsys.readouterr().out)
    ms = {row["protocol"]: row["median_ms"] for row in rows if row["part"] == "detector"}
    assert ms["multi"] > ms["short-500"] > 0


def test_the_table_fits_a_terminal_and_the_report(tmp_path: Path) -> None:
    fused = replace(ROW, protocol="8k-multi", part="fusion", median_ms=0.5, p95_ms=0.75)
    rows = [ROW, replace(ROW, part="ranker", ranker="abc"), replace(ROW, protocol="8k-multi"), fused]
    assert "  detector                    12.3 (1,234)" in as_lines(rows)
    assert max(map(len, as_lines(rows))) <= 80
    assert [line.protocol for line in timing_lines(rows)] == ["single", "8k-multi"]
    workspace = Workspace(tmp_path)
    assert timing_table(workspace) is None
    write_timings(workspace, rows)
    table = timing_table(workspace)
    assert table is not None
    assert table.columns == ("detector", "fusion", "ranker")  # nms was not timed in any line
    assert table.lines[1].cells == ("12.3 (1,234)", "0.50 (0.75)", "")
    assert "Ranker abc" in table.conditions


def test_damaged_timings_are_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_timings(workspace, [ROW])
    (workspace.results / "timings.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"timings\.parquet are damaged .* run `crface bench timings` again"):
        read_timings(workspace)
