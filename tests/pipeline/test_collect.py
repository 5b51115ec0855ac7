"""`crface dataset collect`: photographs and frames without near-duplicates, listed, labelled, counted by height."""

import csv
import hashlib
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.collect import Collected, FrameRule, collect, face_heights, label
from pipeline.collect.similarity import Seen, signature, similarity
from pipeline.dataset.annotations import parse_annotations
from pipeline.dataset.index import update_index
from pipeline.dataset.splits import find_splits, split_files
from pipeline.errors import UsageError, UserError
from pipeline.images.decode import read_image
from pipeline.images.drawing_mark import marked
from pipeline.workspace.layout import Workspace
from workflows.cli.main import main

EVERY = FrameRule(every=1)


def _scene(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A picture of its own: blobs as large as a photograph's things, RGB."""
    rng = np.random.default_rng(number)
    noise = rng.normal(0, 1, (height, width, 3))
    blobs = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + 60 * blobs / blobs.std(), 0, 255).astype(np.uint8)


def _photograph(path: Path, pixels: np.ndarray, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def _video(path: Path, scenes: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    assert writer.isOpened()
    for scene in scenes:
        writer.write(np.ascontiguousarray(_scene(scene)[..., ::-1]))
    writer.release()
    return path


def _outcomes(found: Collected) -> list[tuple[str, int | None, str]]:
    return [(Path(entry.source).name, entry.frame, entry.outcome) for entry in found.entries]


def _stored(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".signatures" not in path.parts
    }


def test_repeated_frames_are_dropped_and_it_is_listed_for_which(tmp_path: Path) -> None:
    _video(tmp_path / "clips" / "a.avi", [1, 1, 1, 2, 2, 1, 3])
    found = collect([tmp_path / "clips"], tmp_path / "out", rule=EVERY)
    assert [entry.frame for entry in found.of("kept")] == [0, 3, 6]
    rows = list(csv.DictReader((tmp_path / "out" / "collected.csv").read_text().splitlines()))
    first = "0--clips--a.avi/a-0000000.jpg"
    assert [row["like"] for row in rows if row["frame"] in {"1", "2", "5"}] == [first] * 3
    assert all(float(row["similarity"]) > 0.5 for row in rows if row["outcome"] == "near-duplicate")
    assert read_image(tmp_path / "out" / "WIDER_val" / "images" / first).shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("rule", "frames"),
    [(FrameRule(every=3), [0, 3, 6]), (FrameRule(every=None), [0, 2, 5]), (FrameRule(), [0])],
)
def test_every_nth_frame_or_the_first_of_each_scene_is_looked_at(
    tmp_path: Path, rule: FrameRule, frames: list[int]
) -> None:
    _video(tmp_path / "a.avi", [1, 1, 2, 2, 2, 3, 3])
    found = collect([tmp_path / "a.avi"], tmp_path / "out", rule=rule)
    assert [entry.frame for entry in found.entries] == frames


def test_duplicates_are_found_across_sources_and_photographs_are_copied_byte_for_byte(tmp_path: Path) -> None:
    first = _photograph(tmp_path / "one" / "x.jpg", _scene(1))
    darker = np.clip(0.8 * _scene(1).astype(float), 0, 255).astype(np.uint8)
    _photograph(tmp_path / "two" / "sub" / "y.jpg", cv2.resize(darker, (64, 48)), quality=60)
    _video(tmp_path / "two" / "z.avi", [1, 2])
    before = _stored(tmp_path)
    found = collect([tmp_path / "one", tmp_path / "two"], tmp_path / "out", rule=EVERY)
    assert [entry.image for entry in found.of("kept")] == ["0--one/x.jpg", "1--two--z.avi/z-0000001.jpg"]
    assert (tmp_path / "out/WIDER_val/images/0--one/x.jpg").read_bytes() == first.read_bytes()
    assert {
        name: digest for name, digest in _stored(tmp_path).items() if not name.startswith("out/")
    } == before


def test_a_threshold_of_one_keeps_everything(tmp_path: Path) -> None:
    _video(tmp_path / "a.avi", [1, 1, 1])
    assert len(collect([tmp_path / "a.avi"], tmp_path / "out", threshold=1, rule=EVERY).of("kept")) == 3


def test_a_second_run_gives_the_same_bytes_and_decodes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _video(tmp_path / "in" / "a.avi", [1, 1, 2])
    _photograph(tmp_path / "in" / "b.jpg", _scene(3))
    collect([tmp_path / "in"], tmp_path / "out", rule=EVERY)
    once = _stored(tmp_path / "out")
    collect([tmp_path / "in"], tmp_path / "other", rule=EVERY)
    assert _stored(tmp_path / "other") == once

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("pipeline.collect.gathering.video_frames", refuse)
    monkeypatch.setattr("pipeline.collect.gathering.examined_image", refuse)
    collect([tmp_path / "in"], tmp_path / "out", rule=EVERY)
    assert _stored(tmp_path / "out") == once


def test_a_run_that_was_stopped_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _video(tmp_path / "in" / "a.avi", [1, 2, 3])
    _photograph(tmp_path / "in" / "b.jpg", _scene(4))
    collect([tmp_path / "in"], tmp_path / "whole", rule=EVERY)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.collect.gathering.examined_image", stop)
        with pytest.raises(KeyboardInterrupt):
            collect([tmp_path / "in"], tmp_path / "out", rule=EVERY)
    collect([tmp_path / "in"], tmp_path / "out", rule=EVERY)
    assert _stored(tmp_path / "out") == _stored(tmp_path / "whole")


def test_what_another_rule_no_longer_keeps_is_removed_and_nothing_else(tmp_path: Path) -> None:
    _video(tmp_path / "in" / "a.avi", [1, 2, 3, 4])
    collect([tmp_path / "in"], tmp_path / "out", rule=EVERY)
    _photograph(tmp_path / "out" / "WIDER_val" / "images" / "mine" / "z.jpg", _scene(9))
    found = collect([tmp_path / "in"], tmp_path / "out", rule=FrameRule(every=2))
    assert found.num_removed == 2
    left = sorted(path.name for path in (tmp_path / "out" / "WIDER_val").rglob("*.jpg"))
    assert left == ["a-0000000.jpg", "a-0000002.jpg", "z.jpg"]


def test_bad_files_are_named_and_the_rest_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = _video(tmp_path / "in" / "cut.avi", list(range(20)))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "in" / "none.mp4").write_bytes(b"not a video")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "in" / "notes.txt").write_text("passed over")
    _photograph(tmp_path / "in" / "same.jpg", _scene(30))
    cv2.imwrite(str(tmp_path / "in" / "same.png"), _scene(31))
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "dataset",
                "collect",
                str(tmp_path / "in"),
                "--out",
                str(tmp_path / "out"),
                "--every",
                "1",
                "--json",
            ]
        )
    assert ended.value.code == 1
    out, err = capfd.readouterr()
    bad = "\n".join(json.loads(out)["unreadable"])
    assert "none.mp4: it is no video" in bad
    assert "broken.jpg: it is damaged or cut short" in bad
    assert "same.png: it would share the name" in bad
    assert "cut.avi: it ends after" in bad
    assert len(json.loads(out)["unreadable"]) == 4
    assert "4 files could not be read" in err
    assert json.loads(out)["images"] > 1


@pytest.mark.parametrize("out", [".", "in/out", "full"])
def test_a_folder_that_is_not_its_own_is_refused(tmp_path: Path, out: str) -> None:
    _photograph(tmp_path / "in" / "a.jpg", _scene(1))
    _photograph(tmp_path / "full" / "b.jpg", _scene(2))
    before = _stored(tmp_path)
    with pytest.raises(UsageError, match="choose another --out"):
        collect([tmp_path / "in"], tmp_path / out)
    assert _stored(tmp_path) == before


def _labelled(tmp_path: Path, name: str, text: str, categories: tuple[str, ...] = ()) -> np.ndarray:
    """The faces that a label file gives to one photograph of 128 x 96 pixels, and their invalid flags."""
    _photograph(tmp_path / "photos" / "x.jpg", _scene(1))
    _photograph(tmp_path / "photos" / "y.jpg", _scene(2))
    found = collect([tmp_path / "photos"], tmp_path / "out")
    (tmp_path / name).write_text(text)
    label(found, [tmp_path / name], categories)
    texts = tmp_path / "out" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    (record,) = parse_annotations(texts.read_bytes(), texts)
    assert record.path == "0--photos/x.jpg"
    return np.column_stack([record.faces, record.attributes[:, 3]])


VOC = """<annotation><filename>x.jpg</filename><size><width>{width}</width><height>96</height></size>
<object><name>face</name><difficult>0</difficult><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>50.5</ymax>
</bndbox></object><object><name>dog</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
</object><object><name>face</name><difficult>1</difficult><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>5</xmax>
<ymax>6</ymax></bndbox></object></annotation>"""
COCO = json.dumps(
    {
        "images": [{"id": 7, "file_name": "photos/x.jpg", "width": 128, "height": 96}],
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 30.5]},
            {"image_id": 7, "category_id": 2, "bbox": [1, 2, 2, 2]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 6], "iscrowd": 1},
        ],
    }
)
DLIB = """<?xml version='1.0' encoding='ISO-8859-1'?><dataset><images><image file='x.jpg' width='128' height='96'>
<box top='20' left='10' width='30' height='30.5'/><box top='0' left='0' width='5' height='6' ignore='1'/>
</image></images></dataset>"""
WIDER = "photos/x.jpg\n2\n10 20 30 30.5 0 0 0 0 0 0\n0 0 5 6 0 0 0 1 0 0\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.xml", VOC.format(width=128)), ("all.json", COCO), ("faces.xml", DLIB), ("wider.txt", WIDER)],
)
def test_every_kind_of_label_file_gives_the_same_annotation_text(
    tmp_path: Path, name: str, text: str
) -> None:
    faces = _labelled(tmp_path, name, text)
    np.testing.assert_array_equal(faces, [[10, 20, 40, 50.5, 0], [0, 0, 5, 6, 1]])


def test_the_categories_that_are_faces_can_be_named(tmp_path: Path) -> None:
    text = COCO.replace('"face"', '"mask"')
    with pytest.raises(UsageError, match="dog, mask: say with --category"):
        _labelled(tmp_path, "all.json", text)
    assert len(_labelled(tmp_path, "all.json", text, ("mask", "dog"))) == 3


def test_labels_for_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"are for 256 x 96 pixels, it has 128 x 96: resized\?"):
        _labelled(tmp_path, "x.xml", VOC.format(width=256))


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "<html/>", "{}", "[]", "<a>"]
)
def test_what_is_no_label_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"what\.xml"):
        _labelled(tmp_path, "what.xml", text)


def test_other_labels_that_are_there_already_are_not_overwritten(tmp_path: Path) -> None:
    _labelled(tmp_path, "wider.txt", WIDER)
    with pytest.raises(UserError, match="holds other labels than these: move it away"):
        _labelled(tmp_path, "wider.txt", WIDER.replace("30 30.5", "30 31"))


def test_frames_are_labelled_by_their_names_and_images_without_labels_are_left_out(tmp_path: Path) -> None:
    _video(tmp_path / "a.avi", [1, 1, 2])
    found = collect([tmp_path / "a.avi"], tmp_path / "out", rule=EVERY)
    text = "a-0000002.jpg\n0\n0 0 0 0 0 0 0 0 0 0\na-0000001.jpg\n1\n1 1 9 9\nelse.jpg\n0\n"
    (tmp_path / "labels.txt").write_text(text)
    result = label(found, [tmp_path / "labels.txt"])
    assert (result.num_images, result.num_faces) == (1, 0)
    assert result.unlabelled == ("0--a.avi/a-0000000.jpg",)
    assert result.dropped == ("a-0000001.jpg",)
    assert result.unknown == ("else.jpg",)


def test_names_that_fit_two_images_are_refused(tmp_path: Path) -> None:
    for number, folder in enumerate("ab"):
        _photograph(tmp_path / "in" / folder / "x.jpg", _scene(number))
    found = collect([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "labels.txt").write_text("x.jpg\n0\n")
    with pytest.raises(
        UserError, match=r"could be 0--in--a/x\.jpg and 0--in--b/x\.jpg: write more of the path"
    ):
        label(found, [tmp_path / "labels.txt"])
    (tmp_path / "labels.txt").write_text("b/x.jpg\n0\n")
    assert label(found, [tmp_path / "labels.txt"]).unlabelled == ("0--in--a/x.jpg",)


@pytest.mark.parametrize(
    "name",
    [
        "caf\u00e9",
        "cafe\u0301.jpg",
        "in\\caf\u00e9.jpg",
        ".\\IN\\CAF\u00c9.JPG",
        "/elsewhere/in/caf\u00e9.jpg",
    ],
)
def test_labels_name_images_in_any_unicode_form_case_and_with_any_slashes(tmp_path: Path, name: str) -> None:
    _photograph(tmp_path / "in" / "cafe\u0301.jpg", _scene(1))
    _photograph(tmp_path / "in" / "y.jpg", _scene(2))
    found = collect([tmp_path / "in"], tmp_path / "out")
    content = json.loads(COCO) | {"images": [{"id": 7, "file_name": name}]}
    (tmp_path / "all.json").write_text(json.dumps(content))
    result = label(found, [tmp_path / "all.json"])
    assert (result.num_images, result.num_faces, result.unknown) == (1, 2, ())


@pytest.mark.parametrize("written", ['"image_id": "7"', '"image_id": 7.0'])
def test_ids_of_coco_labels_are_the_same_as_number_and_text(tmp_path: Path, written: str) -> None:
    text = COCO.replace('"image_id": 7', written).replace('"category_id": 1', '"category_id": "1"')
    np.testing.assert_array_equal(
        _labelled(tmp_path, "all.json", text), [[10, 20, 40, 50.5, 0], [0, 0, 5, 6, 1]]
    )


def test_coco_labels_with_an_id_of_two_images_or_of_none_are_refused(tmp_path: Path) -> None:
    two = json.loads(COCO)
    two["images"].append({"id": "7", "file_name": "y.jpg"})
    with pytest.raises(UserError, match="two images have the id 7"):
        _labelled(tmp_path, "all.json", json.dumps(two))
    with pytest.raises(UserError, match="the annotations have the ids 6 to 7, the images the ids 7 to 7"):
        _labelled(tmp_path, "all.json", COCO.replace('"image_id": 7', '"image_id": 6', 1))


def test_what_was_collected_is_a_data_set_that_the_stages_index(tmp_path: Path) -> None:
    _photograph(tmp_path / "photos" / "x.jpg", _scene(1))
    found = collect([tmp_path / "photos"], tmp_path / "out")
    assert face_heights(found.root) is None
    _labelled(tmp_path, "wider.txt", WIDER)
    assert find_splits(found.root) == ["val"]
    assert split_files(found.root, "val").annotations is not None
    index = update_index(Workspace(tmp_path / "w"), found.root, "val").index
    assert [(row.path, len(row.faces)) for row in index.all_rows] == [("0--photos/x.jpg", 2)]


def test_face_heights_are_counted_in_the_bins_of_figure_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _photograph(tmp_path / "photos" / "x.jpg", _scene(1))
    boxes = [(9, 0), (10, 0), (20, 0), (21, 0), (40, 0), (4130, 0), (6000, 0), (30, 1), (0, 0)]
    lines = "".join(f"0 0 8 {height} 0 0 0 {invalid} 0 0\n" for height, invalid in boxes)
    (tmp_path / "l.txt").write_text(f"x.jpg\n{len(boxes)}\n{lines}")
    command = ["dataset", "collect", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--labels", str(tmp_path / "l.txt"), "--json"])
    assert ended.value.code == 1  # a face of 6000 px in so small a picture cannot be: counted all the same
    heights = json.loads(capsys.readouterr().out)["heights"]
    assert {name: count for name, count in heights["faces"].items() if count} == {
        "10": 2,
        "20": 1,
        "40": 2,
        "5120": 1,
    }
    assert (heights["beyond"], heights["invalid"]) == (1, 2)
    assert (heights["smallest_px"], heights["largest_px"]) == (9, 6000)
    with pytest.raises(SystemExit):
        main(command)  # without --labels: the text of the run before is counted
    printed = capsys.readouterr().out.splitlines()
    assert "    20 < height <= 40          2  ########################################" in printed
    assert printed[-1] == "7 faces, 9 to 6000 pixels high; 2 invalid ones are in no bin"
    assert max(len(line) for line in printed[3:]) <= 80


def _slow_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM window by window, as its paper writes it."""
    values = []
    for y in range(32 - 6):
        for x in range(32 - 6):
            p, q = (s[y : y + 7, x : x + 7].astype(np.float64) for s in (a, b))
            covariance = ((p - p.mean()) * (q - q.mean())).mean()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append(
                (2 * p.mean() * q.mean() + c1)
                * (2 * covariance + c2)
                / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (p.var() + q.var() + c2))
            )
    return min(max(float(np.mean(values)), 0.0), 1.0)


@given(st.integers(0, 99), st.integers(0, 99), st.floats(0, 1))
@settings(max_examples=8, deadline=None)
def test_similarity_is_ssim_symmetric_and_one_for_the_same(a: int, b: int, share: float) -> None:
    first = signature(_scene(a))
    second = signature(np.round(share * _scene(a) + (1 - share) * _scene(b)).astype(np.uint8))
    assert similarity(first, second) == pytest.approx(_slow_similarity(first, second), abs=1e-3)
    assert similarity(first, second) == pytest.approx(similarity(second, first), abs=1e-5)
    assert similarity(first, first) == pytest.approx(1)


def test_the_closest_of_many_is_found_and_the_first_of_equals() -> None:
    seen = Seen()
    assert seen.closest(signature(_scene(0))) == (-1, 0.0)
    for number in [*range(70), 3]:
        seen.add(signature(_scene(number)))
    assert seen.closest(signature(_scene(3)))[0] == 3
    assert seen.closest(signature(_scene(69)))[0] == 69
    seen.forget(69)
    assert seen.closest(signature(_scene(69)))[1] < 0.5


def test_real_photographs_are_all_different_and_a_smaller_darker_copy_is_the_same(shared: Path) -> None:
    paths = [*sorted((shared / "photos").glob("*.jpg")), *sorted((shared / "real" / "large").glob("*.jpg"))]
    seen = Seen()
    for path in paths:
        assert seen.closest(signature(read_image(path)))[1] < 0.5
        seen.add(signature(read_image(path)))
    image = read_image(paths[0])
    copy = cv2.convertScaleAbs(cv2.resize(image, None, fx=0.5, fy=0.5), alpha=0.8)
    number, alike = seen.closest(signature(np.asarray(copy, np.uint8)))
    assert (number, alike > 0.8) == (0, True)


def write_picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(value)
    ok, data = cv2.imencode(".jpg", rng.integers(0, 255, (48, 48, 3), np.uint8))
    assert ok
    path.write_bytes(data.tobytes())


def test_folders_in_every_script_are_events_of_their_own(tmp_path: Path) -> None:
    names = ["Мария и Пётр", "運動会", "Ελλάδα", "café", "नमस्ते"]
    for number, name in enumerate(names):
        write_picture(tmp_path / "in" / name / "1.jpg", number)
    found = collect([tmp_path / "in"], tmp_path / "out")
    events = {Path(entry.image).parent.name for entry in found.of("kept")}
    assert events == {f"0--in--{name.replace(' ', '-')}" for name in names}


def test_folders_whose_names_become_one_are_numbered(tmp_path: Path) -> None:
    for number, name in enumerate(["a b", "a+b", "a-b"]):
        write_picture(tmp_path / "in" / name / "1.jpg", number)
    found = collect([tmp_path / "in"], tmp_path / "out")
    assert not found.of("unreadable")
    assert [entry.image for entry in found.of("kept")] == [
        "0--in--a-b/1.jpg",
        "0--in--a-b-2/1.jpg",
        "0--in--a-b-3/1.jpg",
    ]


def test_names_that_grow_too_long_are_shortened_and_stay_different(tmp_path: Path) -> None:
    deep = Path(*["д" * 60] * 3)
    for number, name in enumerate("ab"):
        write_picture(tmp_path / "in" / deep / name / "1.jpg", number)
    found = collect([tmp_path / "in"], tmp_path / "out")
    events = [Path(entry.image).parent.name for entry in found.of("kept")]
    assert len(set(events)) == 2
    assert all(len(event.encode()) <= 240 for event in events)
    again = collect([tmp_path / "in"], tmp_path / "out")
    assert [entry.image for entry in again.entries] == [entry.image for entry in found.entries]


def test_a_name_that_is_no_utf8_is_collected_under_a_readable_one(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_picture(folder / "1.jpg", 1)
    try:
        (folder / "1.jpg").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    write_picture(folder / "2.jpg", 2)
    (entry, other) = sorted(collect([folder], tmp_path / "out").of("kept"), key=lambda entry: entry.image)
    assert (entry.image, other.image) == ("0--in/2.jpg", "0--in/caf%E9.jpg")
    (tmp_path / "out" / "WIDER_val" / "images" / "0--in" / "caf%E9.jpg").read_bytes()
    assert not collect([folder], tmp_path / "out").num_removed  # the list is read back


def test_linked_folders_and_drawings_are_told_and_not_collected(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "1.jpg", 1)
    write_picture(tmp_path / "elsewhere" / "2.jpg", 2)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    drawn = tmp_path / "in" / "1-faces.jpg"
    drawn.write_bytes(marked((tmp_path / "in" / "1.jpg").read_bytes(), tmp_path / "in" / "1.jpg"))
    found = collect([tmp_path / "in"], tmp_path / "out")
    assert [entry.image for entry in found.entries] == ["0--in/1.jpg"]
    assert [note.partition(":")[0] for note in found.notes] == [
        "1 drawing by `crface detect` left out, such as 1-faces.jpg",
        "1 linked folder not followed, such as linked",
    ]
