"""Readers of common label files: WIDER FACE text, COCO JSON, VOC XML, and the XML of dlib's imglab."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float32, Int8

from crface.text import cropped, decode_text, marked_encoding, quoted
from pipeline.dataset.annotations import ATTRIBUTES, parse_annotations
from pipeline.errors import UsageError, UserError
from pipeline.formats.coco_ids import Identity, id_key, id_range, identity

_INVALID = ATTRIBUTES.index("invalid")
_FACE = "face"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LabelledImage:
    """One image's faces from a label file; there may be none."""

    name: str
    """The image's name as in the file, with forward slashes."""
    size: tuple[int, int] | None
    """The width and height that the labels are for, if the file gives them."""
    boxes_xywh: Float32[np.ndarray, "face 4"]
    attributes: Int8[np.ndarray, "face 6"]
    """WIDER FACE's attributes; in other formats all zeros except for `invalid`."""
    source: Path


@dataclass(frozen=True, slots=True)
class _Box:
    xywh: tuple[float, float, float, float]
    category: str | None
    """None where the format has none."""
    is_invalid: bool


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    size: tuple[int, int] | None
    boxes: list[_Box]
    source: Path


def read_labels(paths: Sequence[Path], categories: Sequence[str] = ()) -> list[LabelledImage]:
    """The labels in files, each recognised by its content, or in folders of them; in order.

    - WIDER FACE text keeps its attributes.
    - COCO JSON: `bbox` is `x y w h`; `iscrowd` becomes invalid.
    - VOC XML: x = xmin, w = xmax - xmin, as labelling programs write it today. (PASCAL's own files count pixels from
      1, so their boxes come out one pixel short at the left and the top.) `difficult` becomes invalid.
    - dlib XML: `left top width height`; `ignore` becomes invalid.

    Boxes of COCO and VOC have a category. Those in `categories` are taken; without any, those of "face", or of the
    only category there is.

    Raises UsageError when it is not clear which categories are faces, UserError for a file that cannot be read.
    """
    wider: list[LabelledImage] = []
    others: list[_Image] = []
    for path in _files(paths):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the labels {path}: {error.strerror or error}") from error
        content = _decoded(data)
        start = content.lstrip()[:1]
        try:
            if start in ("<", b"<"):
                others += _from_xml(data if marked_encoding(data) is None else content, path)
            elif start == "{":
                others += _from_coco(json.loads(content), path)
            else:
                wider += _from_wider(data, path)
        # OverflowError: an infinite size; RecursionError: endless brackets; LookupError: also an unknown encoding
        except (
            ElementTree.ParseError,
            ValueError,
            LookupError,
            TypeError,
            OverflowError,
            RecursionError,
        ) as error:
            what = str(error)
            if isinstance(error, LookupError):  # its words hold what was looked up
                what = (
                    f"there is no {quoted(error.args[0])}" if isinstance(error, KeyError) else cropped(what)
                )
            raise UserError(f"cannot read the labels {path}: {what}") from error
    wanted = _wanted(others, categories)
    return wider + [_labelled(image, wanted) for image in others]


def _decoded(data: bytes) -> str | bytes:
    """The text, or the bytes as they are if only their XML declaration can tell the encoding."""
    try:
        return decode_text(data)
    except UnicodeDecodeError:
        return data


def _files(paths: Sequence[Path]) -> Iterable[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in {".xml", ".json", ".txt"})
        if not inside:
            raise UsageError(f"the folder {path} holds no labels: expected .xml, .json or .txt files")
        yield from inside


def _from_wider(data: bytes, source: Path) -> list[LabelledImage]:
    images = []
    for record in parse_annotations(data, source):
        boxes = np.concatenate([record.faces[:, :2], record.faces[:, 2:] - record.faces[:, :2]], axis=1)
        images.append(
            LabelledImage(
                name=record.path, size=None, boxes_xywh=boxes, attributes=record.attributes, source=source
            )
        )
    return images


def _from_coco(content: dict[str, Any], source: Path) -> list[_Image]:
    names = {id_key(identity(one["id"])): str(one["name"]) for one in content["categories"]}
    images: dict[Identity, _Image] = {}
    for image in content["images"]:
        key, size = id_key(identity(image["id"])), None
        if "width" in image and "height" in image:
            size = _whole(image["width"]), _whole(image["height"])
        if key in images:
            raise ValueError(f"two images have the id {quoted(key)}: which one do its boxes belong to?")
        images[key] = _Image(str(image["file_name"]), size, [], source)
    for number, annotation in enumerate(content["annotations"]):
        key = id_key(identity(annotation["image_id"]))
        if key not in images:
            used = [identity(one["image_id"]) for one in content["annotations"]]
            raise ValueError(
                f"annotation {number} is of image {quoted(key)}, which is not in `images`: the annotations have "
                f"{id_range(used)}, the images {id_range(images)}"
            )
        x, y, width, height = (_number(value) for value in annotation["bbox"])
        category = names[id_key(identity(annotation["category_id"]))]
        images[key].boxes.append(_Box((x, y, width, height), category, bool(annotation.get("iscrowd", 0))))
    return list(images.values())


def _from_xml(data: str | bytes, source: Path) -> list[_Image]:
    # not a search for "<!DOCTYPE" in the bytes, which look different in UTF-16
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - without entities there is nothing to expand
    root = ElementTree.fromstring(data, parser)  # noqa: S314
    if root.tag == "annotation":
        return [_from_voc(root, source)]
    if root.tag == "dataset" and root.find("images") is not None:
        return [_from_dlib(image, source) for image in root.findall("images/image")]
    raise ValueError(
        f"its root is <{cropped(root.tag)}>, neither VOC's <annotation> nor dlib's <dataset> with <images>"
    )


def _from_voc(root: ElementTree.Element, source: Path) -> _Image:
    boxes = []
    for item in root.findall("object"):
        left, top, right, bottom = (
            _number(_text(item, f"bndbox/{corner}")) for corner in ("xmin", "ymin", "xmax", "ymax")
        )
        is_invalid = (item.findtext("difficult") or "0").strip() == "1"
        boxes.append(_Box((left, top, right - left, bottom - top), _text(item, "name"), is_invalid))
    size = None
    if root.find("size") is not None:
        size = _whole(_text(root, "size/width")), _whole(_text(root, "size/height"))
        size = size if min(size) > 0 else None  # some programs write 0 for unknown
    return _Image(_text(root, "filename"), size, boxes, source)


def _from_dlib(image: ElementTree.Element, source: Path) -> _Image:
    boxes = []
    for box in image.findall("box"):
        x, y, width, height = (_number(box.attrib[name]) for name in ("left", "top", "width", "height"))
        boxes.append(_Box((x, y, width, height), None, box.get("ignore") == "1"))
    size = None
    if "width" in image.attrib and "height" in image.attrib:
        size = _whole(image.attrib["width"]), _whole(image.attrib["height"])
    return _Image(image.attrib["file"], size, boxes, source)


class _NoDoctype(ElementTree.TreeBuilder):
    """A builder that refuses document type definitions: entities can grow without bound, and labels need none."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it has a document type definition, which no label file needs: refused")


def _number(value: object) -> float:
    """A number in the notation that every program reads: only Python reads 1_000 and digits of other scripts."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{quoted(value)} is no number")
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        raise ValueError(f"{quoted(value)} is no number")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{quoted(value)} is no number") from None


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"{quoted(value)} is no whole number")
    return int(number)


def _text(element: ElementTree.Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"a <{cropped(element.tag)}> without <{path}>")
    return text


def _wanted(images: Sequence[_Image], categories: Sequence[str]) -> set[str | None]:
    found = {box.category for image in images for box in image.boxes if box.category is not None}
    named = cropped(", ".join(sorted(found)))
    if missing := sorted(set(categories) - found):
        raise UsageError(
            f"no box of the labels has the category {', '.join(missing)}: there are {named or 'none'}"
        )
    if categories:
        return {None, *categories}
    if len(found) <= 1:
        return {None, *found}
    if _FACE in found:
        return {None, _FACE}
    raise UsageError(f"the labels have the categories {named}: say with --category which of them are faces")


def _labelled(image: _Image, wanted: set[str | None]) -> LabelledImage:
    boxes = [box for box in image.boxes if box.category in wanted]
    with np.errstate(over="ignore"):  # values too large for float32 become infinite, which is refused
        values = np.array([box.xywh for box in boxes], np.float64).astype(np.float32).reshape(-1, 4)
    if not np.isfinite(values).all() or (values[:, 2:] < 0).any():
        raise UserError(
            f"{image.source}: a box of {cropped(image.name)} is not finite or has a negative size: mend or remove it"
        )
    attributes = np.zeros((len(boxes), len(ATTRIBUTES)), np.int8)
    attributes[:, _INVALID] = [box.is_invalid for box in boxes]
    name = image.name.replace("\\", "/")  # as programs on Windows write folders
    return LabelledImage(
        name=name, size=image.size, boxes_xywh=values, attributes=attributes, source=image.source
    )
