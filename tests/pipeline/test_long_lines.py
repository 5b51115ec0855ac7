"""What an error quotes of a file is short, however long the file's lines, names and values are."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz_files
import fuzz_texts
import pytest
import scipy.io
import torch
from fuzz_target import Target
from onnx_files import write_centre_map
from torch import nn
from wider_folder import Picture, mat_variables

from crface.text import MAX_QUOTED, cropped, decode_text, quoted
from crface.weights import check_keys, load_state
from detectors.onnx_adapter.session import OnnxModel
from pipeline.collect.label_files import read_labels
from pipeline.dataset.landmarks import read_landmarks
from pipeline.errors import UserError
from pipeline.formats.coco import read_coco_results
from pipeline.ground_truth.official_files import read_faces

_LONGEST = 500  # characters of a message, beside the paths in it
_WORDS = re.compile(rb"[\w./-]+")
_LONG = 60_000  # below what a TOML file may have
ONE_LINES = (
    json.dumps({"images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(5000)]}).encode(),
    json.dumps([{"image_id": i, "bbox": [1, 2, 3, 4], "score": 0.5} for i in range(5000)]).encode(),
    json.dumps(["x" * 300_000]).encode(),
    json.dumps({"x" * 300_000: 1}).encode(),
    b"x" * 300_000,
    b"1 " * 150_000,
    b"\xff" * 300_000,
    b"x/" * 150_000,
    "ä".encode() * 30_000,
    b"<x" + b"y" * 300_000,
    b"<" + b"x" * 300_000 + b"/>",
)


def _inflated(samples: Iterator[bytes]) -> Iterator[bytes]:
    """The samples with each of their words and quoted texts made long in turn, at the end and as a whole."""
    for sample in samples:
        for word in list(_WORDS.finditer(sample))[:80]:
            for long in (
                word[0] + b"x" * _LONG,
                b"9" * _LONG,
                word[0] + b" x" * (_LONG // 2),
                b"-" + word[0],
            ):
                yield sample[: word.start()] + long + sample[word.end() :]


TARGETS = (*fuzz_texts.TARGETS, *fuzz_files.TARGETS)


def _message(target: Target, data: bytes, folder: Path) -> str:
    try:
        target.check(data, folder)
    except target.refusals as refusal:
        return str(refusal).replace(str(folder), "")
    except AssertionError:  # the slow reader beside it reads only what the samples are like
        return ""
    return ""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_reader_refuses_one_endless_line_in_a_short_sentence(target: Target, tmp_path: Path) -> None:
    for data in ONE_LINES:
        message = _message(target, data, tmp_path)
        assert len(message) <= _LONGEST, f"{len(message)} characters: {message[:600]}"


@pytest.mark.parametrize("target", fuzz_texts.TARGETS, ids=lambda target: target.name)
def test_every_reader_of_text_crops_an_endless_name_or_value(target: Target, tmp_path: Path) -> None:
    for data in _inflated(iter(target.samples())):
        message = _message(target, data, tmp_path)
        assert len(message) <= _LONGEST, f"{len(message)} characters: {message[:600]}"


_NAME = "n" * 60_000


def _checkpoint(folder: Path) -> None:
    path = folder / "w.pth"
    torch.save({"state_dict": {f"{_NAME}.weight": torch.zeros(1)}}, path)
    complaints = check_keys(nn.Linear(1, 1), load_state(path))
    raise ValueError("; ".join(complaints))


def _no_checkpoint(folder: Path) -> None:
    torch.save({_NAME: 1}, folder / "w.pth")
    load_state(folder / "w.pth")


def _archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "w.pth", "w") as archive:
        archive.writestr(_NAME, "")
    load_state(folder / "w.pth")


def _network(folder: Path) -> None:
    path = write_centre_map(folder / "m.onnx")
    OnnxModel(path, "cpu", [_NAME])


def _ground_truth(folder: Path) -> None:
    picture = Picture("e", _NAME, faces=[(1, 2, 3, 4)])
    scipy.io.savemat(folder / "wider_face_val.mat", mat_variables([picture, picture]))
    read_faces(folder / "wider_face_val.mat")


def _landmarks(folder: Path) -> None:
    (folder / "landmarks.txt").write_text(f"# e/a.jpg\n{_NAME}\n")
    read_landmarks(folder / "landmarks.txt", [])


def _coco_ids(folder: Path) -> None:
    (folder / "found.json").write_text(json.dumps([{"image_id": _NAME, "bbox": [1, 2, 3, 4], "score": 0.5}]))
    (folder / "images.json").write_text(
        json.dumps({"images": [{"id": _NAME + "x", "file_name": _NAME + "y"}]})
    )
    read_coco_results(folder / "found.json", folder / "images.json")


def _coco_labels(folder: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": i, "name": f"{_NAME}{i}"} for i in range(2)],
        "annotations": [{"image_id": 1, "category_id": i, "bbox": [1, 2, 3, 4]} for i in range(2)],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    read_labels([folder / "labels.json"])


@pytest.mark.parametrize(
    "read",
    [_checkpoint, _no_checkpoint, _archive, _network, _ground_truth, _landmarks, _coco_ids, _coco_labels],
)
def test_names_inside_other_files_are_cropped_too(read: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises((UserError, ValueError)) as refusal:
        read(tmp_path)
    message = str(refusal.value).replace(str(tmp_path), "")
    assert "nnn..." in message or "n'..." in message
    assert len(message) <= _LONGEST, message[:600]


def test_a_quotation_is_cropped_and_keeps_to_one_line() -> None:
    assert quoted("a\nb") == repr("a\nb")
    assert quoted("x" * MAX_QUOTED) == cropped("'" + "x" * MAX_QUOTED + "'")
    assert len(quoted("\n" * 10**6)) == len(quoted([1] * 10**6)) == MAX_QUOTED + len("...")
    assert cropped("x" * MAX_QUOTED) == "x" * MAX_QUOTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_decoded_by_its_byte_order_mark(encoding: str) -> None:
    assert decode_text("à ü\r\n日本".encode(encoding)) == "à ü\r\n日本"
    for mark, name in ((b"\xfe\xff", "utf-16-be"), (b"\x00\x00\xfe\xff", "utf-32-be")):
        assert decode_text(mark + "à".encode(name)) == "à"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("target", fuzz_texts.TARGETS, ids=lambda target: target.name)
def test_every_reader_of_text_reads_it_with_a_byte_order_mark(
    target: Target, encoding: str, tmp_path: Path
) -> None:
    for sample in target.samples():
        text = decode_text(sample).replace("encoding='UTF-8'", f"encoding='{encoding.removesuffix('-sig')}'")
        message = _message(target, text.encode(encoding), tmp_path)
        assert message == ""
