"""The index as a Parquet file: one row per image, and a hash of everything so that damage is noticed."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from json.encoder import encode_basestring_ascii as as_json
from math import prod
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int8

from crface.array_shapes import FaceMask
from pipeline.errors import UserError
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

SCHEMA_VERSION = 1
"""Raised when a column or its meaning changes, or how an annotation text is read, for labels stay those of the index
while the text is the same; an index of another version is refused."""

_GROUP_ROWS = 1024  # the least that is read at once: 150 kB of labels and hashes
_IMAGES_DIGEST = "images_digest"
_LABELS_DIGEST = "labels_digest"


class IndexVersionError(UserError):
    """An index was written by a version of this package with different columns."""


Status = Literal["ok", "missing", "unreadable", "removed"]


@dataclass(slots=True, eq=False)  # not frozen: the fields of a frozen one take five times as long to set
class ImageRow:
    """One image of a split and its labels; once made, it never changes."""

    row: int
    """The image's place in the index and in every store; never changes."""
    path: str
    """The image's path relative to the image folder, with forward slashes: `event/name.jpg`."""
    width: int
    """Width in stored pixels; 0 unless the image was decoded."""
    height: int
    """Height in stored pixels; 0 unless the image was decoded."""
    sha256: str
    """SHA-256 of the file's bytes; empty if there are none."""
    size_bytes: int
    mtime_ns: int
    """The file's modification time; with its size it tells whether the file must be hashed again."""
    status: Status
    """ok: decodes. missing: listed but not there. unreadable: see reason. removed: no longer listed."""
    reason: str
    """Why the status is not ok; of an image that is, the decoder's complaint about damage, empty for none."""
    faces: Float32[np.ndarray, "face 4"]
    """x1 y1 x2 y2 in stored pixels, in the order of the annotation file."""
    is_valid: FaceMask
    """Which faces are not flagged invalid and have positive width and height."""
    attributes: Int8[np.ndarray, "face 6"]
    """Each face's blur, expression, illumination, invalid, occlusion and pose."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an index records about its split as a whole."""

    split: str
    data_root: str
    """The data set's folder, absolute."""
    image_folder: str
    """The image folder, relative to the data root."""
    annotations_sha256: str
    """SHA-256 of the annotation text; empty if the split has none."""


_COLUMNS = {
    "row": pa.int64(),
    "path": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "sha256": pa.string(),
    "size_bytes": pa.int64(),
    "mtime_ns": pa.int64(),
    "status": pa.string(),
    "reason": pa.string(),
}
_SCHEMA = pa.schema(
    [
        *_COLUMNS.items(),
        ("num_faces", pa.int32()),
        ("faces", pa.list_(pa.float32())),
        ("is_valid", pa.list_(pa.bool_())),
        ("attributes", pa.list_(pa.int8())),
    ]
)


def content_sha256(header: Header, rows: Sequence[ImageRow]) -> str:
    """A hash of everything in an index, independent of how Parquet lays it out."""
    digest = hashlib.sha256(json.dumps(asdict(header), sort_keys=True).encode())
    for row in rows:
        digest.update(_content(row))
    return digest.hexdigest()


def _content(row: ImageRow) -> bytes:
    """The columns as a JSON list, then each array's length and bytes."""
    # json.dumps, called for each of many rows, takes longer than all the rest
    path, sha256, status, reason = map(as_json, (row.path, row.sha256, row.status, row.reason))
    columns = (
        f"[{row.row}, {path}, {row.width}, {row.height}, {sha256}, {row.size_bytes}, {row.mtime_ns}, "
        f"{status}, {reason}]"
    )
    parts = [columns.encode()]
    for array in (row.faces, row.is_valid, row.attributes):
        parts += [len(array).to_bytes(4, "little"), array.tobytes()]
    return b"".join(parts)


def images_digest(rows: Iterable[ImageRow]) -> str:
    """A hash of every row's image: path, bytes, status. Labels, times and the data root do not matter."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.path}\0{row.status}\0{row.sha256}\n".encode())
    return digest.hexdigest()


def labels_digest(rows: Iterable[ImageRow]) -> str:
    """A hash of the labels of the rows with status ok; images, times and the data root do not matter."""
    digest = hashlib.sha256()
    for row in rows:
        if row.status == "ok":
            name = f"{row.row}\0{row.path}\0{len(row.faces)}\n".encode()
            digest.update(b"".join((name, *label_bytes(row))))
    return digest.hexdigest()


def label_bytes(row: ImageRow) -> tuple[bytes, bytes, bytes]:
    """A row's labels as bytes, for comparing or hashing."""
    return row.faces.tobytes(), row.is_valid.tobytes(), row.attributes.tobytes()


def write_index_file(path: Place, header: Header, rows: Sequence[ImageRow]) -> None:
    """Write an index; a reader sees either all of it or the previous one."""
    columns = [pa.array([getattr(row, name) for row in rows], kind) for name, kind in _COLUMNS.items()]
    num_faces = np.array([len(row.faces) for row in rows], dtype=np.int32)
    metadata = {
        "schema_version": str(SCHEMA_VERSION),
        "content_sha256": content_sha256(header, rows),
        _IMAGES_DIGEST: images_digest(rows),
        _LABELS_DIGEST: labels_digest(rows),
        **asdict(header),
    }
    table = pa.Table.from_arrays(
        [
            *columns,
            pa.array(num_faces),
            _lists([row.faces for row in rows], pa.float32()),
            _lists([row.is_valid for row in rows], pa.bool_()),
            _lists([row.attributes for row in rows], pa.int8()),
        ],
        schema=_SCHEMA.with_metadata(metadata),
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=_GROUP_ROWS, write_page_checksum=True)
    write_atomically(path, buffer.getvalue())


def read_index_part(
    path: Place, digest: str, start: int, stop: int, labels: str | None = None
) -> tuple[Header, list[ImageRow]] | None:
    """The rows `start:stop` of an index whose images hash to `digest`, reading little more than these.

    `labels`, if given, is what the labels must hash to.

    None when a partial read is not possible: the file is missing, damaged, of another version or of other images,
    or was written before partial reads. The caller then reads the whole index, which says what is wrong.
    """
    try:
        with path.open("rb") as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            known = {
                key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()
            }
            if known["schema_version"] != str(SCHEMA_VERSION) or known[_IMAGES_DIGEST] != digest:
                return None
            if labels is not None and known[_LABELS_DIGEST] != labels:
                return None
            header = Header(**{name: known[name] for name in Header.__dataclass_fields__})
            first, last = start // _GROUP_ROWS, -(-stop // _GROUP_ROWS)
            table = file.read_row_groups(list(range(first, last)))
            rows = _rows(table, first * _GROUP_ROWS)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError):
        return None
    return header, rows[start - first * _GROUP_ROWS :][: stop - start]


def read_index_file(path: Place) -> tuple[Header, list[ImageRow]]:
    """An index exactly as it was written.

    Raises UserError if it is damaged, of another schema version, or no index; FileNotFoundError if it is missing.
    """
    advice = "move it away and index the data set again with `crface dataset index`"
    data = path.read_bytes()
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read()  # read_table imports pyarrow.dataset first
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        version = metadata.get("schema_version")
        if version == str(SCHEMA_VERSION):
            header = Header(**{name: metadata[name] for name in Header.__dataclass_fields__})
            rows = _rows(table)
            if content_sha256(header, rows) == metadata["content_sha256"]:
                return header, rows
    # pyarrow reports damage with many types, including OSError and MemoryError for absurd lengths
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise UserError(f"the index {path} is damaged or no index: {advice}") from error
    if version is not None and version != str(SCHEMA_VERSION):
        raise IndexVersionError(
            f"the index {path} has schema version {version}, this crface reads {SCHEMA_VERSION}: {advice}"
        )
    raise UserError(f"the index {path} is damaged or no index: {advice}")


def _rows(table: pa.Table, start: int = 0) -> list[ImageRow]:
    if not table.schema.equals(_SCHEMA):
        raise ValueError("other columns")
    plain: list[list[Any]] = [table.column(name).to_pylist() for name in _COLUMNS]
    numbers, statuses = (plain[list(_COLUMNS).index(name)] for name in ("row", "status"))
    if numbers != list(range(start, start + len(numbers))) or not set(statuses) <= set(get_args(Status)):
        raise ValueError("impossible row")
    faces, attributes = _arrays(table.column("faces"), (4,)), _arrays(table.column("attributes"), (6,))
    return list(map(ImageRow, *plain, faces, _arrays(table.column("is_valid"), ()), attributes))


def _lists(arrays: Sequence[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    offsets = np.cumsum([0, *(array.size for array in arrays)], dtype=np.int32)
    values = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))


def _arrays(column: pa.ChunkedArray, face_shape: tuple[int, ...]) -> list[np.ndarray]:
    """Each row's list as an array of faces; ValueError where a face is cut."""
    lists = column.combine_chunks()
    # not flatten and value_lengths, which import pyarrow.compute first
    offsets = lists.offsets.to_numpy()
    values = lists.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]].reshape(-1, *face_shape)
    ends, cut = np.divmod(offsets - offsets[0], prod(face_shape))
    if cut.any():
        raise ValueError("part of a face")
    # not np.split, which takes five times as long
    return [values[start:end] for start, end in pairwise(ends.tolist())]
