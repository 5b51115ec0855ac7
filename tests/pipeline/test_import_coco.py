"""COCO results become candidates by the ids or the names of their images, or are refused in words."""

import json
from pathlib import Path

import pytest
from import_world import BOXES, PICTURES, coco_import, item
from imported_folder import Folder

from pipeline.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, PICTURES)


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
