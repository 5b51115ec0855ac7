"""Which faces count in easy, medium and hard: by WIDER FACE's official `.mat` files, or by face height."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import scipy.io
from jaxtyping import Bool, Float64

from pipeline.errors import UserError
from pipeline.fingerprint import file_sha256
from pipeline.index import Index

SETTINGS: Final = ("easy", "medium", "hard")
MIN_HEIGHT_PX: Final[Mapping[str, int]] = {"easy": 50, "medium": 30, "hard": 10}
"""Where there are no `.mat` files a setting keeps the valid faces of at least this height."""

Definition = Literal["official", "by height"]

_USUAL_FOLDERS = ("ground_truth", "eval_tools/ground_truth", "wider_face_split")
_Faces = Float64[np.ndarray, "face 4"]
_Kept = Bool[np.ndarray, " face"]


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """The faces of every image of a split, and which of them each setting keeps; the others are ignored."""

    definition: Definition
    source: str
    """Where it was read: a folder, or the labels of the index."""
    sha256: str
    """Of everything that was read."""
    names: tuple[str, ...]
    """`event/stem`, one an image."""
    faces: tuple[_Faces, ...]
    """x1 y1 x2 y2 in stored pixels, x2 = x1 + width; the ignored and those of size zero included."""
    kept: Mapping[str, tuple[_Kept, ...]]
    """For each of SETTINGS."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """The images that an index and a ground truth have in common, and those that only one of them has."""

    rows: tuple[int, ...]
    """Rows of the index, ascending."""
    images: tuple[int, ...]
    """Their places in the ground truth."""
    unlisted: tuple[str, ...]
    """Paths in the index, of images that decode, of which the ground truth knows nothing."""
    num_left_out: int
    """Images of the ground truth that the index does not have, or whose file does not decode."""


def load_ground_truth(index: Index, folder: Path | None = None) -> GroundTruth:
    """Give a split's ground truth: official if `folder` or the data set has its `.mat` files, else by height.

    Raises UserError if `folder` is given and has none, if files are missing beside others that are there, if
    one is damaged, and if the split has neither `.mat` files nor labels.
    """
    files = find_files(index, folder)
    return by_height(index) if files is None else read_official(files)


def ground_truth_sha256(index: Index, folder: Path | None = None) -> str:
    """Give `load_ground_truth(index, folder).sha256` without parsing anything.

    Raises UserError as `load_ground_truth` does, except for what is damaged.
    """
    files = find_files(index, folder)
    return _by_height_sha256(index) if files is None else _files_sha256(files)


def find_files(index: Index, folder: Path | None = None) -> dict[str, Path] | None:
    """Find a split's four `.mat` files ("face" and one a setting) in `folder` or where a data set has them.

    None if no folder was named and the data set has none. WIDER FACE's own `wider_face_split` has the file
    of all faces but no settings: that is none.

    Raises UserError naming what is missing.
    """
    folders = [index.data_root / usual for usual in _USUAL_FOLDERS] if folder is None else [folder]
    for candidate in folders:
        files = {part: candidate / f"wider_{part}_{index.split}.mat" for part in ("face", *SETTINGS)}
        present = {part for part, path in files.items() if path.is_file()}
        if present == set(files):
            return files
        if present - {"face"} or folder is not None:
            missing = ", ".join(files[part].name for part in files if part not in present)
            raise UserError(
                f"the ground truth in {candidate} lacks {missing}: put all four files of the split "
                f"{index.split!r} there, or give their folder with --ground-truth"
            )
    return None


def by_height(index: Index) -> GroundTruth:
    """Make a ground truth from an index's labels: settings by face height, cumulative; invalid faces ignored.

    Raises UserError if the split has no labels.
    """
    rows = [index.row(row) for row in index.ok_rows]
    faces = tuple(row.faces.astype(np.float64) for row in rows)
    return GroundTruth(
        definition="by height",
        source=f"labels of the split {index.split!r}",
        sha256=_by_height_sha256(index),
        names=tuple(_name(row.path) for row in rows),
        faces=faces,
        kept={
            setting: tuple(
                row.is_valid & (boxes[:, 3] - boxes[:, 1] >= MIN_HEIGHT_PX[setting])
                for row, boxes in zip(rows, faces, strict=True)
            )
            for setting in SETTINGS
        },
    )


def read_official(files: Mapping[str, Path]) -> GroundTruth:
    """Read the four files of `find_files`.

    Raises UserError naming the file and what is wrong: not a `.mat` file, a missing variable, images that are
    not those of the first file, boxes that are no boxes, face numbers that no face has.
    """
    names, faces = _read_faces(files["face"])
    kept = {setting: _read_kept(files[setting], names, faces) for setting in SETTINGS}
    source = str(files["face"].parent)
    return GroundTruth("official", source, _files_sha256(files), tuple(names), tuple(faces), kept)


def overlap(ground_truth: GroundTruth, index: Index) -> Overlap:
    """Find the images to evaluate: those of the index that decode and that the ground truth knows.

    Raises UserError if two images of the index have the same name but for the suffix, and if none are known.
    """
    position = {name: image for image, name in enumerate(ground_truth.names)}
    rows: list[int] = []
    images: list[int] = []
    unlisted: list[str] = []
    path_of: dict[str, str] = {}
    for row in index.ok_rows:
        path = index.row(row).path
        name = _name(path)
        if name in path_of:
            raise UserError(
                f"{path_of[name]} and {path} are both the image {name} of the ground truth: remove one"
            )
        path_of[name] = path
        if name in position:
            rows.append(row)
            images.append(position[name])
        else:
            unlisted.append(path)
    if not rows:
        raise UserError(
            f"none of the {len(index.ok_rows)} images of the split {index.split!r} is in the ground truth "
            f"({ground_truth.source}, {len(ground_truth.names)} images): is it that of another data set?"
        )
    return Overlap(tuple(rows), tuple(images), tuple(unlisted), len(ground_truth.names) - len(rows))


def _name(path: str) -> str:
    """`event/name.jpg` as the ground truth calls it: `event/name`."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix else path


def _by_height_sha256(index: Index) -> str:
    if not index.is_labelled:
        raise UserError(
            f"the split {index.split!r} of {index.data_root} has neither labels nor ground truth: "
            "there is nothing to evaluate against (give a folder of .mat files with --ground-truth)"
        )
    return hashlib.sha256(f"{dict(MIN_HEIGHT_PX)} {index.labels_digest}".encode()).hexdigest()


def _files_sha256(files: Mapping[str, Path]) -> str:
    try:
        hashes = {part: file_sha256(path) for part, path in files.items()}
    except OSError as error:
        raise UserError(f"cannot read the ground truth {error.filename}: {error.strerror}") from error
    return hashlib.sha256("".join(f"{part} {hashes[part]}\n" for part in sorted(hashes)).encode()).hexdigest()


# The files are MATLAB cell arrays: variables of [event, 1] cells, each a column of one cell an image.


def _read_faces(path: Path) -> tuple[list[str], list[_Faces]]:
    variables = _read_variables(path, ("event_list", "file_list", "face_bbx_list"))
    names = _read_names(path, variables)
    faces = []
    for name, cell in zip(names, _cells(path, variables, "face_bbx_list"), strict=True):
        try:
            xywh = np.asarray(cell, dtype=np.float64)
            xywh = xywh.reshape(-1, 4) if xywh.size == 0 else xywh
            is_right = xywh.ndim == 2 and xywh.shape[1] == 4 and bool(np.isfinite(xywh).all())
        except (ValueError, TypeError):
            is_right = False
        if not is_right:
            raise _damaged(path, f"the faces of {name} are not rows of four numbers x y w h")
        # a negative size is no damage: the official file has one, and in hard that face even counts
        faces.append(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1))
    return names, faces


def _read_kept(path: Path, names: Sequence[str], faces: Sequence[_Faces]) -> tuple[_Kept, ...]:
    variables = _read_variables(path, ("event_list", "file_list", "gt_list"))
    if _read_names(path, variables) != names:
        raise _damaged(path, "its images are not those of the file of all faces beside it")
    kept = []
    for name, boxes, cell in zip(names, faces, _cells(path, variables, "gt_list"), strict=True):
        numbers = np.asarray(cell).ravel()
        is_kept = np.zeros(len(boxes), dtype=bool)
        if numbers.size > 0:
            is_right = numbers.dtype.kind in "iuf" and bool(
                ((numbers >= 1) & (numbers <= len(boxes)) & (numbers == np.floor(numbers))).all()
            )
            if not is_right or len(np.unique(numbers)) < len(numbers):
                raise _damaged(path, f"the kept faces of {name} are not different numbers 1..{len(boxes)}")
            is_kept[numbers.astype(int) - 1] = True
        kept.append(is_kept)
    return tuple(kept)


def _read_variables(path: Path, wanted: Sequence[str]) -> dict[str, Any]:
    try:
        variables: dict[str, Any] = scipy.io.loadmat(str(path), variable_names=list(wanted))
    except OSError as error:
        raise UserError(f"cannot read the ground truth {path}: {error.strerror or error}") from error
    except Exception as error:  # scipy reports damage by whatever breaks first, zlib.error among them
        raise _damaged(path, f"it is no readable .mat file ({error})") from error
    for variable in wanted:
        if variable not in variables:
            raise _damaged(path, f"it has no variable {variable}")
    return variables


def _read_names(path: Path, variables: Mapping[str, Any]) -> list[str]:
    try:
        parts = [
            (event.item(), file.item())
            for event, files in zip(variables["event_list"].flat, variables["file_list"].flat, strict=True)
            for file in files.flat
        ]
        names = ["/".join(part) for part in parts]
    except (ValueError, AttributeError, TypeError) as error:
        raise _damaged(path, f"event_list and file_list are no lists of names ({error})") from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _damaged(path, f"it lists the image {twice[0]} twice")
    return names


def _cells(path: Path, variables: Mapping[str, Any], variable: str) -> list[Any]:
    try:
        events = [list(event.flat) for event in variables[variable].flat]
        if [len(event) for event in events] == [event.size for event in variables["file_list"].flat]:
            return [cell for event in events for cell in event]
    except AttributeError as error:
        raise _damaged(path, f"{variable} is no list of lists ({error})") from error
    raise _damaged(path, f"{variable} has other numbers of images than file_list")


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"the ground truth {path} is damaged or of another kind: {what}; get it again")
