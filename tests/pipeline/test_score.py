"""`crface score`: the field's AP from text files, and what stands between a user and a wrong figure."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wider_folder import Picture, write_data_set, write_mats

from crface.evaluation import average_precision
from pipeline.errors import UserError
from pipeline.evaluate.score import open_results, score_results, spread_by_rank
from workflows.cli.main import main

FACES = [(0, 0, 60, 60), (100, 0, 60, 60), (200, 0, 60, 60), (300, 0, 60, 60)]
EVERY = {"easy": [1, 2, 3], "medium": [1, 2, 3], "hard": [1, 2, 3, 4]}
PICTURES = [Picture("0--Parade", "1", FACES, EVERY), Picture("1--Riot", "2")]
FOUND = "0--Parade/1.jpg\n4\n0 0 60 60 0.9\n500 500 60 60 0.8\n100 0 60 60 0.4\n200 1 59 60 0.1\n"
NOTHING = "2\n0\n"


class Folders:
    def __init__(self, root: Path):
        self.truth = write_mats(root / "truth", PICTURES)
        self.results = root / "results"
        self.write({"0--Parade/1.txt": FOUND, "1--Riot/2.txt": NOTHING})

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.results / name).parent.mkdir(parents=True, exist_ok=True)
            (self.results / name).write_text(text)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def crface(folders: Folders, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*options: str | Path) -> tuple[int, str, str]:
        arguments = ["score", str(folders.results), "--ground-truth", str(folders.truth), *map(str, options)]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


Crface = Callable[..., tuple[int, str, str]]


# ------------------------------------------------------------------------------------------------- by hand


def test_json_has_official_ap_at_the_top_and_exact_beside_it(crface: Crface) -> None:
    status, output, _ = crface("--json")
    found = json.loads(output)
    assert status == 0
    # easy: 1/3 at precision 1, then two thirds at 2/3 and 3/4, which the envelope makes 3/4
    assert found["easy"] == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert found["hard"] == pytest.approx(1 / 4 + 2 / 4 * 3 / 4)
    assert found["exact"]["hard"] == pytest.approx(1 / 4 + 2 / 4 * 3 / 4)
    assert found["faces"] == {"easy": 3, "medium": 3, "hard": 4}
    assert (found["images"], found["detections"], found["iou"]) == (2, 4, 0.5)
    assert found["scores"] == "as given"
    assert len(found["ground_truth"]["sha256"]) == 64
    assert found["ground_truth"]["is_official_val"] is False


def test_text_fits_into_80_columns_and_names_the_ground_truth_by_its_hash(
    crface: Crface, folders: Folders
) -> None:
    _, output, _ = crface()
    digest = json.loads(crface("--json")[1])["ground_truth"]["sha256"]
    assert f"sha256 {digest[:12]}" in " ".join(output.split())  # a line may end between the two
    words = [line.split()[0] for line in output.splitlines()]
    assert words.index("faces") < words.index("official") < words.index("exact")
    assert all(len(line) <= 80 for line in output.splitlines() if str(folders.results) not in line)


def test_a_higher_iou_makes_fewer_hits(crface: Crface) -> None:
    assert json.loads(crface("--json", "--iou", "0.99")[1])["hard"] < json.loads(crface("--json")[1])["hard"]


def test_a_shuffled_file_has_the_ap_of_the_sorted_one_and_is_mentioned(
    crface: Crface, folders: Folders
) -> None:
    before = json.loads(crface("--json")[1])
    name, count, *lines = FOUND.splitlines()
    folders.write({"0--Parade/1.txt": "\n".join([name, count, *lines[::-1]])})
    after = json.loads(crface("--json")[1])
    assert [after[s] for s in EVERY] == [before[s] for s in EVERY]
    assert after["unsorted_files"] == 1
    assert "1 files were not sorted by score" in " ".join(crface()[1].split())


def test_curves_are_written_with_their_conditions_and_give_the_ap_again(
    crface: Crface, tmp_path: Path
) -> None:
    found = json.loads(crface("--json", "--pr-curves", tmp_path / "curves.parquet")[1])
    rows = pq.read_table(tmp_path / "curves.parquet").to_pylist()
    assert [(row["kind"], row["setting"]) for row in rows] == [
        (kind, setting) for kind in ("official", "exact") for setting in EVERY
    ]
    for row in rows:
        recall, precision = np.array(row["recall"]), np.array(row["precision"])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        assert float((np.diff(recall, prepend=0) * envelope).sum()) == pytest.approx(row["ap"])
        assert row["ground_truth"] == found["ground_truth"]["sha256"]
        assert (row["iou"], row["scores"]) == (0.5, "as given")
    assert {len(row["thresholds"]) for row in rows if row["kind"] == "official"} == {1000}


def test_coco_figures_come_along_when_asked_for(crface: Crface) -> None:
    found = json.loads(crface("--json", "--coco")[1])
    assert found["coco"]["num_faces"] == 4
    assert 0 < found["coco"]["ap"] <= found["coco"]["ap50"] < 1
    assert found["coco"]["ap_small"] is None
    status, output, _ = crface("--coco")
    assert status == 0
    assert "as COCO measures, 4 faces" in output


def test_without_mat_files_the_settings_go_by_face_height_and_say_so(
    tmp_path: Path, folders: Folders
) -> None:
    data = write_data_set(tmp_path / "data", PICTURES)
    results = open_results(folders.results, data)
    assert results.truth.definition == "by height"
    # all four faces are 60 pixels high
    assert score_results(results).evaluation.num_faces == {"easy": 4, "medium": 4, "hard": 4}


# ------------------------------------------------------------------------------ what is refused, and let pass


def test_missing_files_are_named_up_front_unless_they_may_be_missing(
    crface: Crface, folders: Folders
) -> None:
    (folders.results / "1--Riot" / "2.txt").unlink()
    folders.write({"0--Parade/1.txt": "rubbish"})
    status, output, errors = crface()
    assert (status, output) == (1, "")
    assert "1 of the 2 images have no result file" in errors
    assert "1--Riot/2" in errors
    assert "--allow-missing" in errors
    folders.write({"0--Parade/1.txt": FOUND})
    found = json.loads(crface("--json", "--allow-missing")[1])
    assert found["missing"] == ["1--Riot/2"]
    assert any("no result file" in note for note in found["notes"])


def test_mistakes_end_with_status_1_and_leniently_are_counted(crface: Crface, folders: Folders) -> None:
    folders.write({"0--Parade/1.txt": FOUND.replace("0.8", "nan"), "9--Else/x.txt": NOTHING})
    status, _, errors = crface()
    assert status == 1
    assert "1.txt line 4: not finite" in errors
    assert "9--Else/x.txt: unknown event" in errors
    found = json.loads(crface("--json", "--lenient")[1])
    assert found["left_out"] == {"unknown event": 1, "not finite": 1}
    assert found["easy"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "looks_like"),
    [
        ([(0.01, 0.01, 0.06, 0.06), (0.1, 0, 0.06, 0.06), (0.3, 0, 0.06, 0.06)], "normalised to 0..1"),
        ([(130, 30, 60, 60), (230, 30, 60, 60), (330, 30, 60, 60)], r"centres and sizes \(cx cy w h\)"),
        ([(100, 0, 160, 60), (200, 0, 260, 60), (300, 0, 360, 60)], r"corners \(x1 y1 x2 y2\)"),
    ],
)
def test_boxes_of_another_kind_are_refused_by_their_name(
    folders: Folders, rows: Sequence[tuple[float, ...]], looks_like: str
) -> None:
    lines = "".join(f"{' '.join(map(str, row))} 0.9\n" for row in rows)
    folders.write({"0--Parade/1.txt": f"1\n{len(rows)}\n{lines}"})
    with pytest.raises(UserError, match=f"look like {looks_like}, but x y w h in pixels is due"):
        open_results(folders.results, folders.truth)


def test_whole_numbers_are_mentioned_for_they_cost_ap(crface: Crface) -> None:
    assert "all boxes are whole numbers" in crface()[1]


@pytest.mark.parametrize("options", [["--iou", "0"], ["--iou", "1.5"], ["--split", "test"]])
def test_impossible_options_are_refused(crface: Crface, options: Sequence[str]) -> None:
    status, output, errors = crface(*options)
    assert status in (1, 2)
    assert output == ""
    assert options[1] in errors


# ------------------------------------------------------------------------------------------ spreading scores


def test_spreading_is_named_in_the_output_and_leaves_the_exact_ap(crface: Crface, folders: Folders) -> None:
    # all but one of the scores share the last of the thousand thresholds
    crowded = FOUND.replace("0.8", "0.00003").replace("0.4", "0.00002").replace("0.1", "0.00001")
    folders.write({"0--Parade/1.txt": crowded, "1--Riot/2.txt": "2\n1\n0 0 9 9 0\n"})
    plain, spread = (json.loads(crface("--json", *option)[1]) for option in ([], ["--spread-scores"]))
    assert (plain["scores"], spread["scores"]) == ("as given", "spread by rank")
    assert spread["exact"] == pytest.approx(plain["exact"])
    assert spread["hard"] == pytest.approx(spread["exact"]["hard"])
    assert "official AP of spread scores" in crface("--spread-scores")[1]
    assert "--spread-scores" in " ".join(spread["notes"])


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=4))
def test_spread_scores_keep_order_and_equality_and_lie_evenly_up_to_1(images: list[list[int]]) -> None:
    before = [np.array([[1, 2, 3, 4, score] for score in image], float).reshape(-1, 5) for image in images]
    after = spread_by_rank(before)
    old = np.concatenate([np.zeros(0), *(rows[:, 4] for rows in before)])
    new = np.concatenate([np.zeros(0), *(rows[:, 4] for rows in after)])
    assert (np.sign(old[:, None] - old) == np.sign(new[:, None] - new)).all()
    values = np.unique(new)
    assert values == pytest.approx(np.arange(1, len(values) + 1) / max(1, len(values)))


# ------------------------------------------------------------------------ the field's evaluator's own figures

_FIELD = {"easy": 0.5520735608463685, "medium": 0.559718898654674, "hard": 0.5661289891711805}


@pytest.fixture(scope="module", params=["sorted", "shuffled"])
def example(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = np.load(shared / "widerface" / "example_detections.npz")
    folder = tmp_path_factory.mktemp("example")
    generator = np.random.default_rng(0)
    images = np.split(stored["rows"], np.cumsum(stored["counts"])[:-1])
    for name, rows in zip(stored["names"].tolist(), images, strict=True):
        rows = generator.permutation(rows) if request.param == "shuffled" else rows
        lines = [" ".join(f"{value:.3f}" for value in row) for row in rows.tolist()]
        path = folder / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([name, str(len(lines)), *lines, ""]))
    return folder


def test_ap_from_text_files_equals_the_fields_evaluator_sorted_or_not(example: Path, shared: Path) -> None:
    results = open_results(example, shared / "widerface")
    found = score_results(results).evaluation
    assert dict(found) == pytest.approx(_FIELD, abs=1e-9)
    assert {s: average_precision(found.curves[s]) for s in _FIELD} == pytest.approx(_FIELD, abs=1e-9)
    assert results.num_detections == 116_616
    assert results.truth.is_official_val
