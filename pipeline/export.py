"""Stored detections as files for other programs: WIDER FACE text, COCO JSON, Parquet, FiftyOne."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crface.array_shapes import ScoredBoxes
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.dataset.names import image_name
from pipeline.errors import UserError
from pipeline.evaluate.detections import stored_detections
from pipeline.evaluate.sources import Source, open_source
from pipeline.formats.widerface_text import write_results
from pipeline.workspace.layout import Workspace
from pipeline.workspace.writing import refuse_to_replace, write_atomically

Format = Literal["widerface", "coco", "parquet", "fiftyone"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageDetections:
    """One image's detections."""

    path: str
    """Relative to the image folder: `event/name.jpg`."""
    width: int
    """Width in stored pixels."""
    height: int
    """Height in stored pixels."""
    rows: ScoredBoxes
    """`x1 y1 x2 y2 score`, best first."""


def read_detections(
    workspace: Workspace, index: Index, source: Source, config: EvaluateConfig
) -> Iterator[ImageDetections]:
    """Every readable image's detections after NMS: ranked where `source` has a ranker, else predicted.

    Raises UserError when candidates or scores are missing or out of date.
    """
    stores = open_source(workspace, source, index, config)
    for number in index.ok_rows:
        if number in stores.unreadable:
            continue
        refined = None if stores.scores is None else stores.scores.read(number)
        rows = stored_detections(stores.candidates.read(number), refined, config)
        row = index.row(number)
        yield ImageDetections(path=row.path, width=row.width, height=row.height, rows=rows)


def write_text(path: Path, images: Iterable[ImageDetections], about: Mapping[str, str]) -> None:
    """Write a folder of WIDER FACE's text results, `x y w h score`; the format has no place for `about`.

    Raises UserError as `write_results` does, and for two images of one name.
    """
    detections: dict[str, np.ndarray] = {}
    for name, image in _by_name(images, "text results"):
        corners = image.rows.astype(np.float64)
        detections[name] = np.column_stack([corners[:, :2], corners[:, 2:4] - corners[:, :2], corners[:, 4]])
    write_results(path, detections)


def write_coco(path: Path, images: Iterable[ImageDetections], about: Mapping[str, str]) -> None:
    """Write COCO's result format: a list of `image_id`, `category_id` 1, `bbox` x y w h, `score`.

    `image_id` is the image's path, so that the file can be read without another. The format cannot name an
    image without detections, and has no place for `about`.

    Raises UserError when the file cannot be written.
    """
    items = [
        {"image_id": image.path, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for image in images
        for x1, y1, x2, y2, score in image.rows.tolist()
    ]
    _write(path, json.dumps(items).encode(), "list of detections", _is_json_list)


def write_parquet(path: Path, images: Iterable[ImageDetections], about: Mapping[str, str]) -> None:
    """Write one row per image: path, width, height, and lists x1 y1 x2 y2 score; `about` becomes metadata.

    Raises UserError when the file cannot be written.
    """
    columns = ("x1", "y1", "x2", "y2", "score")
    table = pa.Table.from_pylist(
        [
            {"path": image.path, "width": image.width, "height": image.height}
            | dict(zip(columns, image.rows.T, strict=True))
            for image in images
        ],
        pa.schema(
            [
                ("path", pa.string()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                *((column, pa.list_(pa.float32())) for column in columns),
            ],
            dict(about),
        ),
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    _write(
        path,
        buffer.getvalue(),
        "Parquet file of detections",
        lambda old: pq.read_schema(old).names == table.schema.names,
    )


def write_fiftyone(path: Path, images: Iterable[ImageDetections], about: Mapping[str, str]) -> None:
    """Write the labels of FiftyOne's `FiftyOneImageDetectionDataset`: boxes x y w h as shares of the image.

    An image is named by its path below the image folder, without the suffix, as FiftyOne finds it there. `about` is
    kept under a key that FiftyOne passes over.

    Raises UserError when the file cannot be written, and for two images of one name.
    """
    labels: dict[str, list[dict[str, object]]] = {}
    for name, image in _by_name(images, "FiftyOne"):
        x1, y1, x2, y2, confidence = image.rows.astype(np.float64).T
        shares = np.column_stack([x1, y1, x2 - x1, y2 - y1]) / np.tile([image.width, image.height], 2)
        labels[name] = [
            {"label": "face", "bounding_box": box, "confidence": score}
            for box, score in zip(shares.tolist(), confidence.tolist(), strict=True)
        ]
    data = json.dumps({"classes": ["face"], "labels": labels, "about": dict(about)})
    _write(path, data.encode(), "file of labels for FiftyOne", _is_fiftyone)


WRITERS: Final[Mapping[Format, Callable[[Path, Iterable[ImageDetections], Mapping[str, str]], None]]] = {
    "widerface": write_text,
    "coco": write_coco,
    "parquet": write_parquet,
    "fiftyone": write_fiftyone,
}


def _by_name(images: Iterable[ImageDetections], what: str) -> Iterator[tuple[str, ImageDetections]]:
    """Images with their names without suffix; UserError where these do not tell two images apart."""
    path_of: dict[str, str] = {}
    for image in images:
        name = image_name(image.path)
        other = path_of.setdefault(name, image.path)
        if other != image.path:
            raise UserError(
                f"two images have the name {name} but for the suffix, {other} and {image.path}: {what} cannot "
                "tell them apart; export as COCO or Parquet"
            )
        yield name, image


def _is_json_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"[")


def _is_fiftyone(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).startswith(b'{"classes": ["face"], "labels": {')


def _write(path: Path, data: bytes, what: str, is_such: Callable[[Path], bool]) -> None:
    refuse_to_replace(path, what, is_such)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise UserError(f"cannot write the detections {path}: {error.strerror or error}") from error
