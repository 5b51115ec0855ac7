"""Results of a detector that ran elsewhere become candidates like any other, all of them or none."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from imported_folder import Folder
from ranker_world import World
from wider_folder import Picture, write_data_set

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

PICTURES = [
    Picture("0--Parade", "a.b", faces=[(2, 3, 10, 11), (18, 9, 9, 12)]),
    Picture("0--Parade", "none"),
    Picture("1--Handshaking", "c", faces=[(6, 4, 14, 12)]),
    Picture("1--Handshaking", "d", faces=[(0, 0, 12, 12), (14, 10, 10, 10)]),
]
"""Of 32 x 24 pixels each."""

Boxes = Mapping[str, list[tuple[float, float, float, float, float]]]
"""Rows x y w h score by path."""

BOXES: Boxes = {
    "0--Parade/a.b.jpg": [(3, 3, 10, 11, 0.4), (18, 9, 9, 12, 0.9), (1, 12, 8, 8, 0.6)],
    "0--Parade/none.jpg": [],
    "1--Handshaking/c.jpg": [(6.5, 4.25, 14, 12, 0.75), (20, 1, 9, 9, 0.8)],
    "1--Handshaking/d.jpg": [(14, 10, 10, 10, 0.03), (1, 0, 12, 12, 0.01)],
}


def write_texts(folder: Path, boxes: Boxes = BOXES) -> Path:
    for path, rows in boxes.items():
        file = folder / Path(path).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [file.stem, str(len(rows)), *(" ".join(f"{value:.9g}" for value in row) for row in rows)]
        file.write_text("".join(f"{line}\n" for line in lines))
    return folder


def write_coco(folder: Path, boxes: Boxes = BOXES) -> tuple[Path, Path]:
    names = list(boxes)
    images = {"images": [{"id": 7 + i, "file_name": name, "width": 32} for i, name in enumerate(names)]}
    found = [
        {"image_id": 7 + i, "category_id": 1, "bbox": row[:4], "score": row[4]}
        for i, name in enumerate(names)
        for row in boxes[name]
    ]
    (folder / "images.json").write_text(json.dumps(images))
    (folder / "found.json").write_text(json.dumps(found))
    return folder / "found.json", folder / "images.json"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, PICTURES)


def expected(path: str) -> np.ndarray:
    rows = np.array(sorted(BOXES[path], key=lambda row: -row[4]), np.float32).reshape(-1, 5)
    rows[:, 2:4] += rows[:, :2]
    return rows


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


BAD_COCO = [
    ('{"images": []}', [], "no list of COCO detections"),
    ("[", [], "no list of COCO detections"),
    ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', [], "--images"),
    (
        '[{"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},'
        ' {"image_id": "a", "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        [],
        "2 categories",
    ),
    ('[{"image_id": "a", "bbox": [1, 2, 3], "score": 0.5}]', ["item 0: bbox.3: Field required"], "1 entry"),
    ('[{"image_id": "a", "bbox": [1, 2, 3, 4], "score": NaN}]', ["item 0: score"], "1 entry"),
    ('[{"image_id": "a", "bbox": [1, 2, -3, 4], "score": 0.5}]', ["item 0: a negative width"], "1 entry"),
]


@pytest.mark.parametrize(("text", "named", "words"), BAD_COCO, ids=[text[:60] for text, _, _ in BAD_COCO])
def test_a_coco_file_that_cannot_be_used_is_refused_with_the_reason(
    folder: Folder, text: str, named: list[str], words: str
) -> None:
    (folder.root / "found.json").write_text(text)
    ended = folder.imports(folder.root / "found.json")
    assert isinstance(ended.exception, UserError)
    assert words in str(ended.exception)
    assert all(item in ended.output for item in named)


def coco_import(folder: Folder, items: object, images: object = None, *options: str) -> Result:
    (folder.root / "found.json").write_text(json.dumps(items))
    if images is not None:
        (folder.root / "images.json").write_text(json.dumps(images))
        options = ("--images", str(folder.root / "images.json"), *options)
    return folder.imports(folder.root / "found.json", "--allow-missing", *options)


def item(image_id: object, **more: object) -> dict[str, object]:
    return {"image_id": image_id, "bbox": [1, 2, 9, 9], "score": 0.5, **more}


NUMBERED = {"images": [{"id": 1 + i, "file_name": path} for i, path in enumerate(BOXES)]}


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([0, 1, 2, 3], "1 of the 4 detections"),
        ([0, 1], "the ids 0 to 1, the images the ids 1 to 4"),
        ([1, 2, 5], "of 5; the detections have the ids 1 to 5, the images the ids 1 to 4"),
        (["1", "x.jpg"], "the ids 1 to 1 and ids such as 'x.jpg', the images the ids 1 to 4"),
    ],
)
def test_an_id_that_the_annotation_file_lacks_is_refused_with_both_ranges(
    folder: Folder, ids: list[object], told: str
) -> None:
    ended = coco_import(folder, [item(identity) for identity in ids], NUMBERED)
    assert isinstance(ended.exception, UserError)
    assert told in str(ended.exception)
    assert not (folder.workspace.root / "candidates.zarr").exists()


@pytest.mark.parametrize(
    ("there", "here"), [(1, "1"), ("1", 1), (1.0, 1), (1, 1.0), ("1", 1.0), ("7a", "7a")]
)
def test_an_id_is_the_same_as_a_number_a_whole_float_and_a_text(
    folder: Folder, there: object, here: object
) -> None:
    images = {"images": [{"id": there, "file_name": "1--Handshaking/c.jpg"}]}
    ended = coco_import(folder, [item(here), item(here)], images)
    assert ended.exit_code == 0, ended.output
    assert {path: len(rows) for path, rows in folder.candidates().items() if len(rows)} == {
        "1--Handshaking/c.jpg": 2
    }


def test_an_image_id_may_be_the_file_name_with_or_without_its_ending(folder: Folder) -> None:
    ended = coco_import(folder, [item("1--Handshaking/c.jpg"), item("1--Handshaking\\d")], NUMBERED)
    assert ended.exit_code == 0, ended.output
    assert [path for path, rows in folder.candidates().items() if len(rows)] == [
        "1--Handshaking/c.jpg",
        "1--Handshaking/d.jpg",
    ]


@pytest.mark.parametrize(
    "one",
    [
        {"image_id": 17, "file_name": "c.jpg"},
        {"file_name": "1--Handshaking/c.jpg"},
        {"image_id": "c"},
        {"image_id": "1--Handshaking\\c.jpg"},
        {"image_id": ".\\WIDER_val\\images\\1--Handshaking\\c.jpg"},
    ],
)
def test_without_an_annotation_file_images_go_by_file_name_or_by_an_id_that_is_one(
    folder: Folder, one: dict[str, object]
) -> None:
    ended = coco_import(folder, [one | {"bbox": [1, 2, 9, 9], "score": 0.5}])
    assert ended.exit_code == 0, ended.output
    assert len(folder.candidates()["1--Handshaking/c.jpg"]) == 1


def test_file_names_of_an_annotation_file_may_have_backslashes(folder: Folder) -> None:
    images = {"images": [{"id": 1 + i, "file_name": path.replace("/", "\\")} for i, path in enumerate(BOXES)]}
    ended = coco_import(folder, [item(3)], images)
    assert ended.exit_code == 0, ended.output
    assert len(folder.candidates()["1--Handshaking/c.jpg"]) == 1


def test_an_empty_list_is_an_empty_result(folder: Folder) -> None:
    (folder.root / "found.json").write_text("[]")
    refused = folder.imports(folder.root / "found.json")
    assert isinstance(refused.exception, UserError)
    assert "4 images are missing" in str(refused.exception)
    ended = coco_import(folder, [])
    assert ended.exit_code == 0, ended.output
    assert all(len(rows) == 0 for rows in folder.candidates().values())


def test_one_bad_item_is_told_alone(folder: Folder) -> None:
    paths = list(BOXES)
    bad = [item(paths[0]), item(paths[1], score="high"), item(paths[2]), item(paths[3])]
    (folder.root / "found.json").write_text(json.dumps(bad))
    ended = folder.imports(folder.root / "found.json")
    assert isinstance(ended.exception, UserError)
    assert "cannot be used (1)" in ended.output
    assert "item 1: score: Input should be a valid number" in ended.output
    assert "missing" not in ended.output


@pytest.mark.parametrize("identity", [1.5, True, None, [1], {"id": 1}])
def test_an_item_whose_id_is_none_is_counted_once(folder: Folder, identity: object) -> None:
    ended = coco_import(folder, [item(identity), item("1--Handshaking/c.jpg")])
    assert isinstance(ended.exception, UserError)
    assert "cannot be used (1)" in ended.output
    assert "item 0" in ended.output


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([{"id": 1, "file_name": "a.jpg"}, {"id": "1", "file_name": "b.jpg"}], "two images with the id '1'"),
        ([{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}], "the ids 1 and 2"),
    ],
)
def test_an_annotation_file_that_lists_an_id_or_an_image_twice_is_refused(
    folder: Folder, images: object, told: str
) -> None:
    ended = coco_import(folder, [item(1)], {"images": images})
    assert isinstance(ended.exception, UserError)
    assert told in str(ended.exception)


def test_detections_of_something_else_than_faces_are_refused_by_the_category(folder: Folder) -> None:
    named = NUMBERED | {"categories": [{"id": 1, "name": "face"}, {"id": 3, "name": "car"}]}
    cars = coco_import(folder, [item(1, category_id=3)], named)
    assert isinstance(cars.exception, UserError)
    assert "no detections of faces, but 1 of category 3 (car): faces are category 1" in str(cars.exception)
    both = coco_import(folder, [item(1, category_id=3), item(1, category_id=1)], named)
    assert isinstance(both.exception, UserError)
    assert "2 categories (1 of category 3 (car), 1 of category 1 (face))" in str(both.exception)
    faces = coco_import(folder, [item(1, category_id="1"), item(2, category_id=1.0), item(3)], named)
    assert faces.exit_code == 0, faces.output


def test_a_json_object_in_place_of_the_list_is_told_by_its_keys(folder: Folder) -> None:
    ended = coco_import(folder, {"images": [], "annotations": []})
    assert isinstance(ended.exception, UserError)
    assert "it is an object with the keys images, annotations; expected [" in str(ended.exception)


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
