"""The embedded data set: WIDER FACE's layout, labels of what was drawn, same bytes for the same settings."""

import importlib.util
from dataclasses import astuple, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from embedded_folder import TINY, read_labels, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.sections import DatasetConfig
from pipeline.embedded import make_dataset, sources
from pipeline.embedded.canvas import Canvas, ellipse, paste
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import Degraded
from pipeline.embedded.events import EVENTS, event_of, image_name
from pipeline.embedded.faces import draw_person
from pipeline.embedded.labels import Drawn, Face, label_faces
from pipeline.embedded.layout import SETTINGS, Labelled, label_cells, label_text, write_labels
from pipeline.embedded.people import Person
from pipeline.embedded.photographs import lfw_on_person
from pipeline.errors import UserError

SMALL = DatasetConfig(seed=3, train_images=40, val_images=20, long_side_px=320)
PLAIN = Person(skin=(220, 180, 150), hair=(30, 20, 20), clothes=(200, 0, 0), contrast=0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embedded") / "data"
    make_dataset(root, SMALL)
    return root


# --- layout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "count"), [("train", 40), ("val", 20)])
def test_the_label_text_names_every_image_and_no_other(dataset: Path, split: str, count: int) -> None:
    images = dataset / f"WIDER_{split}" / "images"
    names = {path.relative_to(images).as_posix() for path in images.rglob("*.jpg")}
    assert len(names) == count
    assert read_labels(dataset, split).keys() == names


def test_images_are_named_after_their_event_as_in_wider_face(dataset: Path) -> None:
    assert "0--Parade/0_Parade_0_0.jpg" in read_labels(dataset, "train")
    for name in read_labels(dataset, "val"):
        folder, file = name.split("/")
        number, event = folder.split("--")
        assert file.startswith(f"{number}_{event}_{number}_")


def test_any_twenty_images_in_a_row_show_every_event() -> None:
    for start in (0, 7, 1000):
        assert {event_of(number) for number in range(start, start + 20)} == set(range(len(EVENTS)))


def test_every_image_has_the_long_side_asked_for_and_every_box_lies_inside(dataset: Path) -> None:
    for split in ("train", "val"):
        for name, faces in read_labels(dataset, split).items():
            height, width, _ = cv2.imread(str(dataset / f"WIDER_{split}" / "images" / name)).shape
            assert max(height, width) == 320
            for x, y, w, h, *_ in faces:
                assert min(x, y, w, h) >= 0
                assert x + w <= width
                assert y + h <= height


def test_faces_reach_from_six_pixels_to_most_of_the_image_with_crowds_and_empty_images(dataset: Path) -> None:
    labels = read_labels(dataset, "train")
    heights = [row[3] for faces in labels.values() for row in faces if row[2] > 0]
    assert min(heights) == 6
    assert max(heights) > 100
    counts = [len(faces) for faces in labels.values()]
    assert min(counts) == 0
    assert max(counts) >= 30
    assert 5 <= np.mean(counts) <= 20


def test_attributes_take_the_values_of_wider_face_and_all_of_them_occur(dataset: Path) -> None:
    attributes = np.array([row[4:] for faces in read_labels(dataset, "train").values() for row in faces])
    allowed = ({0, 1, 2}, {0, 1}, {0, 1}, {0, 1}, {0, 1, 2}, {0, 1})
    assert tuple(set(column.tolist()) for column in attributes.T) == allowed


def test_an_image_without_faces_is_a_count_of_0_and_a_line_of_zeros() -> None:
    assert label_text([Labelled(0, [])]) == "0--Parade/0_Parade_0_0.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"


def test_a_face_is_written_in_the_order_of_the_official_label_text() -> None:
    face = Face(1, 2, 30, 40, blur=2, expression=0, illumination=1, invalid=0, occlusion=2, pose=1)
    assert label_text([Labelled(0, [face])]).splitlines()[2] == "1 2 30 40 2 0 1 0 2 1 "


# --- .mat files -------------------------------------------------------------------------------------------------


def structure(value: np.ndarray) -> object:
    """Describe a loaded MATLAB variable: cells as the set of what is in them, arrays as type and columns."""
    if value.dtype == object:
        assert value.shape[1:] == (1,)
        return ("cell", frozenset(structure(entry) for entry in value.flat))
    kind = "text" if value.dtype.kind == "U" else value.dtype.name
    return (kind, value.ndim, value.shape[-1] if value.ndim == 2 else len(value))


def leaves(value: np.ndarray) -> set[object]:
    if value.dtype != object:
        return {structure(value)}
    assert value.shape[1:] == (1,)
    return set().union(*(leaves(entry) for entry in value.flat))


@pytest.mark.parametrize("name", ["wider_face_val", "wider_easy_val", "wider_medium_val", "wider_hard_val"])
def test_ground_truth_files_have_the_structure_of_the_official_ones(
    dataset: Path, shared: Path, name: str
) -> None:
    ours = scipy.io.loadmat(dataset / "ground_truth" / f"{name}.mat")
    official = scipy.io.loadmat(shared / "widerface" / f"{name}.mat")
    assert ours.keys() == official.keys()
    for key in ours.keys() - {"__header__", "__version__", "__globals__"}:
        if key == "gt_list":
            # which of their kinds of index list occur depends on the images: none kept, some, no face at all
            assert leaves(ours[key]) <= leaves(official[key])
        else:
            assert structure(ours[key]) == structure(official[key]), key


def test_the_mat_files_hold_the_boxes_and_attributes_of_the_label_text(dataset: Path) -> None:
    for split in ("train", "val"):
        mat = scipy.io.loadmat(dataset / "wider_face_split" / f"wider_face_{split}.mat")
        columns = [
            f"{a}_label_list" for a in ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
        ]
        seen = {}
        for event, folder in enumerate(mat["event_list"][:, 0]):
            for image, name in enumerate(mat["file_list"][event, 0][:, 0]):
                cells = [mat[key][event, 0][image, 0] for key in ("face_bbx_list", *columns)]
                rows = np.concatenate([cell.astype(int) for cell in cells], axis=1).tolist()
                seen[f"{folder[0]}/{name[0]}.jpg"] = [] if rows == [[0] * 10] else rows
        assert seen == read_labels(dataset, split)


def test_kept_faces_are_counted_from_one_and_each_setting_holds_the_harder_ones_less(dataset: Path) -> None:
    kept = {}
    for setting in SETTINGS:
        mat = scipy.io.loadmat(dataset / "ground_truth" / f"wider_{setting}_val.mat")
        kept[setting] = set()
        for event in range(len(mat["event_list"])):
            for image, boxes in enumerate(mat["face_bbx_list"][event, 0][:, 0]):
                indices = mat["gt_list"][event, 0][image, 0].ravel().tolist()
                assert all(1 <= index <= len(boxes) for index in indices)
                lowest = {"easy": 50, "medium": 30, "hard": 10}[setting]
                assert all(boxes[index - 1, 3] >= lowest for index in indices)
                kept[setting] |= {(event, image, index) for index in indices}
    assert kept["easy"] < kept["medium"] < kept["hard"]


@given(
    st.builds(
        Face,
        *(st.integers(0, 120) for _ in range(4)),
        *(st.integers(0, top) for top in (2, 1, 1, 1, 2, 1)),
    )
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_easy_is_medium_and_whatever_is_medium_is_hard(face: Face) -> None:
    assert SETTINGS["easy"](face) <= SETTINGS["medium"](face) <= SETTINGS["hard"](face)


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        (Face(0, 0, 40, 50), ["easy", "medium", "hard"]),
        (Face(0, 0, 40, 49), ["medium", "hard"]),
        (Face(0, 0, 40, 29), ["hard"]),
        (Face(0, 0, 8, 10, blur=2, occlusion=2), ["hard"]),
        (Face(0, 0, 8, 9), []),
        (Face(0, 0, 40, 50, blur=2), ["medium", "hard"]),
        (Face(0, 0, 40, 50, occlusion=2), ["medium", "hard"]),
        (Face(0, 0, 40, 50, blur=2, occlusion=2), ["hard"]),
        (Face(0, 0, 40, 50, invalid=1), []),
        (Face(0, 0, 0, 50), []),
    ],
)
def test_settings_go_by_height_occlusion_and_blur(face: Face, expected: list[str]) -> None:
    assert [setting for setting, holds in SETTINGS.items() if holds(face)] == expected


def test_more_than_255_faces_in_an_image_keep_their_indices(tmp_path: Path) -> None:
    write_labels(tmp_path, "val", [Labelled(0, [Face(k, 0, 8, 10) for k in range(300)])])
    mat = scipy.io.loadmat(tmp_path / "ground_truth" / "wider_hard_val.mat")
    assert mat["gt_list"][0, 0][0, 0].ravel().tolist() == list(range(1, 301))


def test_cells_of_an_image_without_faces_hold_one_row_of_zeros_as_in_the_official_file() -> None:
    cells = label_cells([Labelled(0, [])])
    assert cells["face_bbx_list"][0, 0][0, 0].tolist() == [[0, 0, 0, 0]]


# --- labels are of what was drawn -------------------------------------------------------------------------------

SQUARE = np.array([[20.0, 20], [60, 20], [60, 60], [20, 60]])


def label_square(visible_rows: int, level: int = 128, **changes: object) -> list[Face]:
    """Label a face of 40 x 40 px of which the first rows are in view, in a flat grey picture."""
    owner = np.full((100, 100), -1, np.int16)
    owner[20 : 20 + visible_rows, 20:60] = 0
    drawn = {"defocus_px": 0.0, "detail_px": 400.0, "is_exaggerated": False, "is_atypical": False} | changes
    picture = Degraded(np.full((100, 100, 3), level, np.uint8), 0.0, 90)
    return label_faces([Drawn(SQUARE, 1600.0, **drawn)], owner, picture, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("rows", "occlusion", "invalid"), [(40, 0, 0), (36, 0, 0), (35, 1, 0), (20, 1, 0), (19, 2, 0), (9, 2, 1)]
)
def test_occlusion_is_the_share_of_the_face_that_is_out_of_view(
    rows: int, occlusion: int, invalid: int
) -> None:
    (face,) = label_square(rows)
    assert (face.occlusion, face.invalid) == (occlusion, invalid)


def test_a_face_of_which_less_than_a_tenth_is_in_view_gets_no_label() -> None:
    assert label_square(3) == []


def test_the_box_is_tight_up_to_an_annotators_slip() -> None:
    (face,) = label_square(40)
    np.testing.assert_allclose([face.x, face.y, face.x + face.w, face.y + face.h], [20, 20, 60, 60], atol=3)


@pytest.mark.parametrize(("level", "extreme"), [(20, 1), (128, 0), (250, 1)])
def test_illumination_is_extreme_where_the_face_is_nearly_black_or_white(level: int, extreme: int) -> None:
    assert label_square(40, level)[0].illumination == extreme


@pytest.mark.parametrize(
    ("changes", "blur"),
    [({}, 0), ({"defocus_px": 1.0}, 1), ({"defocus_px": 2.0}, 2), ({"detail_px": 30.0}, 1)],
)
def test_blur_counts_the_lines_that_a_face_has_left(changes: dict[str, float], blur: int) -> None:
    assert label_square(40, **changes)[0].blur == blur


def test_a_person_drawn_later_takes_pixels_from_the_face_behind() -> None:
    image, owner = np.zeros((200, 200, 3), np.uint8), np.full((200, 200), -1, np.int16)
    sprite = draw_person(PLAIN, 20)
    paste(image, owner, sprite, (100, 80), 0)
    alone = int((owner == 0).sum())
    assert alone == pytest.approx(sprite.face_area_px, rel=0.08)
    paste(image, owner, sprite, (115, 80), 1)
    assert 0 < int((owner == 0).sum()) < 0.7 * alone
    assert int((owner == 1).sum()) == alone


@pytest.mark.parametrize("cover", ["mask", "scarf", "sunglasses", "hand"])
def test_what_a_person_wears_before_the_face_counts_as_covering_it(cover: str) -> None:
    bare, covered = draw_person(PLAIN, 40), draw_person(replace(PLAIN, **{cover: True}), 40)
    assert covered.face.sum() < 0.93 * bare.face.sum()
    assert covered.face_area_px == bare.face_area_px


def test_a_face_is_two_units_high_and_its_outline_holds_all_of_it() -> None:
    sprite = draw_person(PLAIN, 50)
    low, high = sprite.outline.min(axis=0), sprite.outline.max(axis=0)
    assert high[1] - low[1] == pytest.approx(100, rel=0.05)
    rows, columns = np.nonzero(sprite.face)
    seen = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    assert (seen[:2] >= low - 1).all()
    assert (seen[2:] <= high + 1).all()


def test_a_person_seen_from_behind_has_no_face() -> None:
    sprite = draw_person(replace(PLAIN, facing_away=True), 30)
    assert not sprite.face.any()
    assert len(sprite.outline) == 0


def test_a_real_crop_replaces_the_drawn_features_but_not_the_face_region() -> None:
    crop = sources.lfw_faces("train")[0]
    sprite, drawn = lfw_on_person(crop, PLAIN, 40, 3.5, False), draw_person(PLAIN, 40)
    assert (sprite.face == draw_person(PLAIN, 40).face).mean() > 0.97
    assert np.abs(sprite.rgba[sprite.face].astype(int) - drawn.rgba[sprite.face]).mean() > 8


def test_resizing_a_sprite_scales_everything_that_it_knows() -> None:
    sprite = draw_person(PLAIN, 40)
    half = sprite.resized(0.5)
    assert half.face.sum() == pytest.approx(sprite.face.sum() / 4, rel=0.05)
    assert half.face_area_px == pytest.approx(sprite.face_area_px / 4, rel=0.02)
    np.testing.assert_allclose(half.outline, sprite.outline / 2, atol=0.6)


def test_a_shape_is_opaque_inside_and_clear_outside() -> None:
    canvas = Canvas(40, 40)
    canvas.polygon(ellipse((20, 20), (10, 10)), (10, 20, 30))
    assert canvas.rgba[20, 20].tolist() == [10, 20, 30, 255]
    assert canvas.rgba[2, 2].tolist() == [0, 0, 0, 0]


# --- faults of the real set -------------------------------------------------------------------------------------


def test_every_89th_image_has_a_box_without_width() -> None:
    for number, expected in ((37, 1), (36, 0), (38, 0), (37 + 89, 1)):
        faces = compose(TINY, "train", number).faces
        assert sum(face.w <= 0 for face in faces) == expected


def test_every_61st_image_with_faces_has_one_flagged_invalid() -> None:
    flagged = [
        n for n in (23, 84, 145, 206) if any(face.invalid for face in compose(SMALL, "train", n).faces)
    ]
    with_faces = [n for n in (23, 84, 145, 206) if compose(SMALL, "train", n).faces]
    assert flagged == with_faces != []


# --- same settings, same bytes ----------------------------------------------------------------------------------


def test_the_bytes_are_the_same_however_many_processes_draw_them(tmp_path: Path) -> None:
    config = DatasetConfig(seed=5, train_images=20, val_images=6, long_side_px=96)
    make_dataset(tmp_path / "one", config, processes=1)
    make_dataset(tmp_path / "two", config, processes=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_another_seed_another_split_and_another_number_give_other_pictures() -> None:
    def pixels(seed: int, split: str, number: int) -> bytes:
        return compose(TINY.model_copy(update={"seed": seed}), split, number).degraded.image.tobytes()

    assert pixels(3, "train", 0) == pixels(3, "train", 0)
    assert (
        len({pixels(3, "train", 0), pixels(4, "train", 0), pixels(3, "val", 0), pixels(3, "train", 20)}) == 4
    )


def test_no_real_face_is_in_both_splits() -> None:
    train, val = ({crop.tobytes() for crop in sources.lfw_faces(split)} for split in ("train", "val"))
    assert len(train) == 75
    assert len(val) == 25
    assert not train & val
    assert sources.head("train").photo.tobytes() != sources.head("val").photo.tobytes()


def test_a_larger_data_set_begins_with_the_pictures_of_the_smaller(tmp_path: Path) -> None:
    make_dataset(tmp_path, TINY)
    before = {name: digest for name, digest in tree(tmp_path).items() if name.endswith(".jpg")}
    make_dataset(tmp_path, TINY.model_copy(update={"train_images": 9}))
    after = tree(tmp_path)
    assert before.items() <= after.items()
    assert sum(name.endswith(".jpg") for name in after) == 13


def test_a_smaller_data_set_takes_away_its_own_surplus_and_nothing_else(tmp_path: Path) -> None:
    make_dataset(tmp_path / "changed", TINY)
    (tmp_path / "changed" / "WIDER_train" / "images" / "mine.jpg").write_bytes(b"mine")
    smaller = TINY.model_copy(update={"train_images": 2})
    make_dataset(tmp_path / "changed", smaller)
    make_dataset(tmp_path / "fresh", smaller)
    changed = tree(tmp_path / "changed")
    assert changed.pop("WIDER_train/images/mine.jpg")
    assert changed == tree(tmp_path / "fresh")


def test_making_it_again_touches_nothing(tmp_path: Path) -> None:
    make_dataset(tmp_path, TINY)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    make_dataset(tmp_path, TINY, lambda done, total: pytest.fail("drew again"))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_progress_counts_every_picture_once(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    make_dataset(tmp_path, TINY, lambda done, total: told.append((done, total)))
    assert told == [(done, 10) for done in range(1, 11)]


def test_an_interrupted_making_is_done_by_the_next_call(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path / "cut", TINY, interrupt)
    assert not (tmp_path / "cut" / "dataset.json").exists()
    make_dataset(tmp_path / "cut", TINY)
    make_dataset(tmp_path / "whole", TINY)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def test_a_change_of_settings_that_was_interrupted_does_not_pass_for_the_old_data_set(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    make_dataset(tmp_path, TINY)
    before = tree(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path, TINY.model_copy(update={"seed": 8}), interrupt)
    make_dataset(tmp_path, TINY)
    assert tree(tmp_path) == before


# --- difficulty -------------------------------------------------------------------------------------------------


def test_difficulty_blurs_and_darkens_step_by_step() -> None:
    def look(difficulty: float) -> tuple[float, float]:
        pictures = [
            compose(SMALL.model_copy(update={"difficulty": difficulty}), "train", n).degraded
            for n in range(20)
        ]
        return float(np.mean([p.sigma_px for p in pictures])), float(
            np.mean([p.image.mean() for p in pictures])
        )

    (sharp, bright), (middle, less), (blurred, dark) = look(0.0), look(0.5), look(1.0)
    assert sharp == 0.0
    assert sharp < middle < blurred
    assert bright > less > dark


# --- what a user can mend ---------------------------------------------------------------------------------------


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(UserError, match=r"no embedded data set; choose an empty or a new folder"):
        make_dataset(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "content", ["not json", "[1]", '{"rows": 5}', '{"generator": 1, "config": {"seed": -1}}']
)
def test_somebody_elses_dataset_json_is_not_taken_for_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match="no embedded data set"):
        make_dataset(tmp_path, TINY)
    assert (tmp_path / "dataset.json").read_text() == content


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="choose an empty or a new folder"):
        make_dataset(tmp_path / "data", TINY)


def test_a_data_set_of_another_generator_version_is_not_overwritten(tmp_path: Path) -> None:
    make_dataset(tmp_path, TINY)
    marker = tmp_path / "dataset.json"
    marker.write_text(marker.read_text().replace('"generator": 1', '"generator": 0'))
    with pytest.raises(
        UserError, match=r"made by version 0 of the generator, this is version 1; remove the folder"
    ):
        make_dataset(tmp_path, TINY)


def test_a_missing_scikit_image_is_one_sentence_that_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name))
    for cached in (sources._lfw, sources._hopper, sources.photo):
        cached.cache_clear()
    with pytest.raises(UserError, match=r"needs the Python package skimage.*pip install crface\[demo\]"):
        make_dataset(tmp_path / "data", TINY)
    assert not (tmp_path / "data").exists()


def test_a_full_or_forbidden_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot write the embedded data set to .*: No space left on device"):
        make_dataset(tmp_path / "data", TINY)


def test_a_label_line_is_the_fields_of_a_face_in_their_order() -> None:
    assert astuple(Face(1, 2, 3, 4)) == (1, 2, 3, 4, 0, 0, 0, 0, 0, 0)
    assert image_name(0) == "0_Parade_0_0.jpg"
