"""Read detections in COCO's result format: a JSON list of boxes, with the images in an annotation file or not."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, TypeAdapter, ValidationError

from pipeline.errors import UsageError, UserError
from pipeline.formats.foreign import ForeignResults, candidate_rows, complaint

ImageId = int | str


class _Detection(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    image_id: ImageId
    category_id: int = 1
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    score: FiniteFloat


class _Image(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    id: ImageId
    file_name: str


class _Annotations(BaseModel):
    images: list[_Image]


def read_coco_results(file: Path, images: Path | None = None) -> ForeignResults:
    """Read a list of `{"image_id", "bbox": [x, y, w, h], "score"}`; the images' names come from `images`.

    `images` is a COCO annotation file, of which only the list `images` is read (`id`, `file_name`); without
    it, every `image_id` must be the image's relative path. The format cannot say that an image has no
    detection: such an image is just not there.

    Raises UserError when a file cannot be read or is none of these, when two images have one id, and when the
    detections are of several categories; UsageError when ids are numbers and `images` is not given.
    """
    detections, bad = _detections(file)
    categories = Counter(detection.category_id for detection in detections)
    if len(categories) > 1:
        found = ", ".join(f"{number} of category {name}" for name, number in categories.most_common(5))
        raise UserError(
            f"{file} has detections of {len(categories)} categories ({found}): keep those that are faces"
        )
    names = None if images is None else _names(images)
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for number, detection in enumerate(detections):
        row = (*detection.bbox, detection.score)
        if words := complaint(np.array(row)):
            bad.append(f"{file} item {number}: {words}")
        rows[_name(detection.image_id, names, file)].append(row)
    boxes = {name: candidate_rows(np.array(found, np.float64)) for name, found in rows.items()}
    return ForeignResults(source=file, boxes=boxes, bad=tuple(bad), can_name_empty=False)


def _detections(file: Path) -> tuple[list[_Detection], list[str]]:
    try:
        return TypeAdapter(list[_Detection]).validate_json(_read(file)), []
    except ValidationError as error:
        if any(not item["loc"] for item in error.errors()):  # not even a list
            raise UserError(
                f"{file} is no list of COCO detections: {error.errors()[0]['msg']}; expected "
                '[{"image_id": ..., "bbox": [x, y, w, h], "score": ...}, ...]'
            ) from error
        complaints = [
            f"{file} item {item['loc'][0]}: {'.'.join(map(str, item['loc'][1:]))}: {item['msg']}"
            for item in error.errors()
        ]
        return [], complaints


def _names(file: Path) -> dict[ImageId, str]:
    try:
        listed = _Annotations.model_validate_json(_read(file)).images
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{file} is no COCO annotation file: {where}: {first['msg']}") from error
    names = {image.id: image.file_name for image in listed}
    if len(names) < len(listed):
        twice = next(name for name, count in Counter(image.id for image in listed).items() if count > 1)
        raise UserError(f"{file} lists two images with the id {twice}: which one do its boxes belong to?")
    return names


def _name(image_id: ImageId, names: Mapping[ImageId, str] | None, file: Path) -> str:
    if names is not None:
        return names.get(image_id, f"image_id {image_id}")  # which is then among the unknown images
    if isinstance(image_id, str):
        return image_id
    raise UsageError(
        f"{file} numbers its images (image_id {image_id}): give the COCO annotation file that names them "
        "with --images"
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
