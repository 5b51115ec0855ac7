"""Results of a detector that ran elsewhere become candidates like any other, all of them or none."""

import json
from pathlib import Path

import numpy as np
import pytest
from import_world import BOXES, PICTURES, coco_import, expected, item, write_coco, write_texts
from imported_folder import Folder
from ranker_world import World
from wider_folder import write_data_set

from detectors import MAX_CANDIDATES
from pipeline.blocks import store as store_module
from pipeline.blocks.complete import open_complete
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index, update_index
from pipeline.errors import UsageError, UserError
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import evaluate
from pipeline.formats.widerface_results import read_text_results
from pipeline.imports.imported import imported_key
from pipeline.imports.work import plan_import, store_import
from pipeline.workspace.layout import CandidateKey, Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, PICTURES)


def test_text_results_become_candidates_in_corners_and_sorted(folder: Folder) -> None:
    ended = folder.imports(write_texts(folder.root / "results"))
    assert ended.exit_code == 0, ended.output
    assert "import far on val: 7 boxes of 4 images stored" in ended.output
    found = folder.candidates()
    for path in BOXES:
        np.testing.assert_allclose(found[path], expected(path), rtol=1e-6)


def test_coco_results_become_the_same_candidates(folder: Folder) -> None:
    file, images = write_coco(folder.root)
    ended = folder.imports(file, "--images", images, "--allow-missing")  # one image has no detection
    assert ended.exit_code == 0, ended.output
    found = folder.candidates()
    for path in BOXES:
        np.testing.assert_allclose(found[path], expected(path), rtol=1e-6)


def test_the_same_boxes_in_either_format_have_one_fingerprint(folder: Folder) -> None:
    file, images = write_coco(folder.root)
    assert folder.imports(file, "--images", images, "--allow-missing").exit_code == 0
    from_coco = folder.key()
    texts = write_texts(folder.root / "results", {path: rows for path, rows in BOXES.items() if rows})
    assert folder.imports(texts, "--allow-missing").exit_code == 0
    assert folder.key() == from_coco


def test_coco_results_may_name_images_by_path_alone_or_below_the_image_folder(folder: Folder) -> None:
    found = [
        {"image_id": prefix + path, "bbox": row[:4], "score": row[4]}
        for prefix, path in zip(("", "WIDER_val/images/", "", ""), BOXES, strict=True)
        for row in BOXES[path]
    ]
    (folder.root / "found.json").write_text(json.dumps(found))
    ended = folder.imports(folder.root / "found.json", "--allow-missing")
    assert ended.exit_code == 0, ended.output
    assert len(folder.candidates()["0--Parade/a.b.jpg"]) == 3


def test_a_cache_written_out_as_text_and_imported_gives_the_same_ap(tmp_path: Path) -> None:
    world = World(tmp_path, num_images=5, split="val")
    key, index = world.cache(), world.index()
    own = open_complete(world.workspace, index, key)
    boxes = {
        row.path: [
            (float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1), float(score))
            for x1, y1, x2, y2, score in own.read(row.row)[::-1]  # the order of lines does not matter
        ]
        for row in index.all_rows
    }
    plan = plan_import(
        world.workspace,
        index,
        read_text_results(write_texts(tmp_path / "texts", boxes), index),
        "far",
        "imported",
    )
    plan.check(is_missing_allowed=False)
    store_import(plan, block_images=4)
    assert plan.key != key
    ap = hard_ap(world.workspace, index, key)
    assert hard_ap(world.workspace, index, plan.key) == ap
    assert 0 < ap["predicted", "official"] < ap["oracle", "official"]


def hard_ap(workspace: Workspace, index: Index, key: CandidateKey) -> dict[tuple[str, str], float]:
    evaluated = evaluate(
        EvaluationInput(
            workspace=workspace,
            index=index,
            sources=[Source(key=key, weights="")],
            config=EvaluateConfig(),
        )
    )
    return {(row.confidence, row.kind): row.ap for row in evaluated.rows if row.setting == "hard"}


def test_nothing_is_stored_and_every_bad_line_named_when_there_is_one(folder: Folder) -> None:
    results = write_texts(folder.root / "results")
    with (results / "0--Parade" / "a.b.txt").open("a") as file:
        file.write("1 2 3 4 0.5\n1 2 3\n")
    (results / "0--Parade" / "none.txt").write_text("")
    ended = folder.imports(results)
    assert isinstance(ended.exception, UserError)
    assert "3 entries of" in str(ended.exception)
    for words in (
        "cannot be used (3)",
        "a.b.txt line 2: wrong count",
        "a.b.txt line 7: bad line",
        "none.txt line 1: empty file",
    ):
        assert words in ended.output
    assert not (folder.workspace.root / "candidates.zarr").exists()
    with pytest.raises(UsageError, match="nothing was imported as 'far'"):
        folder.key()


def test_missing_images_are_named_and_refused_unless_allowed(folder: Folder) -> None:
    results = write_texts(folder.root / "results")
    (results / "1--Handshaking" / "d.txt").unlink()
    refused = folder.imports(results)
    assert isinstance(refused.exception, UserError)
    assert "1 image is missing" in str(refused.exception)
    assert "--allow-missing" in str(refused.exception)
    assert "1--Handshaking/d.jpg" in refused.output
    ended = folder.imports(results, "--allow-missing")
    assert ended.exit_code == 0, ended.output
    assert folder.candidates()["1--Handshaking/d.jpg"].shape == (0, 5)


def test_unknown_images_are_named_and_left_out(folder: Folder) -> None:
    ended = folder.imports(
        write_texts(folder.root / "results", {**BOXES, "9--Moon/z.jpg": [(1, 1, 2, 2, 0.1)]})
    )
    assert ended.exit_code == 0, ended.output
    assert "not in the data set, left out (1):\n  9--Moon/z" in ended.output


def test_results_of_another_data_set_are_refused(folder: Folder) -> None:
    ended = folder.imports(write_texts(folder.root / "results", {"9--Moon/z.jpg": [(1, 1, 2, 2, 0.1)]}))
    assert isinstance(ended.exception, UserError)
    assert "9--Moon/z.txt" in str(ended.exception)
    assert "0--Parade/a.b" in str(ended.exception)


def test_boxes_outside_their_image_are_counted_and_kept(folder: Folder) -> None:
    path = "0--Parade/a.b.jpg"
    ended = folder.imports(
        write_texts(folder.root / "results", {**BOXES, path: [*BOXES[path], (40, 2, 5, 5, 0.2)]})
    )
    assert ended.exit_code == 0, ended.output
    assert "outside the image, kept (1):\n  0--Parade/a.b.jpg: 1 of 4 boxes" in ended.output
    assert len(folder.candidates()[path]) == 4


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1 / 32, "normalised to 0..1"), (20.0, "resized images")],
    ids=["shares", "resized"],
)
def test_boxes_in_other_units_than_pixels_of_the_image_are_refused(
    folder: Folder, factor: float, words: str
) -> None:
    scaled = {
        path: [(x * factor, y * factor, w * factor, h * factor, score) for x, y, w, h, score in rows]
        for path, rows in BOXES.items()
    }
    ended = folder.imports(write_texts(folder.root / "results", scaled))
    assert isinstance(ended.exception, UserError)
    assert words in str(ended.exception)


def test_shares_of_the_image_are_refused_without_labels_too(folder: Folder) -> None:
    (folder.data / "wider_face_split" / "wider_face_val_bbx_gt.txt").unlink()
    shares = {path: [(x / 32, y / 24, w / 32, h / 24, s) for x, y, w, h, s in BOXES[path]] for path in BOXES}
    ended = folder.imports(write_texts(folder.root / "results", shares))
    assert isinstance(ended.exception, UserError)
    assert "shares of the image" in str(ended.exception)


def test_corners_in_place_of_sizes_are_refused(folder: Folder) -> None:
    faces = {picture.path: picture.faces for picture in PICTURES}
    corners = {path: [(x, y, x + w, y + h, 0.9) for x, y, w, h in faces[path]] for path in faces}
    ended = folder.imports(write_texts(folder.root / "results", corners))
    assert isinstance(ended.exception, UserError)
    assert "corners (x1 y1 x2 y2)" in str(ended.exception)


def test_a_score_outside_0_to_1_is_a_bad_entry(folder: Folder) -> None:
    percent = {path: [(*row[:4], 100 * row[4]) for row in rows] for path, rows in BOXES.items()}
    ended = folder.imports(write_texts(folder.root / "results", percent))
    assert isinstance(ended.exception, UserError)
    assert "a.b.txt: 3 scores as 90; confidences are 0 to 1" in ended.output


@pytest.mark.parametrize("form", ["widerface", "coco"])
def test_exported_detections_come_back_as_they_were(folder: Folder, form: str) -> None:
    assert folder.imports(write_texts(folder.root / "results")).exit_code == 0
    out = folder.root / "exported"
    ended = folder.crface("export-detections", out, "--format", form, "--detector", "imported:far")
    assert ended.exit_code == 0, ended.output
    back = folder.imports(out, "--allow-missing", name="back")
    assert back.exit_code == 0, back.output
    for path, rows in folder.candidates().items():
        above = rows[rows[:, 4] > 0.02]  # what is exported; no two of these overlap by 0.4
        np.testing.assert_allclose(folder.candidates("back")[path], above, atol=1e-3)


def test_of_more_than_5000_boxes_the_best_are_kept_and_the_image_named(folder: Folder) -> None:
    path = "0--Parade/none.jpg"
    many = [(1.0, 1.0, 5.0, 5.0, i / 6000) for i in range(5001)]
    ended = folder.imports(write_texts(folder.root / "results", {**BOXES, path: many}))
    assert ended.exit_code == 0, ended.output
    assert "0--Parade/none.jpg: 5001 boxes" in ended.output
    found = folder.candidates()[path]
    assert len(found) == MAX_CANDIDATES
    assert found[-1, 4] == np.float32(1 / 6000)


@pytest.mark.parametrize("form", ["texts", "coco"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_results_with_a_byte_order_mark_are_read(folder: Folder, form: str, encoding: str) -> None:
    if form == "texts":
        source = write_texts(folder.root / "results")
        files, options = list(source.rglob("*.txt")), []
    else:
        source, images = write_coco(folder.root)
        files, options = [source, images], ["--images", str(images), "--allow-missing"]
    for file in files:
        file.write_bytes(file.read_text().replace("\n", "\r\n").encode(encoding))
    ended = folder.imports(source, *options)
    assert ended.exit_code == 0, ended.output
    assert "7 boxes of 4 images" in ended.output


@pytest.mark.parametrize("form", ["texts", "coco"])
def test_scores_above_1_by_rounding_count_as_1(folder: Folder, form: str) -> None:
    path = "1--Handshaking/c.jpg"
    boxes = {**BOXES, path: [(6.5, 4.25, 14, 12, 1.0005), (20, 1, 9, 9, 1.001)]}
    if form == "texts":
        ended = folder.imports(write_texts(folder.root / "results", boxes))
    else:
        file, images = write_coco(folder.root, boxes)
        ended = folder.imports(file, "--images", images, "--allow-missing")
    assert ended.exit_code == 0, ended.output
    assert folder.candidates()[path][:, 4].tolist() == [1, 1]


@pytest.mark.parametrize("score", [1.0011, 7.0, -0.001])
def test_scores_beyond_rounding_are_bad_entries(folder: Folder, score: float) -> None:
    ended = coco_import(folder, [item("1--Handshaking/c.jpg", score=score)])
    assert isinstance(ended.exception, UserError)
    assert f"item 0: a score of {score:g}; confidences are 0 to 1" in ended.output


@pytest.mark.parametrize("form", ["texts", "coco"])
def test_scores_in_percent_are_refused_as_such(folder: Folder, form: str) -> None:
    percent = {path: [(*row[:4], 100 * row[4]) for row in rows] for path, rows in BOXES.items()}
    if form == "texts":
        ended = folder.imports(write_texts(folder.root / "results", percent))
    else:
        file, images = write_coco(folder.root, percent)
        ended = folder.imports(file, "--images", images, "--allow-missing")
    assert isinstance(ended.exception, UserError)
    assert "these look like percent: divide all scores by 100" in ended.output


def test_an_interrupted_import_stands_for_nothing_and_goes_on(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = write_texts(folder.root / "results")
    config = folder.root / "two.toml"
    config.write_text("[cache]\nblock_images = 2\n")
    written = []

    def fails_at_the_second(store: store_module.CandidateStore, start: int, rows: object) -> tuple[int, ...]:
        if written:
            raise KeyboardInterrupt
        written.append(start)
        return write_block(store, start, rows)  # type: ignore[arg-type]

    write_block = store_module.CandidateStore.write_block
    with monkeypatch.context() as patched:
        patched.setattr(store_module.CandidateStore, "write_block", fails_at_the_second)
        assert folder.imports(results, "--config", config).exit_code != 0
    assert written == [0]
    with pytest.raises(UsageError, match="nothing was imported"):
        folder.key()
    ended = folder.imports(results, "--config", config)
    assert ended.exit_code == 0, ended.output
    assert len(folder.candidates()["1--Handshaking/c.jpg"]) == 2


def test_importing_the_same_again_stores_nothing_anew(folder: Folder) -> None:
    results = write_texts(folder.root / "results")
    assert folder.imports(results).exit_code == 0
    files = {path: path.stat().st_mtime_ns for path in folder.workspace.candidates(folder.key()).rglob("c/*")}
    assert files
    assert folder.imports(results).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_other_boxes_under_the_same_name_take_its_place_in_another_store(folder: Folder) -> None:
    assert folder.imports(write_texts(folder.root / "results")).exit_code == 0
    before = folder.key()
    other = {**BOXES, "0--Parade/none.jpg": [(1.0, 1.0, 5.0, 5.0, 0.5)]}
    assert folder.imports(write_texts(folder.root / "other", other)).exit_code == 0
    assert folder.key() != before
    assert len(folder.candidates()["0--Parade/none.jpg"]) == 1


def test_the_name_and_protocol_stand_in_the_key(folder: Folder) -> None:
    ended = folder.imports(write_texts(folder.root / "results"), "--protocol", "vga", name="tina-1.0")
    assert ended.exit_code == 0, ended.output
    key = folder.key("tina-1.0")
    assert (key.split, key.detector, key.protocol) == ("val", "tina-1.0", "vga")
    for arguments in (["--name", "a/b"], ["--name", "x", "--protocol", "a b"]):
        refused = folder.crface("import-candidates", folder.root / "results", *arguments)
        assert isinstance(refused.exception, UsageError)


def test_a_changed_image_makes_its_import_out_of_date(folder: Folder) -> None:
    assert folder.imports(write_texts(folder.root / "results")).exit_code == 0
    images = folder.data / "WIDER_val" / "images"
    data = (images / "0--Parade" / "none.jpg").read_bytes()
    (images / "1--Handshaking" / "c.jpg").write_bytes(data)
    ended = folder.crface("cache", "--detector", "imported:far")
    assert isinstance(ended.exception, UserError)
    assert "1 image changed" in str(ended.exception)
    assert "crface import-candidates" in str(ended.exception)
    with pytest.raises(UserError, match="crface import-candidates"):
        open_complete(folder.workspace, folder.index(), folder.key())


def test_a_damaged_record_is_named(folder: Folder) -> None:
    assert folder.imports(write_texts(folder.root / "results")).exit_code == 0
    record = folder.workspace.imported("val", "far")
    record.write_text("{}")
    with pytest.raises(UserError, match=r"far\.json is damaged"):
        folder.key()


def test_every_stage_takes_imported_candidates(folder: Folder, on_thread: None) -> None:
    write_data_set(folder.data, PICTURES, split="train")
    results = write_texts(folder.root / "results")
    config = folder.root / "small.toml"
    config.write_text(
        "[train]\nnum_candidates = 8\nimage_side_px = 64\nbatch_size = 2\niterations = 2\nnum_pairs = 2\n"
        "learning_rate = 1e-3\n"
    )
    options = ("--config", config, "--detector", "imported:far")
    assert folder.imports(results, "--split", "val").exit_code == 0

    early = json.loads(folder.crface("evaluate", "--json", *options).stdout)  # only val is there
    assert {(row["detector"], row["protocol"], row["input_size"]) for row in early} == {
        ("far", "imported", "unknown")
    }
    plan = json.loads(folder.crface("plan", "--json", *options).stdout)
    assert {entry["what"]: entry["todo"] for entry in plan if entry["stage"] == "import"} == {
        "far on train, imported": "4 images in 1 blocks",
        "far on val, imported": "",
    }
    missing = folder.crface("cache", *options)
    assert isinstance(missing.exception, UserError)
    assert "--split train" in str(missing.exception)

    assert folder.imports(results, "--split", "train").exit_code == 0
    for command in ("cache", "train", "rank"):
        ended = folder.crface(command, *options)
        assert ended.exit_code == 0, ended.output
    rows = json.loads(folder.crface("evaluate", "--json", *options).stdout)
    assert "ranked" in {row["confidence"] for row in rows}
    plan = json.loads(folder.crface("plan", "--json", *options).stdout)
    assert [entry["stage"] for entry in plan if entry["todo"]] == ["report"]
    page = folder.crface("report", *options)
    assert page.exit_code == 0, page.output
    assert "far" in (folder.workspace.report / "index.html").read_text()


def test_a_plan_of_an_import_writes_nothing(folder: Folder) -> None:
    index = update_index(folder.workspace, folder.data, "val").index
    results = read_text_results(write_texts(folder.root / "results"), index)
    plan = plan_import(folder.workspace, index, results, "far", "imported")
    plan.check(is_missing_allowed=False)
    assert not (folder.workspace.root / "candidates.zarr").exists()
    store_import(plan, block_images=2)
    assert imported_key("val", plan.parts) == plan.key == folder.key()
