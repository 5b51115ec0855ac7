"""Find the splits of a data set: a folder in WIDER FACE's layout, or a plain folder of images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.annotations import Annotation, parse_annotations
from pipeline.errors import UserError
from pipeline.images.header import REFUSED_SUFFIXES, SUFFIXES

PLAIN_SPLIT = "images"
"""The one split of a plain folder."""

LARGE_SPLIT = "large"
"""The split of single large faces, which the embedded data set has when it is asked for."""

_PREFIX = "WIDER_"
_USUAL_ORDER = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """Where one split's files are."""

    split: str
    data_root: Path
    """Absolute."""
    image_folder: Path
    annotations: Path | None
    """The annotation text; None if the split has none: images only."""


def find_splits(data_root: Path) -> list[str]:
    """List the splits that a data set has, in the order train, val, test, others by name; never empty.

    A split of WIDER FACE's layout is a folder `WIDER_<split>/images`. A folder without any is a plain folder,
    whose images, at any depth, are the one split "images".

    Raises UserError saying what was looked for if there is neither.
    """
    root = Path(data_root).absolute()
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise UserError(f"the data set {root} {what}: give a folder with --data")
    try:
        names = sorted(entry.name for entry in root.iterdir() if (entry / "images").is_dir())
    except OSError as error:
        raise UserError(f"cannot read the data set {root}: {error.strerror or error}") from error
    splits = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX) and name != _PREFIX]
    if splits:
        return sorted(splits, key=lambda split: (*(split != usual for usual in _USUAL_ORDER), split))
    if root.name.startswith(_PREFIX) and (root.parent / "wider_face_split").is_dir():
        raise UserError(f"{root} is one split of a data set: give the folder above it, {root.parent}")
    if (root / "wider_face_split").is_dir():
        raise UserError(
            f"{root} has annotations but no images: expected folders {root}/{_PREFIX}<split>/images"
        )
    if next(_walk(root), None) is None:
        raise UserError(
            f"{root} is no data set: looked for WIDER FACE's layout (folders {_PREFIX}<split>/images, texts "
            f"wider_face_split/wider_face_<split>_bbx_gt.txt) and for images ({' '.join(sorted(SUFFIXES))})"
        )
    return [PLAIN_SPLIT]


def split_files(data_root: Path, split: str) -> SplitFiles:
    """Locate one split of a data set.

    Raises UserError if the data set has no such split, or is none.
    """
    root = Path(data_root).absolute()
    splits = find_splits(root)
    if split not in splits:
        raise UserError(f"the data set {root} has no split {split!r}: it has {', '.join(splits)}")
    image_folder = root / f"{_PREFIX}{split}" / "images"
    if not image_folder.is_dir():
        return SplitFiles(split, root, root, None)
    annotations = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    return SplitFiles(split, root, image_folder, annotations if annotations.is_file() else None)


def read_annotations(files: SplitFiles) -> tuple[list[Annotation] | None, bytes]:
    """Give a split's annotations with the text they were read from; None and no bytes if it has no text.

    Raises UserError if the text cannot be read or parsed.
    """
    if files.annotations is None:
        return None, b""
    try:
        data = files.annotations.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read the annotations {files.annotations}: {error.strerror or error}"
        ) from error
    return parse_annotations(data, files.annotations), data


def list_images(files: SplitFiles) -> list[str]:
    """List the images that lie in a split's image folder, relative to it, sorted; hidden ones are left out.

    Images of a format that is not read are listed too: the index names them and says why they are left out.

    Raises UserError for a name that is no UTF-8, which no table could hold.
    """
    names = sorted(path.relative_to(files.image_folder).as_posix() for path in _walk(files.image_folder))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"the name of {name!r} in {files.image_folder} is no UTF-8: rename the file"
            ) from None
    return names


def _walk(folder: Path) -> Iterator[Path]:
    listed = SUFFIXES | REFUSED_SUFFIXES
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in listed:
                yield Path(parent, name)
