"""The ground truth: official files or face height, what is missing or damaged, and which images it covers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from wider_folder import Picture, cells, mat_variables, write_data_set, write_mats

from pipeline.dataset.index import Index, update_index
from pipeline.errors import UserError
from pipeline.ground_truth.official_val import check_official_val
from pipeline.ground_truth.truth import (
    SETTINGS,
    GroundTruth,
    find_files,
    find_ground_truth,
    ground_truth_sha256,
    load_ground_truth,
    overlap,
)
from pipeline.workspace.layout import Workspace

PICTURES = [
    Picture("0--Parade", "1", [(1, 2, 3, 4), (5, 6, 7, 8)], {"easy": [2], "medium": [2], "hard": [1, 2]}),
    Picture("0--Parade", "2"),
    Picture("1--Handshaking", "3", [(0, 0, 0, 0)], {"hard": [1]}),
]


@pytest.fixture
def index_of(tmp_path: Path) -> Callable[..., Index]:
    def make(root: Path, split: str = "val") -> Index:
        return update_index(Workspace(tmp_path / "run"), root, split).index

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_data_set(tmp_path / "data", PICTURES)


# ------------------------------------------------------------------------------------------- official files


@pytest.mark.parametrize("folder", ["ground_truth", "eval_tools/ground_truth", "wider_face_split"])
def test_official_files_are_found_where_data_sets_have_them(
    root: Path, index_of: Callable[..., Index], folder: str
) -> None:
    write_mats(root / folder, PICTURES)
    truth = load_ground_truth(index_of(root))
    assert truth.definition == "official"
    assert truth.source == str(root / folder)
    assert truth.names == ("0--Parade/1", "0--Parade/2", "1--Handshaking/3")


def test_official_faces_are_corners_and_settings_are_masks_over_all_of_them(
    root: Path, index_of: Callable[..., Index]
) -> None:
    write_mats(root / "ground_truth", PICTURES)
    truth = load_ground_truth(index_of(root))
    assert [boxes.tolist() for boxes in truth.faces] == [
        [[1, 2, 4, 6], [5, 6, 12, 14]],
        [],
        [[0, 0, 0, 0]],
    ]
    assert [mask.tolist() for mask in truth.kept["easy"]] == [[False, True], [], [False]]
    assert [mask.tolist() for mask in truth.kept["hard"]] == [[True, True], [], [True]]


def test_a_folder_that_is_named_wins_over_the_data_sets_own(
    root: Path, tmp_path: Path, index_of: Callable[..., Index]
) -> None:
    write_mats(root / "ground_truth", PICTURES)
    write_mats(tmp_path / "elsewhere", PICTURES[:1])
    truth = load_ground_truth(index_of(root), tmp_path / "elsewhere")
    assert truth.names == ("0--Parade/1",)


def test_the_hash_is_known_without_parsing_and_changes_with_any_of_the_files(
    root: Path, index_of: Callable[..., Index]
) -> None:
    folder = write_mats(root / "ground_truth", PICTURES)
    index = index_of(root)
    before = ground_truth_sha256(index)
    assert load_ground_truth(index).sha256 == before
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        file.write_bytes(data + b" ")
        assert ground_truth_sha256(index) != before
        file.write_bytes(data)
    assert ground_truth_sha256(index) == before


def test_missing_official_files_are_named(root: Path, tmp_path: Path, index_of: Callable[..., Index]) -> None:
    index = index_of(root)
    folder = write_mats(root / "ground_truth", PICTURES)
    (folder / "wider_medium_val.mat").unlink()
    with pytest.raises(UserError, match=r"ground_truth lacks wider_medium_val.mat: put all four files"):
        load_ground_truth(index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty lacks wider_face_val.mat, wider_easy_val.mat"):
        ground_truth_sha256(index, tmp_path / "empty")


def test_wider_faces_own_annotation_folder_with_all_faces_but_no_settings_is_no_ground_truth(
    root: Path, index_of: Callable[..., Index]
) -> None:
    write_mats(root / "wider_face_split", PICTURES)
    for setting in SETTINGS:
        (root / "wider_face_split" / f"wider_{setting}_val.mat").unlink()
    assert find_files(index_of(root)) is None


Change = Callable[[dict[str, np.ndarray]], None]


def _set(variable: str, value: np.ndarray) -> Change:
    return lambda variables: variables.update({variable: value})


@pytest.mark.parametrize(
    ("part", "change", "complaint"),
    [
        ("face", lambda v: v.pop("face_bbx_list"), "has no variable face_bbx_list"),
        ("hard", lambda v: v.pop("gt_list"), "has no variable gt_list"),
        ("face", _set("event_list", np.zeros((2, 1))), "no lists of names"),
        ("face", _set("file_list", cells([cells([np.array(["1"])])])), "no lists of names"),
        ("face", _set("face_bbx_list", np.ones((2, 1))), "other numbers of images than file_list"),
        ("face", _set("face_bbx_list", cells([cells([np.ones((1, 4))])] * 2)), "other numbers of images"),
        (
            "face",
            _set("face_bbx_list", cells([cells([np.ones((1, 5))] * 2), cells([np.ones((1, 4))])])),
            "the faces of 0--Parade/1 are not rows of four numbers",
        ),
        (
            "face",
            _set("face_bbx_list", cells([cells([np.full((1, 4), np.nan)] * 2), cells([np.ones((1, 4))])])),
            "the faces of 0--Parade/1 are not rows of four numbers",
        ),
        (
            "hard",
            _set("gt_list", cells([cells([np.array([3]), np.array([])]), cells([np.array([1])])])),
            "kept faces of 0--Parade/1 are not different numbers 1..2",
        ),
        (
            "easy",
            _set("gt_list", cells([cells([np.array([2, 2]), np.array([])]), cells([np.array([1])])])),
            "kept faces of 0--Parade/1 are not different numbers 1..2",
        ),
        (
            "easy",
            _set("gt_list", cells([cells([np.array([0.5]), np.array([])]), cells([np.array([1])])])),
            "kept faces of 0--Parade/1 are not different numbers 1..2",
        ),
        (
            "medium",
            _set("event_list", cells([np.array(["0--Parade"]), np.array(["2--Other"])])),
            "its images are not those of the file of all faces",
        ),
        (
            "face",
            _set("file_list", cells([cells([np.array(["1"])] * 2), cells([np.array(["3"])])])),
            "lists the image 0--Parade/1 twice",
        ),
    ],
)
def test_what_is_wrong_in_an_official_file_is_said_with_the_files_name(
    root: Path, index_of: Callable[..., Index], part: str, change: Change, complaint: str
) -> None:
    file = write_mats(root / "ground_truth", PICTURES) / f"wider_{part}_val.mat"
    variables = mat_variables(PICTURES, None if part == "face" else part)
    change(variables)
    scipy.io.savemat(str(file), variables)
    with pytest.raises(UserError) as caught:
        load_ground_truth(index_of(root))
    assert str(file) in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("part", ["face", "hard"])
def test_a_file_that_is_cut_or_garbled_is_an_error_that_names_it_or_still_reads(
    root: Path, index_of: Callable[..., Index], part: str
) -> None:
    file = write_mats(root / "ground_truth", PICTURES) / f"wider_{part}_val.mat"
    index, data = index_of(root), file.read_bytes()
    generator = np.random.default_rng(0)
    garbled = [data[:length] for length in range(0, len(data) - 1, 37)]
    for position in generator.integers(0, len(data), 60).tolist():
        garbled.append(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
    complaints = []
    for damaged in garbled:
        file.write_bytes(damaged)
        try:
            load_ground_truth(index)
        except UserError as error:
            complaints.append(str(error))
    assert len(complaints) > len(garbled) // 2
    assert all(str(file.parent) in complaint for complaint in complaints)


def test_a_google_drive_page_saved_as_mat_is_no_readable_mat_file(
    root: Path, index_of: Callable[..., Index]
) -> None:
    file = write_mats(root / "ground_truth", PICTURES) / "wider_face_val.mat"
    file.write_text(
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head></html>" * 9
    )
    with pytest.raises(UserError, match=r"wider_face_val.mat is damaged.*no readable .mat file"):
        load_ground_truth(index_of(root))


def test_the_official_validation_files_have_the_known_numbers_of_faces(
    root: Path, index_of: Callable[..., Index], shared: Path
) -> None:
    truth = load_ground_truth(index_of(root), shared / "widerface")
    assert len(truth.names) == 3226
    assert sum(map(len, truth.faces)) == 39708
    counts = {setting: sum(int(mask.sum()) for mask in truth.kept[setting]) for setting in SETTINGS}
    assert counts == {"easy": 7211, "medium": 13319, "hard": 31958}


@pytest.fixture(scope="module")
def official(shared: Path) -> GroundTruth:
    return find_ground_truth(shared / "widerface")


def test_the_official_validation_set_is_known_by_all_its_facts(official: GroundTruth) -> None:
    assert official.is_official_val
    assert check_official_val(official.names, official.faces, official.kept, "folder")
    boxes = np.concatenate(official.faces)
    assert int((boxes[:, 2:] <= boxes[:, :2]).any(axis=1).sum()) == 11


def test_a_changed_validation_set_is_refused_with_each_fact_that_differs(official: GroundTruth) -> None:
    image = next(i for i, mask in enumerate(official.kept["easy"]) if mask.any())
    faces, kept = list(official.faces), {s: list(masks) for s, masks in official.kept.items()}
    faces[image] = faces[image][1:]
    for masks in kept.values():
        masks[image] = masks[image][1:]
    with pytest.raises(UserError, match=r"39707 boxes instead of 39708.*get the official files again"):
        check_official_val(official.names, faces, kept, "folder")
    kept = {s: list(masks) for s, masks in official.kept.items()}
    kept["easy"][image] = np.zeros_like(kept["easy"][image])
    with pytest.raises(
        UserError, match=r"the ground truth in folder .* but \d+ easy faces instead of 7211: "
    ):
        check_official_val(official.names, official.faces, kept, "folder")


def test_a_part_of_the_validation_set_and_another_data_set_are_not_it_and_not_refused(
    official: GroundTruth,
) -> None:
    kept = {setting: masks[1:] for setting, masks in official.kept.items()}
    assert not check_official_val(official.names[1:], official.faces[1:], kept, "folder")
    others = [name.replace("0--Parade", "0--Procession") for name in official.names]
    assert not check_official_val(others, official.faces, official.kept, "folder")


# ------------------------------------------------------------------------------------------------ by height


def test_without_official_files_settings_go_by_face_height_cumulatively(
    tmp_path: Path, index_of: Callable[..., Index]
) -> None:
    heights = [9, 10, 29, 30, 49, 50]
    root = write_data_set(tmp_path / "data", [Picture("e", "1", [(0, 0, 5, height) for height in heights])])
    truth = load_ground_truth(index_of(root))
    assert truth.definition == "by height"
    assert truth.names == ("e/1",)
    assert truth.kept["easy"][0].tolist() == [False, False, False, False, False, True]
    assert truth.kept["medium"][0].tolist() == [False, False, False, True, True, True]
    assert truth.kept["hard"][0].tolist() == [False, True, True, True, True, True]


def test_by_height_faces_that_are_flagged_invalid_or_have_no_area_are_ignored_not_dropped(
    tmp_path: Path, index_of: Callable[..., Index]
) -> None:
    picture = Picture("e", "1", [(0, 0, 60, 60), (0, 0, 0, 60), (9, 9, 60, 60)], invalid=[1])
    truth = load_ground_truth(index_of(write_data_set(tmp_path / "data", [picture])))
    assert len(truth.faces[0]) == 3
    assert truth.kept["hard"][0].tolist() == [False, False, True]


def test_by_height_the_hash_follows_the_labels(root: Path, index_of: Callable[..., Index]) -> None:
    index = index_of(root)
    before = ground_truth_sha256(index)
    assert load_ground_truth(index).sha256 == before
    text = root / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    text.write_text(text.read_text().replace("5 6 7 8", "5 6 7 9"))
    assert ground_truth_sha256(index_of(root)) != before


def test_a_plain_folder_has_no_ground_truth(root: Path, index_of: Callable[..., Index]) -> None:
    index = index_of(root / "WIDER_val" / "images" / "0--Parade", "images")
    with pytest.raises(UserError, match="neither labels nor ground truth"):
        load_ground_truth(index)
    with pytest.raises(UserError, match="neither labels nor ground truth"):
        ground_truth_sha256(index)


# ---------------------------------------------------------------------------- without an index and images


def test_a_folder_or_a_data_set_with_official_files_gives_the_same_as_through_an_index(
    root: Path, index_of: Callable[..., Index]
) -> None:
    folder = write_mats(root / "ground_truth", PICTURES)
    through_index = load_ground_truth(index_of(root))
    for place in (folder, root):
        found = find_ground_truth(place)
        assert found.sha256 == through_index.sha256
        assert found.names == through_index.names


def test_a_data_set_without_official_files_goes_by_height_from_its_annotation_text(
    root: Path, index_of: Callable[..., Index]
) -> None:
    through_index = load_ground_truth(index_of(root))
    for place in (root, root / "wider_face_split"):
        found = find_ground_truth(place)
        assert (found.definition, found.names) == ("by height", through_index.names)
        for setting in SETTINGS:
            assert [m.tolist() for m in found.kept[setting]] == [
                m.tolist() for m in through_index.kept[setting]
            ]


def test_a_folder_without_ground_truth_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no ground truth of the split 'val' in .*wider_face_val_bbx_gt.txt"):
        find_ground_truth(tmp_path)


# -------------------------------------------------------------------------------- which images are evaluated


def test_the_images_to_evaluate_are_those_that_index_and_ground_truth_share(
    tmp_path: Path, index_of: Callable[..., Index]
) -> None:
    listed = [Picture("1--Handshaking", "3"), Picture("9--New", "x"), Picture("0--Parade", "1")]
    root = write_data_set(tmp_path / "data", listed)
    write_mats(root / "ground_truth", PICTURES)
    index = index_of(root)
    truth = load_ground_truth(index)
    shared = overlap(truth, index)
    assert [index.row(row).path for row in shared.rows] == ["1--Handshaking/3.jpg", "0--Parade/1.jpg"]
    assert [truth.names[image] for image in shared.images] == ["1--Handshaking/3", "0--Parade/1"]
    assert shared.unlisted == ("9--New/x.jpg",)
    assert shared.num_left_out == 1


def test_an_image_that_does_not_decode_is_left_out(root: Path, index_of: Callable[..., Index]) -> None:
    write_mats(root / "ground_truth", PICTURES)
    (root / "WIDER_val" / "images" / "0--Parade" / "1.jpg").write_bytes(b"no picture")
    index = index_of(root)
    shared = overlap(load_ground_truth(index), index)
    assert shared.rows == (1, 2)
    assert shared.num_left_out == 1


def test_a_ground_truth_of_other_images_is_an_error(
    root: Path, tmp_path: Path, index_of: Callable[..., Index]
) -> None:
    folder = write_mats(tmp_path / "other", [Picture("e", "1", [(1, 1, 5, 5)])])
    index = index_of(root)
    with pytest.raises(UserError, match="none of the 3 images of the split 'val' is in the ground truth"):
        overlap(load_ground_truth(index, folder), index)


def test_two_images_of_one_name_are_an_error_that_names_both(
    root: Path, index_of: Callable[..., Index]
) -> None:
    text = root / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    text.write_text(text.read_text() + "0--Parade/1.png\n0\n")
    images = root / "WIDER_val" / "images" / "0--Parade"
    (images / "1.png").write_bytes((images / "1.jpg").read_bytes())
    index = index_of(root)
    with pytest.raises(UserError, match=r"0--Parade/1.jpg and 0--Parade/1.png are both"):
        overlap(load_ground_truth(index), index)
