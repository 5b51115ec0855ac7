"""`crface bench store`: every format gives back every bit, and what fewer bytes cost is told."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.bench.smaller import Source, variants
from pipeline.bench.store_formats import OWN, formats
from workflows.cli.main import cli


def test_all_formats_are_measured_and_give_back_every_bit(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    options = ["--images", "3", "--long-side-px", "96", "--repeats", "1", "--json", str(file)]
    result = CliRunner().invoke(cli, ["bench", "store", *options], catch_exceptions=False)
    found = json.loads(file.read_text())
    assert found["unequal"] == []
    assert set(found["image_bytes"]) == set(found["writing"]) == set(found["reading"]) == set(formats())
    assert set(found["writers"]) == {"1", "2", "4"}
    assert all(size > 0 for size in found["image_bytes"].values())
    assert len(found["smaller"]) == 4
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("name", formats())
def test_a_format_reads_what_it_wrote_also_in_a_last_short_block_and_without_candidates(
    name: str, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    images = [generator.random((count, 5), np.float32) for count in [7, 0, *[3] * 32]]
    formats()[name].write(tmp_path, images)
    read = formats()[name].reader(tmp_path)
    for number in (33, 0, 1, 31, 32):
        rows = read(number)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, images[number])


def test_fewer_bytes_are_fewer_and_cost_what_they_cost() -> None:
    faces = np.array([[100, 100, 200, 200]], np.float32)
    generator = np.random.default_rng(0)
    boxes = generator.uniform(0, 900, (400, 2)).astype(np.float32)
    confidences = np.r_[0.9, np.geomspace(0.5, 1e-6, 399)].astype(np.float32)
    rows = np.column_stack([boxes, boxes + 50, confidences]).astype(np.float32)
    rows[0, :4] = faces
    own, planes, half, cut = variants([Source(rows, faces, 1000, 1000)])
    assert own.predicted == own.oracle == {"easy": 1.0, "medium": 1.0, "hard": 1.0}
    assert (own.largest_move_px, planes.largest_move_px, cut.largest_move_px) == (0, 0, 0)
    assert 0 < half.largest_move_px <= 1000 / 2**11  # half precision has 11 bits
    assert max(half.image_bytes, cut.image_bytes) < 0.8 * own.image_bytes
    assert half.predicted == cut.predicted == own.predicted
    assert OWN in formats()
