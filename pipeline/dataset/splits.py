"""The splits of a data set: a folder in WIDER FACE's layout, or a plain folder of images."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.dataset.annotations import Annotation, parse_annotations
from pipeline.dataset.names import is_same_spelling, match_names
from pipeline.errors import UserError
from pipeline.images.files import is_utf8, passed_over, walk_image_names, walk_images
from pipeline.images.header import SUFFIXES

PLAIN_SPLIT = "images"
"""The only split of a plain folder."""

LARGE_SPLIT = "large"
"""The split of single large faces, which the embedded data set has on request."""

EIGHT_K_SPLIT = "8k"
"""The split of natively large pictures, which the embedded data set has on request."""

_PREFIX = "WIDER_"
_USUAL_ORDER = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The locations of one split's files."""

    split: str
    data_root: Path
    """The data set's folder, absolute."""
    image_folder: Path
    annotations: Path | None
    """The annotation text; None if the split has images only."""


def find_splits(data_root: Path) -> list[str]:
    """The splits of a data set in the order train, val, test, others by name; never empty.

    In WIDER FACE's layout, a split is a folder `WIDER_<split>/images`. A folder without any of these is a plain
    folder, whose images at any depth form the single split "images".

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
    if not any(kind == "image" for kind, _ in walk_images(root)):
        raise UserError(
            f"{root} is no data set: looked for WIDER FACE's layout (folders {_PREFIX}<split>/images, texts "
            f"wider_face_split/wider_face_<split>_bbx_gt.txt) and for images ({' '.join(sorted(SUFFIXES))})"
        )
    return [PLAIN_SPLIT]


def split_files(data_root: Path, split: str) -> SplitFiles:
    """The locations of one split's files.

    Raises UserError if the data set has no such split, or if the folder is no data set.
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


def annotation_text(files: SplitFiles) -> bytes | None:
    """The bytes of a split's annotation text; None if it has none.

    Raises UserError if it cannot be read.
    """
    if files.annotations is None:
        return None
    try:
        return files.annotations.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read the annotations {files.annotations}: {error.strerror or error}"
        ) from error


def read_annotations(files: SplitFiles) -> list[Annotation] | None:
    """A split's annotations; None if it has no text.

    Raises UserError if the text cannot be read, and as `annotations_in` does.
    """
    text = annotation_text(files)
    return None if text is None else annotations_in(text, files)


def annotations_in(text: bytes, files: SplitFiles) -> list[Annotation]:
    """The annotations in a split's text.

    An image that is not in its place, but whose file has the same name in another Unicode form or case, goes by the
    file's name: unpacking on another system changes names so.

    Raises UserError if the text cannot be parsed.
    """
    annotations = parse_annotations(text, files.annotations or "")
    absent = missing_images(files, [one.path for one in annotations])
    if not absent:
        return annotations
    there = {
        path.relative_to(files.image_folder).as_posix()
        for kind, path in walk_images(files.image_folder)
        if kind == "image" and is_utf8(str(path))
    }
    listed = {one.path for one in annotations}
    found = match_names(absent, there - listed).found
    names = {old: new for old, new in found.items() if is_same_spelling(old, new)}
    return [replace(one, path=names.get(one.path, one.path)) for one in annotations]


def missing_images(files: SplitFiles, paths: Sequence[str]) -> list[str]:
    """Those of a split's paths, relative to its image folder, at which there is nothing."""
    folder = str(files.image_folder)  # a Path for each of many images would take longer than the rest
    return [path for path in paths if not os.path.exists(f"{folder}/{path}")]  # noqa: PTH110


def notes_on(files: SplitFiles, there: Sequence[str], listed: Collection[str] | None) -> list[str]:
    """Sentences about what lies in a split and is left out.

    `there` are the images that `list_images` finds, `listed` the annotated ones, None without labels. They report
    pictures that no annotation lists, annotations in a different folder from where they are looked for, and a data
    set in WIDER FACE's layout below a plain folder.
    """
    if listed is not None:
        known = set(listed)
        names = [name for name in there if name not in known]
        if not names:
            return []
        number = f"{len(names)} picture{'s' * (len(names) > 1)}"
        return [f"{number} left out, such as {names[0]}: not listed in {files.annotations}"]
    if files.split == PLAIN_SPLIT and files.image_folder == files.data_root:
        for folder in (path.parent.parent for path in files.data_root.glob(f"*/{_PREFIX}*/images")):
            return [
                f"{folder} is a data set in WIDER FACE's layout: give it as --data to use its labels and splits"
            ]
        return []
    expected = files.data_root / "wider_face_split" / f"wider_face_{files.split}_bbx_gt.txt"
    elsewhere = sorted(
        path
        for pattern in ("*_bbx_gt.txt", "*/*_bbx_gt.txt", "*/*/*_bbx_gt.txt")
        for path in files.data_root.glob(pattern)
        if files.split in path.name
    )
    if not elsewhere:
        return []
    return [f"no labels: they are looked for in {expected}, but there is {elsewhere[0]}: move it there"]


def list_images(files: SplitFiles) -> tuple[list[str], list[str]]:
    """The images in a split's image folder, relative to it, sorted, without hidden ones; and what is not listed.

    Images of unsupported formats are listed too, so that the index can name them and say why they are left out. The
    second list has sentences about what lies there but is not listed: drawings, linked folders, names not in UTF-8.
    """
    found = list(walk_image_names(files.image_folder))
    start = len(os.path.join(files.image_folder, ""))  # noqa: PTH118
    named = sorted(path[start:].replace(os.sep, "/") for kind, path in found if kind == "image")
    left_out = [name for name in named if not is_utf8(name)]
    names = [name for name in named if is_utf8(name)] if left_out else named
    notes = passed_over(files.image_folder, [(kind, Path(path)) for kind, path in found if kind != "image"])
    if left_out:
        notes.append(
            f"{len(left_out)} image{'s' * (len(left_out) > 1)} left out, such as {left_out[0]!r}, for no table holds a "
            "name that is no UTF-8: rename the file"
        )
    return names, notes
