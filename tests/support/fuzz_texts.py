"""Texts that strangers write: annotations, results, labels, configurations; each with a slow reader beside it."""

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from fuzz_target import Target, put
from onnx_files import CENTRE_MAP, READY
from places import ROOT

from crface.text import decode_text, marked_encoding
from detectors.onnx_adapter.descriptor import read_descriptor
from pipeline.cache.protocols import load_protocol
from pipeline.collect.label_files import read_labels
from pipeline.config.toml import load_config
from pipeline.dataset.annotations import parse_annotations
from pipeline.formats.coco import read_coco_results
from pipeline.formats.widerface_text import find_results, read_results

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

ANNOTATIONS = (
    b"0--Parade/a b.jpg\n2\n449 330 122 149 0 0 0 0 0 0 \n1 2 3 4 1 0 0 1 2 0 \n"
    b"0--Parade/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n",
    b"\xef\xbb\xbfx/a.png\r\n1\r\n1.5 2 3 4\r\n\r\nx/b.jpg\r\n0\r\n",
    b"a.jpg\n3\n" + b"78 221 7 8 2 0 0 0 0 0 \n" * 3 + "Fête/à.jpg\n1\n1 1 1 1\n".encode(),
)
RESULTS = (
    b"a\n3\n449.2 330.1 122.5 149.0 0.999\n361.0 98.5 263.3 339.1 0.5\n1 2 3 4 0.25\n",
    b"0--Parade/a.jpg\r\n2\r\n1 2 3 4 1e-3\r\n5 6 7 8 0.5\r\n",
    b"a.jpg\n0\n",
)
COCO = (
    json.dumps(
        {
            "images": [
                {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48},
                {"id": 2, "file_name": "b.jpg"},
            ],
            "categories": [{"id": 7, "name": "face"}],
            "annotations": [
                {"image_id": 1, "category_id": 7, "bbox": [1, 2, 30.5, 40], "iscrowd": 1},
                {"image_id": 2, "category_id": 7, "bbox": [5, 6, 7, 8]},
            ],
        }
    ).encode(),
)
COCO_RESULTS = (
    b'[{"image_id": "a.jpg", "category_id": 1, "bbox": [1, 2, 3, 4.5], "score": 0.5},'
    b' {"image_id": "b/c.jpg", "bbox": [5, 6, 7, 8], "score": 0.25}]',
)
XML = (
    b"<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size>"
    b"<object><name>face</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax>"
    b"<ymax>40</ymax></bndbox></object></annotation>",
    b"<?xml version='1.0' encoding='UTF-8'?><dataset><images><image file='a\\b.jpg' width='64' height='48'>"
    b"<box top='2' left='1' width='30' height='40' ignore='1'/></image></images></dataset>",
)
PROTOCOLS = (
    b'[[views]]\nside = "short"\npx = [500, 800]\nalso_mirrored = true\nlong_at_most_px = 4000\n'
    b'[fusion]\nmethod = "box voting"\niou_threshold = 0.4\n',
    b'[[views]]\nside = "long"\npx = [7680]\n',
)
DESCRIPTORS = tuple(b'name = "tiny"\nmodel = "tiny.onnx"\n' + text.encode() for text in (CENTRE_MAP, READY))


def _number(word: str) -> float:
    assert _NUMBER.fullmatch(word), f"{word[:40]!r} was taken for a number"
    return float(word)


def _decoded(data: bytes) -> str:
    return decode_text(data) if marked_encoding(data) else data.decode(errors="replace")


def _check_annotations(data: bytes, folder: Path) -> None:
    found = parse_annotations(data, "text")
    lines = [line.strip() for line in re.split("\r?\n", decode_text(data))]
    lines = [line for line in lines if line]
    for image in found:
        name, count = lines.pop(0), int(lines.pop(0))
        assert Path(name) == Path(image.path)
        assert not Path(image.path).is_absolute()
        assert ".." not in Path(image.path).parts
        rows = [[_number(word) for word in lines.pop(0).split()] for _ in range(count)]
        if count == 0 and lines and re.fullmatch(r"0(\s+0){3}((\s+0){6})?", lines[0]):
            lines.pop(0)
        expected = [[x, y, x + w, y + h] for x, y, w, h, *_ in rows]
        np.testing.assert_array_equal(image.faces, np.float32(expected).reshape(-1, 4))
        assert image.attributes.tolist() == [row[4:] or [0] * 6 for row in rows]
    assert not lines


def _check_results(data: bytes, folder: Path) -> None:
    put(folder / "0--Parade" / "a.txt", data)
    found = read_results(find_results(folder, ["0--Parade/a"])).detections["0--Parade/a"]
    lines = [line.split() for line in _decoded(data).split("\n")[2:]]
    expected = [[_number(word) for word in words] for words in lines if words]
    expected.sort(key=lambda row: -row[4])
    assert found.tolist() == expected
    assert len(found) == int(_decoded(data).split("\n")[1])


def _labels(name: str) -> Callable[[bytes, Path], None]:
    def check(data: bytes, folder: Path) -> None:
        path = put(folder / name, data)
        for image in read_labels([path]):
            assert np.isfinite(image.boxes_xywh).all()
            assert (image.boxes_xywh[:, 2:] >= 0).all()
            # told by its content: "=", then "0", in a file of that name is WIDER FACE's text
            if _decoded(data).lstrip().startswith("{"):
                content = json.loads(data)
                (found, *_) = (
                    i for i in content["images"] if i["file_name"].replace("\\", "/") == image.name
                )
                boxes = [a["bbox"] for a in content["annotations"] if a["image_id"] == found["id"]]
                np.testing.assert_array_equal(image.boxes_xywh, np.float32(boxes).reshape(-1, 4))

    return check


def _check_coco_results(data: bytes, folder: Path) -> None:
    path = put(folder / "results.json", data)
    found = read_coco_results(path)
    if not found.bad:
        written = json.loads(data)
        assert sum(len(rows) for rows in found.boxes.values()) == len(written)
        assert set(found.boxes) == {row["image_id"] for row in written}
    assert all(np.isfinite(rows).all() for rows in found.boxes.values()) or found.bad


def _check_config(data: bytes, folder: Path) -> None:
    path = put(folder / "config.toml", data)
    config = load_config(str(path)).model_dump()
    for section, values in tomllib.loads(decode_text(data)).items():
        for key, value in values.items():
            assert _holds(config[section][key], value)


def _holds(kept: object, given: object) -> bool:
    """Tell whether everything that was given was kept; what was not given has defaults."""
    if isinstance(given, dict):
        return isinstance(kept, dict) and all(_holds(kept[key], value) for key, value in given.items())
    if isinstance(given, list):
        is_alike = isinstance(kept, tuple) and len(kept) == len(given)
        return is_alike and all(_holds(*pair) for pair in zip(kept, given, strict=True))
    return kept == given


def _check_protocol(data: bytes, folder: Path) -> None:
    path = put(folder / "mine.toml", data)
    protocol = load_protocol(str(path))
    sections = tomllib.loads(decode_text(data))["views"]
    sizes = [size for section in sections for size in section.get("px", [None]) or [None]]
    assert {view.px for view in protocol.views} == set(sizes)


def _check_descriptor(data: bytes, folder: Path) -> None:
    path = put(folder / "mine.toml", data)
    descriptor = read_descriptor(path)
    content = tomllib.loads(decode_text(data))
    assert descriptor.name == content["name"]
    assert descriptor.decoding.scheme == content["decoding"]["scheme"]


def _configs() -> Sequence[bytes]:
    folder = ROOT / "pipeline" / "configs"
    return [(folder / f"{name}.toml").read_bytes() for name in ("demo", "paper")]


TARGETS = (
    Target(name="annotations", samples=lambda: ANNOTATIONS, check=_check_annotations, num_inputs=2500),
    Target(name="results", samples=lambda: RESULTS, check=_check_results, num_inputs=1500),
    Target(name="coco-labels", samples=lambda: COCO, check=_labels("labels.json"), num_inputs=1000),
    Target(name="xml-labels", samples=lambda: XML, check=_labels("labels.xml"), num_inputs=1000),
    Target(name="coco-results", samples=lambda: COCO_RESULTS, check=_check_coco_results, num_inputs=800),
    Target(name="config", samples=_configs, check=_check_config, num_inputs=500),
    Target(name="protocol", samples=lambda: PROTOCOLS, check=_check_protocol, num_inputs=500),
    Target(
        name="onnx-descriptor",
        samples=lambda: DESCRIPTORS,
        check=_check_descriptor,
        refusals=(ValueError,),
        num_inputs=500,
    ),
)
