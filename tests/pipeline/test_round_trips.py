"""What `crface export-detections` writes, `score` and `import-candidates` read: any names, the same boxes."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imported_folder import Folder
from wider_folder import Picture, write_data_set

from crface.evaluation import widerface_ap
from pipeline.blocks.complete import open_complete
from pipeline.dataset.index import Index
from pipeline.dataset.index_file import Header, ImageRow
from pipeline.dataset.names import image_name
from pipeline.errors import UserError
from pipeline.evaluate.score import open_results, score_results
from pipeline.export import WRITERS, Format, ImageDetections
from pipeline.formats.coco import read_coco_results
from pipeline.formats.foreign import ForeignResults
from pipeline.formats.parquet import read_parquet_results
from pipeline.formats.widerface_results import read_text_results
from pipeline.imports.work import plan_import
from pipeline.workspace.layout import Workspace
from workflows.cli.main import cli

READERS: Mapping[Format, Callable[[Path, Index], ForeignResults]] = {
    "widerface": read_text_results,
    "coco": lambda file, index: read_coco_results(file),
    "parquet": lambda file, index: read_parquet_results(file),
}
LETTERS = "aAbé\u0301 .-_\u00df\u0130\u2028\\"
NAMES = st.lists(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "0--Parade/", "0--parade/", "Fête/", "Fe\u0302te/"]),
            st.text(LETTERS, min_size=1, max_size=4),
            st.sampled_from(["", ".jpg", ".JPG", ".png", ".txt", ".jpg.png"]),
            st.sampled_from([".jpg", ".jpeg", ".png"]),
        ),
    ).filter(lambda name: name.strip() == name and image_name(name).rpartition("/")[2].strip(".") != ""),
    min_size=1,
    max_size=6,
    unique=True,
)


def detections(names: Sequence[str]) -> list[ImageDetections]:
    """Other boxes in every image, with whole numbers, which every format keeps."""
    rows = [
        [[9 * i, 2, 9 * i + 5 + j, 9 + j, 0.5 + i / 64 - j / 8] for j in range(2)] for i in range(len(names))
    ]
    return [
        ImageDetections(path=name, width=99, height=99, rows=np.float32(row))
        for name, row in zip(names, rows, strict=True)
    ]


def labelled(images: Sequence[ImageDetections]) -> Index:
    """An index in which the face of each image is its best box."""
    rows = [
        ImageRow(
            i, image.path, 99, 99, "0" * 64, 1, 1, "ok", "",
            image.rows[:1, :4], np.array([True]), np.zeros((1, 6), np.int8),
        )
        for i, image in enumerate(images)
    ]  # fmt: skip
    return Index(Header("val", "/data", "WIDER_val/images", "e" * 64), tuple(rows))


def _fit_in_text(names: Sequence[str]) -> bool:
    """Whether text results can hold them: not a.jpg and a.png, nor the image a.jpg and the folder a.txt."""
    stems = set(map(image_name, names))
    parents = {parent.as_posix() for stem in stems for parent in Path(stem).parents}
    return len(stems) == len(names) and not any(f"{stem}.txt" in parents for stem in stems)


@pytest.mark.parametrize("form", READERS)
@settings(max_examples=150, deadline=None)
@given(names=NAMES)
def test_any_names_come_back_from_every_format(form: Format, names: list[str]) -> None:
    images = detections(names)
    index = labelled(images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        if form == "widerface" and not _fit_in_text(names):
            with pytest.raises(UserError):
                WRITERS[form](path, images, {})
            return
        WRITERS[form](path, images, {})
        plan = plan_import(
            Workspace(Path(folder) / "w"), index, READERS[form](path, index), "far", "imported"
        )
    plan.check(is_missing_allowed=False)
    assert (plan.unknown, plan.missing) == ((), ())
    for i, image in enumerate(images):
        np.testing.assert_allclose(plan.boxes[i], image.rows, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(names=NAMES.filter(lambda names: not any("\\" in name or "\u2028" in name for name in names)))
def test_text_results_of_any_names_have_the_ap_of_the_detections(names: list[str]) -> None:
    names = list({image_name(name): name for name in names}.values())
    images = detections(names)
    faces = [image.rows[:1, :4].astype(np.float64) for image in images]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lines = [f"{image.path}\n1\n{image.rows[0, 0]:g} 2 5 7\n" for image in images]
        (root / "wider_face_val_bbx_gt.txt").write_text("".join(lines), encoding="utf-8")
        WRITERS["widerface"](root / "out", images, {})
        found = score_results(open_results(root / "out", root))
    expected = widerface_ap(
        [image.rows.astype(np.float64) for image in images], faces, found.results.truth.kept
    )
    assert found.results.missing == ()
    for one, image in zip(found.results.detections, images, strict=True):
        np.testing.assert_allclose(one, image.rows, atol=1e-6)
    assert dict(found.evaluation) == pytest.approx(dict(expected), nan_ok=True)


PICTURES = [
    Picture("0--Parade", "scan.png", [(2, 3, 10, 11), (18, 9, 9, 12)]),
    Picture("0--Parade", "scan", [(6, 4, 14, 12)]),
    Picture("0--Parade", "IMG_7.JPG", [(0, 0, 12, 12), (14, 10, 10, 10)], ending=".jpeg"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path, PICTURES)
    boxes = {
        PICTURES[0].path: [(2, 3, 10, 11, 0.9), (1, 12, 8, 8, 0.8), (18, 9, 9, 12, 0.3)],
        PICTURES[1].path: [(6, 4, 14, 12, 0.5), (20, 1, 9, 9, 0.7)],
        PICTURES[2].path: [(14, 10, 10, 10, 0.6)],
    }
    found = [{"image_id": path, "bbox": row[:4], "score": row[4]} for path in boxes for row in boxes[path]]
    (tmp_path / "found.json").write_text(json.dumps(found))
    ended = made.imports(tmp_path / "found.json")
    assert ended.exit_code == 0, ended.output
    return made


def evaluated(folder: Folder, name: str) -> dict[str, float]:
    ended = folder.crface("evaluate", "--json", "--detector", f"imported:{name}")
    assert ended.exit_code == 0, ended.output
    rows = [
        row
        for row in json.loads(ended.stdout)
        if row["confidence"] == "predicted" and row["kind"] == "official"
    ]
    return {row["setting"]: row["ap"] for row in rows if row["setting"] in ("easy", "medium", "hard", "all")}


@pytest.mark.parametrize("form", READERS)
def test_images_with_two_endings_are_imported_from_what_was_exported_with_the_same_ap(
    folder: Folder, form: Format
) -> None:
    ended = folder.crface(
        "export-detections", folder.root / "out", "--format", form, "--detector", "imported:far"
    )
    assert ended.exit_code == 0, ended.output
    back = folder.imports(folder.root / "out", name="back")
    assert back.exit_code == 0, back.output
    assert evaluated(folder, "back") == pytest.approx(evaluated(folder, "far"))


def test_images_with_two_endings_have_the_ap_of_evaluate_in_score(folder: Folder) -> None:
    from click.testing import CliRunner

    ended = folder.crface("export-detections", folder.root / "out", "--detector", "imported:far")
    assert ended.exit_code == 0, ended.output
    scored = CliRunner().invoke(
        cli, ["score", str(folder.root / "out"), "--ground-truth", str(folder.data), "--json"]
    )
    assert scored.exit_code == 0, scored.output
    expected, found = evaluated(folder, "far"), json.loads(scored.stdout)
    assert {setting: found[setting] for setting in ("easy", "medium", "hard")} == pytest.approx(
        {setting: expected[setting] for setting in ("easy", "medium", "hard")}, nan_ok=True
    )
    assert found["hard"] > 0.5


def test_a_removed_image_does_not_shadow_another_of_the_same_stem(folder: Folder) -> None:
    images = folder.data / "WIDER_val" / "images"
    text = folder.data / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    pixels = cv2.imread(str(images / "0--Parade" / "scan.jpg"))
    assert cv2.imwrite(str(images / "0--Parade" / "scan.png"), pixels)
    text.write_text(text.read_text().replace("0--Parade/scan.jpg", "0--Parade/scan.png"))
    items = [
        {"image_id": name, "bbox": [1, 2, 9, 9], "score": 0.5}
        for name in ("0--Parade/scan", "0--Parade/scan.png.jpg")
    ]
    (folder.root / "found.json").write_text(json.dumps(items))
    ended = folder.imports(folder.root / "found.json", "--allow-missing", name="after")
    assert ended.exit_code == 0, ended.output
    index = folder.index()
    assert [row.status for row in index.all_rows if row.path == "0--Parade/scan.jpg"] == ["removed"]
    found = open_complete(folder.workspace, index, folder.key("after"))
    assert {row.path: len(found.read(row.row)) for row in index.all_rows if row.status == "ok"} == {
        "0--Parade/scan.png": 1,
        "0--Parade/scan.png.jpg": 1,
        "0--Parade/IMG_7.JPG.jpeg": 0,
    }
    assert (
        folder.crface("export-detections", folder.root / "out", "--detector", "imported:after").exit_code == 0
    )
    assert folder.imports(folder.root / "out", name="again").exit_code == 0


def test_results_that_fit_two_images_are_refused_with_both(folder: Folder) -> None:
    write_data_set(folder.data, [*PICTURES, Picture("0--Parade", "scan", ending=".png")])
    found = [{"image_id": "0--Parade/scan", "bbox": [1, 2, 9, 9], "score": 0.5}]
    (folder.root / "found.json").write_text(json.dumps(found))
    ended = folder.imports(folder.root / "found.json", "--allow-missing")
    assert isinstance(ended.exception, UserError)
    assert "could be of 0--Parade/scan.jpg or of 0--Parade/scan.png" in str(ended.exception)


def test_two_results_of_one_image_are_refused_with_both(folder: Folder) -> None:
    found = [
        {"image_id": name, "bbox": [1, 2, 9, 9], "score": 0.5}
        for name in ("0--Parade/scan.jpg", "0--Parade\\scan.jpg")
    ]
    (folder.root / "found.json").write_text(json.dumps(found))
    ended = folder.imports(folder.root / "found.json", "--allow-missing")
    assert isinstance(ended.exception, UserError)
    assert r"twice, as '0--Parade/scan.jpg' and as '0--Parade\\scan.jpg'" in str(ended.exception)


def test_an_image_whose_name_no_line_can_hold_is_refused_in_text_alone(tmp_path: Path) -> None:
    images = detections(["a\nb.jpg"])
    with pytest.raises(UserError, match="line break in its name"):
        WRITERS["widerface"](tmp_path / "out", images, {})
    WRITERS["parquet"](tmp_path / "out", images, {})
    assert list(read_parquet_results(tmp_path / "out").boxes) == ["a\nb.jpg"]


@pytest.mark.parametrize("damage", ["cut", "columns"])
def test_a_parquet_file_that_holds_no_detections_is_refused(folder: Folder, damage: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder.root / "found.parquet"
    pq.write_table(pa.table({"path": ["a"], "x1": [[1.0]]}), path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:40])
    ended = folder.imports(path)
    assert isinstance(ended.exception, UserError)
    assert "holds no detections that can be read" in str(ended.exception)
