"""What fuzzing found in the readers of text, each as a test of its own."""

import json
from pathlib import Path

import pytest

from detectors.onnx_adapter.descriptor import read_descriptor
from detectors.toml_text import MAX_BYTES, parse_toml
from pipeline.cache.protocols import load_protocol
from pipeline.collect.label_files import read_labels
from pipeline.config.toml import load_config
from pipeline.dataset.annotations import parse_annotations
from pipeline.errors import UsageError, UserError


@pytest.mark.parametrize("number", ["1_0", "١٢"])
def test_what_only_python_takes_for_a_number_is_none(number: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 3: .* not all numbers"):
        parse_annotations(f"a.jpg\n1\n{number} 2 3 4\n".encode(), "text")
    path = tmp_path / "labels.xml"
    path.write_text(
        f"<dataset><images><image file='a.jpg'><box left='{number}' top='1' width='2' height='3'/></image>"
        "</images></dataset>"
    )
    with pytest.raises(UserError, match="is no number"):
        read_labels([path])


def _coco(tmp_path: Path, **changes: object) -> Path:
    image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    content = {
        "images": [image | {key: value for key, value in changes.items() if key in image}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [box | {key: value for key, value in changes.items() if key in box}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"width": float("inf")},
        {"width": float("nan")},
        {"width": 64.5},
        {"bbox": [1, 2, 3, 10**400]},
        {"bbox": [1, 2, 3, True]},
        {"bbox": [1, 2, 3, "1_0"]},
        {"bbox": [1, 2, 3, 1e300]},
        {"bbox": [1, 2, 3, float("nan")]},
    ],
)
def test_sizes_and_boxes_of_coco_that_are_no_numbers_are_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"labels\.json"):
        read_labels([_coco(tmp_path, **changes)])


@pytest.mark.parametrize(
    "text", ['{"a":' * 100_000, "<a>" * 100_000, "<?xml version='1.0' encoding='none'?><a/>"]
)
def test_labels_without_end_or_in_an_unknown_encoding_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot read the labels"):
        read_labels([path])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_entities_are_refused_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    laughs = "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 9))
    text = f"<!DOCTYPE x [<!ENTITY a0 'ha'>{laughs}]><annotation><filename>&a8;</filename></annotation>"
    path = tmp_path / "labels.xml"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match=r"document type definition|cannot read the labels|refused"):
        read_labels([path])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a = " + "1" * 5000, "digits"),
        ("a." * 5000 + "a = 1", "line 1 has a key of more than 32 parts"),
        ("[" + "a." * 5000 + "a]", "line 1 has a key of more than 32 parts"),
        ("b = 1\nx = {" + "a." * 5000 + "a = 1}", "line 2 has a key of more than 32 parts"),
        ("# " + "x" * MAX_BYTES, "longer than 65,536 bytes"),
        ("\ufffe = \ud800", "surrogates|utf-8"),
    ],
)
def test_toml_that_costs_too_much_is_refused_by_every_reader(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    for read in (load_config, load_protocol):
        with pytest.raises(UsageError, match=rf"not valid TOML: .*({words})"):
            read(str(path))
    with pytest.raises(ValueError, match=rf"not valid TOML \(.*({words})"):
        read_descriptor(path)


def test_toml_that_is_only_long_is_read() -> None:
    numbers = ", ".join(f"{i}.5" for i in range(5000))
    comment = "# " + "." * 1000
    assert len(parse_toml(f"{comment}\na = [{numbers}]\n".encode())["a"]) == 5000


@pytest.mark.timeout(120)  # one key of as many bytes would take minutes, these take a second
def test_the_slowest_toml_that_is_let_through_is_read() -> None:
    key = ".".join("abcdefghijklmnopqrstuvwxyzABCDEF")
    text = "".join(f"{key}{number} = 1\n" for number in range(MAX_BYTES // 75))
    assert parse_toml(text.encode())


def test_a_value_that_is_refused_is_not_printed_whole(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[cache]\nblock_images = "{"x" * 5000}"\n')
    with pytest.raises(UsageError) as refusal:
        load_config(str(path))
    assert len(str(refusal.value)) < 400 + len(str(path))
