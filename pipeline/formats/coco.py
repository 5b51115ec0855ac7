"""Detections in COCO's result format: a JSON list of boxes, whose images an annotation file may name."""

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from crface.text import cropped, decode_text, quoted
from pipeline.dataset.names import match_names
from pipeline.errors import UsageError, UserError
from pipeline.formats.coco_ids import Identity, id_key, id_range, identity
from pipeline.formats.foreign import ForeignResults, candidate_rows, complaint

_EXPECTED: Final = '[{"image_id": ..., "bbox": [x, y, w, h], "score": ...}, ...]'
_FACE: Final = "face"
_NAMED: Final = 5  # categories named in an error


_Id = Annotated[Identity, PlainValidator(identity)]


class _Reference(BaseModel):
    """Which image something is of."""

    model_config = ConfigDict(frozen=True, strict=True)

    image_id: _Id | None = None
    file_name: str | None = None

    @model_validator(mode="after")
    def _is_of_an_image(self) -> Self:
        if self.image_id is None and self.file_name is None:
            raise ValueError("neither image_id nor file_name says which image it is of")
        return self


class _Detection(_Reference):
    category_id: _Id = 1
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    score: FiniteFloat


_DETECTIONS: Final = TypeAdapter(list[_Detection])


class _Image(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    id: _Id
    file_name: str


class _Annotations(BaseModel):
    images: list[_Image]
    categories: Any = None
    """A list of `id` and `name` in most files; whatever else it may be is ignored."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What an annotation file says of its images and categories."""

    file: Path
    names: Mapping[Identity, str]
    """File name by `id_key` of the id."""
    categories: Mapping[Identity, str]
    """Name by `id_key` of the id; empty if the file has none."""


def read_coco_results(file: Path, images: Path | None = None) -> ForeignResults:
    """The detections in a list of `{"image_id", "bbox": [x, y, w, h], "score"}`; an empty list has none.

    `images` is a COCO annotation file that names the images (`id`, `file_name`). A number and its digits as text
    are one id, and an `image_id` may also be the file name itself. Without the annotation file, the images are
    named by `file_name` where the detections have one, else by an `image_id` that is a text. The format cannot name
    an image without detections.

    Raises UserError when a file cannot be read or is of another kind, when `images` lacks the image of a detection or
    has two images of one id or name, and when the detections are of several categories, or of another than faces;
    UsageError when images are numbered and `images` is not given.
    """
    listed = None if images is None else _read_listed(images)
    items, bad = _read_items(file)
    _check_categories(file, items.values(), listed)
    names = _names(file, items, listed)
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for number, item in items.items():
        found = rows[names[number]]  # of a bad item too, whose image is not missing
        if isinstance(item, _Detection):
            row = (*item.bbox, item.score)
            found.append(row)
            if words := complaint(np.array(row)):
                bad[number] = words
    return ForeignResults(
        source=file,
        boxes={
            name: candidate_rows(np.array(found, np.float64).reshape(-1, 5)) for name, found in rows.items()
        },
        bad=tuple(f"{file} item {number}: {words}" for number, words in sorted(bad.items())),
        can_name_empty=False,
    )


def _read_items(file: Path) -> tuple[dict[int, _Reference], dict[int, str]]:
    """The items by their place in the list, and what is wrong with some of them."""
    text = _read(file)
    try:
        return dict(enumerate(_DETECTIONS.validate_json(text))), {}
    except ValidationError as error:
        outside = next((item for item in error.errors() if not item["loc"]), None)
        if outside is not None:
            raise UserError(
                f"{file} is no list of COCO detections: {_what_else(text) or outside['msg']}; expected {_EXPECTED}"
            ) from error
        bad: dict[int, str] = {}
        for complaint in error.errors():
            number, *where = complaint["loc"]
            assert isinstance(number, int)
            at = cropped(".".join(map(str, where)))
            message = complaint["msg"].removeprefix("Value error, ")
            bad.setdefault(number, f"{at}: {message}" if at else message)
    content = json.loads(text)
    items: dict[int, _Reference] = dict(_references(content, bad))
    good = [number for number in range(len(content)) if number not in bad]
    detections = _DETECTIONS.validate_json(json.dumps([content[number] for number in good]))
    items |= zip(good, detections, strict=True)
    return dict(sorted(items.items())), bad


def _references(content: Sequence[object], numbers: Iterable[int]) -> Iterator[tuple[int, _Reference]]:
    for number in numbers:
        with contextlib.suppress(ValidationError):
            yield number, _Reference.model_validate(content[number])


def _what_else(text: str) -> str:
    """What JSON is that holds no list; empty if it is no JSON at all."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(content, dict):
        return f"it is {quoted(content)}"
    keys = cropped(", ".join(content))
    return f"it is an object with the keys {keys}" if keys else "it is an empty object"


def _read_listed(file: Path) -> _Listed:
    try:
        found = _Annotations.model_validate_json(_read(file))
    except ValidationError as error:
        first = error.errors()[0]
        where = cropped(".".join(map(str, first["loc"]))) or "the file"
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{file} is no COCO annotation file: {where}: {message}") from error
    names: dict[Identity, str] = {}
    for image in found.images:
        if id_key(image.id) in names:
            raise UserError(
                f"{file} lists two images with the id {quoted(image.id)}: which one do its boxes belong to?"
            )
        names[id_key(image.id)] = image.file_name
    twice = next((name for name, count in Counter(names.values()).items() if count > 1), None)
    if twice is not None:
        ids = " and ".join([quoted(key) for key, name in names.items() if name == twice][:2])
        raise UserError(f"{file} lists the image {quoted(twice)} twice, with the ids {ids}: keep one")
    return _Listed(file, names, _category_names(found.categories))


def _category_names(categories: object) -> dict[Identity, str]:
    names: dict[Identity, str] = {}
    for category in categories if isinstance(categories, list) else []:
        if isinstance(category, dict) and isinstance(category.get("name"), str):
            with contextlib.suppress(ValueError):
                names[id_key(identity(category.get("id")))] = category["name"]
    return names


def _check_categories(file: Path, items: Iterable[_Reference], listed: _Listed | None) -> None:
    names = {} if listed is None else listed.categories
    counts = Counter(id_key(item.category_id) for item in items if isinstance(item, _Detection))
    found = ", ".join(
        f"{count} of category {quoted(key)}" + (f" ({cropped(names[key])})" if key in names else "")
        for key, count in counts.most_common(_NAMED)
    )
    if len(counts) > 1:
        raise UserError(
            f"{file} has detections of {len(counts)} categories ({found}): keep those that are faces"
        )
    faces = [key for key, name in names.items() if name.casefold() == _FACE]
    if faces and any(key in names and key not in faces for key in counts):
        assert listed is not None
        raise UserError(
            f"{file} has no detections of faces, but {found}: faces are category {quoted(faces[0])} in {listed.file}"
        )


def _names(file: Path, items: Mapping[int, _Reference], listed: _Listed | None) -> dict[int, str]:
    """The name of each item's image."""
    if listed is None:
        return {number: _own_name(file, item) for number, item in items.items()}
    words = {item.image_id for item in items.values()} | {item.file_name for item in items.values()}
    matches = match_names((word for word in words if isinstance(word, str)), listed.names.values())
    names, unknown = {}, []
    for number, item in items.items():
        name = None if item.image_id is None else listed.names.get(id_key(item.image_id))
        if name is None:
            word = item.file_name if item.image_id is None else item.image_id
            name = matches.found.get(word) if isinstance(word, str) else None
        if name is None:
            unknown.append(item)
        else:
            names[number] = name
    if unknown:
        first = unknown[0].file_name if unknown[0].image_id is None else unknown[0].image_id
        used = [item.image_id for item in items.values() if item.image_id is not None]
        raise UserError(
            f"{len(unknown)} of the {len(items)} detections in {file} are of images that {listed.file} does not list, "
            f"the first of {quoted(first)}; the detections have {id_range(used)}, the images {id_range(listed.names)}: "
            "give the annotation file that these detections were made with"
        )
    return names


def _own_name(file: Path, item: _Reference) -> str:
    if item.file_name is not None:
        return item.file_name
    if isinstance(item.image_id, str):
        return item.image_id
    raise UsageError(
        f"{file} numbers its images (image_id {item.image_id}): give the COCO annotation file that names them "
        "with --images"
    )


def _read(file: Path) -> str:
    try:
        return decode_text(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no JSON: it is no UTF-8 text (byte {error.start})") from error
