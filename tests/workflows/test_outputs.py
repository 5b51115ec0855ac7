"""No command writes over a file of another kind than it writes, its own input among them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import detectors
from crface import ranker
from pipeline.errors import UserError
from pipeline.export import write_coco, write_fiftyone, write_parquet
from pipeline.workspace.writing import refuse_to_replace
from workflows.cli.main import cli

SHIPPED = Path(detectors.__file__).parent / "pretrained" / "retinaface-mobilenet0.25.safetensors"


def fails(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(cli, list(map(str, arguments)))
    assert ended.exit_code == 1, ended.output
    assert isinstance(ended.exception, UserError)
    return str(ended.exception)


def test_a_ranker_is_not_exported_onto_itself(tmp_path: Path) -> None:
    file = tmp_path / "ranker.safetensors"
    file.write_bytes(ranker.serialise(ranker.create("small", num_candidates=50, image_side_px=64)))
    before = file.read_bytes()
    assert "is there already and is no ONNX file" in fails("export-ranker", file, file)
    assert file.read_bytes() == before


def test_imported_weights_do_not_replace_a_ranker(tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(ranker.serialise(ranker.create("small", num_candidates=50, image_side_px=64)))
    before = mine.read_bytes()
    options = ("weights", "import", SHIPPED, "--detector", "retinaface-mobilenet0.25", "--output")
    assert "is no file of imported weights" in fails(*options, mine)
    assert mine.read_bytes() == before
    ended = [
        CliRunner().invoke(cli, [*map(str, options), str(tmp_path / "new.safetensors")]) for _ in range(2)
    ]
    assert [one.exit_code for one in ended] == [0, 0]  # what it wrote itself it may write again


def test_detections_replace_detections_only(tmp_path: Path) -> None:
    photo, annotations, table = (
        tmp_path / name for name in ("photo.jpg", "annotations.json", "index.parquet")
    )
    photo.write_bytes(b"\xff\xd8\xff")
    annotations.write_text(json.dumps({"images": []}))
    pq.write_table(pa.table({"path": ["x"]}), table)
    for file in (photo, annotations, table):
        before = file.read_bytes()
        for write in (write_coco, write_parquet, write_fiftyone):
            with pytest.raises(UserError, match="is there already and is no"):
                write(file, [], {})
        assert file.read_bytes() == before
    for write, name in (
        (write_coco, "new.json"),
        (write_parquet, "new.parquet"),
        (write_fiftyone, "labels.json"),
    ):
        for _ in range(2):
            write(tmp_path / name, [], {})


def test_an_empty_file_may_be_replaced_and_a_folder_may_not(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    refuse_to_replace(tmp_path / "empty", "table", lambda path: False)
    refuse_to_replace(tmp_path / "new", "table", lambda path: False)
    with pytest.raises(UserError, match="is no table"):
        refuse_to_replace(tmp_path, "table", lambda path: True)
