"""The faces that count in easy, medium and hard: from WIDER FACE's official `.mat` files, or by face height."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from crface.array_shapes import FaceMask
from pipeline.dataset.annotations import parse_annotations
from pipeline.dataset.index import ImageRow, Index
from pipeline.dataset.names import image_name, match_names
from pipeline.errors import UserError
from pipeline.ground_truth.official_files import Faces, read_faces, read_kept
from pipeline.ground_truth.official_val import check_official_val
from pipeline.workspace.fingerprint import file_sha256

SETTINGS: Final = ("easy", "medium", "hard")
MIN_HEIGHT_PX: Final[Mapping[str, int]] = {"easy": 50, "medium": 30, "hard": 10}
"""Without `.mat` files, a setting keeps the valid faces of at least this height."""

Definition = Literal["official", "by height"]

_USUAL_FOLDERS = ("ground_truth", "eval_tools/ground_truth", "wider_face_split")


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """The faces of every image of a split, and which of them each setting keeps; the others are ignored."""

    definition: Definition
    source: str
    """Where the ground truth was read: a folder, or the labels of the index."""
    sha256: str
    """SHA-256 of everything that was read."""
    names: tuple[str, ...]
    """The name of each image, `event/stem`."""
    faces: tuple[Faces, ...]
    """x1 y1 x2 y2 in stored pixels, x2 = x1 + width; includes ignored faces and those of size zero."""
    kept: Mapping[str, tuple[FaceMask, ...]]
    """For each of SETTINGS, which faces of each image it keeps."""
    is_official_val: bool = False
    """Whether this has the images and all known facts of WIDER FACE's validation set."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """The images that an index and a ground truth have in common, and those that only one of them has."""

    rows: tuple[int, ...]
    """The common images' rows in the index, ascending."""
    images: tuple[int, ...]
    """The common images' places in the ground truth."""
    unlisted: tuple[str, ...]
    """The paths of images in the index that decode but are unknown to the ground truth."""
    num_left_out: int
    """The number of images in the ground truth that the index lacks or whose file does not decode."""


def load_ground_truth(index: Index, folder: Path | None = None) -> GroundTruth:
    """A split's ground truth: official if `folder` or the data set has its `.mat` files, else by height.

    Raises UserError if `folder` is given and has none, if only some of the files are there, if one is damaged,
    and if the split has neither `.mat` files nor labels.
    """
    files = find_files(index, folder)
    return by_height(index) if files is None else read_official(files)


def ground_truth_sha256(index: Index, folder: Path | None = None) -> str:
    """`load_ground_truth(index, folder).sha256`, without parsing anything.

    Raises UserError as `load_ground_truth` does, except for damaged files.
    """
    files = find_files(index, folder)
    return _by_height_sha256(index) if files is None else _files_sha256(files)


def find_files(index: Index, folder: Path | None = None) -> dict[str, Path] | None:
    """A split's four `.mat` files ("face" and one per setting), in `folder` or in a data set's usual places.

    None if no folder was given and the data set has none. WIDER FACE's own `wider_face_split`, which has the file
    of all faces but no settings, counts as none.

    Raises UserError naming what is missing.
    """
    if folder is not None:
        return _files_in([folder], index.split, is_named=True)
    return _files_in([index.data_root / usual for usual in _USUAL_FOLDERS], index.split)


def find_ground_truth(folder: Path, split: str = "val") -> GroundTruth:
    """The ground truth in a folder, without an index and without images.

    The folder itself and a data set's usual places below it are searched for the official `.mat` files, else for
    the annotation text, whose settings are defined by face height.

    Raises UserError if there is none, if some of its files are missing, or if one is damaged.
    """
    folders = [folder, *(folder / usual for usual in _USUAL_FOLDERS)]
    files = _files_in(folders, split)
    if files is not None:
        return read_official(files)
    texts = [candidate / f"wider_face_{split}_bbx_gt.txt" for candidate in folders]
    text = next((path for path in texts if path.is_file()), None)
    if text is None:
        raise UserError(
            f"no ground truth of the split {split!r} in {folder}: looked there and in its "
            f"{', '.join(_USUAL_FOLDERS)} for wider_face_{split}.mat with the files of easy, medium and hard, "
            f"and for {texts[0].name}"
        )
    try:
        data = text.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the ground truth {text}: {error.strerror or error}") from error
    labels = parse_annotations(data, text)
    path_of: dict[str, str] = {}
    for label in labels:
        other = path_of.setdefault(image_name(label.path), label.path)
        if other != label.path:
            raise UserError(
                f"{text} lists {other} and {label.path}, which are both the image {image_name(label.path)} of the "
                "ground truth: remove one"
            )
    faces = tuple(label.faces.astype(np.float64) for label in labels)
    return GroundTruth(
        definition="by height",
        source=str(text),
        sha256=hashlib.sha256(f"{dict(MIN_HEIGHT_PX)} ".encode() + data).hexdigest(),
        names=tuple(image_name(label.path) for label in labels),
        faces=faces,
        kept=_kept_by_height([label.is_valid for label in labels], faces),
    )


def by_height(index: Index) -> GroundTruth:
    """The ground truth of an index's labels: settings by face height, cumulative; invalid faces are ignored.

    Raises UserError if the split has no labels.
    """
    return rows_by_height(
        [index.row(row) for row in index.ok_rows], index.split, sha256=_by_height_sha256(index)
    )


def rows_by_height(rows: Sequence[ImageRow], split: str, sha256: str) -> GroundTruth:
    """`by_height` for some of a split's rows, in their order; `sha256` is that of the whole split."""
    faces = tuple(row.faces.astype(np.float64) for row in rows)
    return GroundTruth(
        definition="by height",
        source=f"labels of the split {split!r}",
        sha256=sha256,
        names=tuple(image_name(row.path) for row in rows),
        faces=faces,
        kept=_kept_by_height([row.is_valid for row in rows], faces),
    )


def read_official(files: Mapping[str, Path]) -> GroundTruth:
    """The ground truth in the four files of `find_files`.

    Raises UserError naming the file and what is wrong: not a `.mat` file, a missing variable, images that differ
    from those of the first file, invalid boxes, numbers that no face has; and if the images are those of WIDER
    FACE's validation set but the faces are not.
    """
    names, faces = read_faces(files["face"])
    kept = {setting: read_kept(files[setting], names, faces) for setting in SETTINGS}
    source = str(files["face"].parent)
    is_official_val = check_official_val(names, faces, kept, source)
    sha256 = _files_sha256(files)
    return GroundTruth("official", source, sha256, tuple(names), tuple(faces), kept, is_official_val)


def overlap(ground_truth: GroundTruth, index: Index) -> Overlap:
    """The images to evaluate: those in the index that decode and that the ground truth knows.

    Raises UserError if two images of the index have the same name but for the suffix, if one could be two images of
    the ground truth, and if none is known.
    """
    path_of: dict[str, str] = {}
    for row in index.ok_rows:
        path = index.row(row).path
        other = path_of.setdefault(image_name(path), path)
        if other != path:
            raise UserError(
                f"{other} and {path} are both the image {image_name(path)} of the ground truth: remove one"
            )
    position = {name: image for image, name in enumerate(ground_truth.names)}
    matches = match_names(path_of, position)
    if matches.ambiguous:
        name, (one, other) = next(iter(matches.ambiguous.items()))
        raise UserError(
            f"{path_of[name]} could be the image {one} or {other} of the ground truth {ground_truth.source}: "
            "give it the name of one of them"
        )
    rows: list[int] = []
    images: list[int] = []
    unlisted: list[str] = []
    for row in index.ok_rows:
        path = index.row(row).path
        found = matches.found.get(image_name(path))
        if found is None:
            unlisted.append(path)
        else:
            rows.append(row)
            images.append(position[found])
    if not rows:
        raise UserError(
            f"none of the {len(index.ok_rows)} images of the split {index.split!r} is in the ground truth "
            f"({ground_truth.source}, {len(ground_truth.names)} images): is it that of another data set?"
        )
    return Overlap(tuple(rows), tuple(images), tuple(unlisted), len(ground_truth.names) - len(rows))


def _files_in(folders: Sequence[Path], split: str, *, is_named: bool = False) -> dict[str, Path] | None:
    for folder in folders:
        files = {part: folder / f"wider_{part}_{split}.mat" for part in ("face", *SETTINGS)}
        present = {part for part, path in files.items() if path.is_file()}
        if present == set(files):
            return files
        if present - {"face"} or is_named:
            missing = ", ".join(files[part].name for part in files if part not in present)
            raise UserError(
                f"the ground truth in {folder} lacks {missing}: put all four files of the split "
                f"{split!r} there, or give their folder with --ground-truth"
            )
    return None


def _kept_by_height(is_valid: Sequence[FaceMask], faces: Sequence[Faces]) -> dict[str, tuple[FaceMask, ...]]:
    return {
        setting: tuple(
            valid & (boxes[:, 3] - boxes[:, 1] >= least) for valid, boxes in zip(is_valid, faces, strict=True)
        )
        for setting, least in MIN_HEIGHT_PX.items()
    }


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
