"""Several data sets as one folder in WIDER FACE's layout, so that every stage takes them together."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.dataset.annotations import Annotation, record
from pipeline.dataset.splits import PLAIN_SPLIT, find_splits, list_images, read_annotations, split_files
from pipeline.errors import UsageError, UserError

_OFFICIAL = ("wider_face_split/wider_*_val.mat", "eval_tools/ground_truth/wider_*_val.mat")

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class JoinedSplit:
    """What one split of the joined data set holds."""

    split: str
    sources: list[str] = field(default_factory=list)
    """The names under which its data sets are found in the joined one."""
    num_images: int = 0
    num_faces: int = 0
    is_labelled: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """What `join` wrote."""

    root: Path
    splits: tuple[JoinedSplit, ...]
    notes: tuple[str, ...]
    """Sentences about what the sources have and the joined data set does not."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One split of one source."""

    name: str
    split: str
    folder: Path
    images: Sequence[str]
    annotations: Sequence[Annotation] | None


def join(sources: Sequence[Path], out: Path, progress: Progress = lambda done, total: None) -> Joined:
    """Write the images and labels of all `sources` to the new folder `out`, each split with those of the same name.

    An event folder is named after its data set too (`crowds-0--Parade`), so that an image's origin stays visible,
    and the groups from which `crface train` holds some out stay apart. Images are hard links where the file system
    has them, else copies. Labels are exactly those of the sources. An interrupted run leaves no folder.

    Raises UsageError when a source is given twice or is a plain folder, and when `out` is not empty; UserError as
    `find_splits` and `read_annotations` do, and when the folder cannot be written.
    """
    roots = [Path(source).absolute() for source in sources]
    out = out.absolute()
    if len({root.resolve() for root in roots}) < len(roots):
        raise UsageError("a data set is given twice: name each once")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty: choose another --out, or delete it to join anew")
    parts, notes = _parts(roots)
    total, done = sum(len(part.images) for part in parts), 0
    splits: dict[str, JoinedSplit] = {}
    texts: dict[str, list[str]] = {}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            made = Path(scratch) / "joined"
            made.mkdir()
            for part in parts:
                images = made / f"WIDER_{part.split}" / "images"
                for image in part.images:
                    _link(part.folder / image, images / _joined_name(part.name, image))
                    progress(done := done + 1, total)
                split = splits.setdefault(part.split, JoinedSplit(part.split))
                split.sources.append(part.name)
                split.num_images += len(part.images)
                if part.annotations is not None:
                    split.is_labelled = True
                    split.num_faces += sum(len(one.faces) for one in part.annotations)
                    texts.setdefault(part.split, []).extend(_text(part))
            for name, lines in texts.items():
                text = made / "wider_face_split" / f"wider_face_{name}_bbx_gt.txt"
                text.parent.mkdir(exist_ok=True)
                text.write_text("\n".join(lines) + "\n", encoding="utf-8")
            if out.exists():
                out.rmdir()
            made.replace(out)
    except OSError as error:
        raise UserError(f"cannot write the data set {out}: {error.strerror or error}") from error
    return Joined(out, tuple(splits.values()), tuple(notes))


def _parts(roots: Sequence[Path]) -> tuple[list[_Part], list[str]]:
    """All splits of all sources that go into the joined data set, and what is left out, in words."""
    parts, notes = list[_Part](), list[str]()
    for name, root in zip(_names(roots), roots, strict=True):
        for split in find_splits(root):
            if split == PLAIN_SPLIT:
                raise UsageError(
                    f"{root} is a plain folder of images: make a data set of it first, by `crface dataset collect`"
                )
            files = split_files(root, split)
            annotations = read_annotations(files)
            images = list_images(files)[0] if annotations is None else [one.path for one in annotations]
            there = [image for image in images if (files.image_folder / image).is_file()]
            parts.append(_Part(name, split, files.image_folder, there, annotations))
            if absent := len(images) - len(there):
                notes.append(
                    f"{absent} of the {len(images)} images that {root} lists in {split} are not there"
                )
        if any(any(root.glob(pattern)) for pattern in _OFFICIAL):
            notes.append(f"the official settings of {root} are left out: they name its images as they were")
    labelled = {part.split for part in parts if part.annotations is not None}
    bare = [part for part in parts if part.annotations is None and part.split in labelled]
    notes += [
        f"{part.split} of {part.name} is left out: others have labels there, it has none" for part in bare
    ]
    return [part for part in parts if part not in bare], notes


def _names(roots: Sequence[Path]) -> Iterator[str]:
    """A name for each data set: its folder's, numbered from the second of that name on."""
    taken: set[str] = set()
    for root in roots:
        stem, number = root.resolve().name or "data", 1
        name = stem
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield name


def _joined_name(name: str, image: str) -> str:
    """`event/a.jpg` of the data set `name` as `name-event/a.jpg`; `a.jpg` as `name/a.jpg`."""
    return f"{name}-{image}" if len(PurePosixPath(image).parts) > 1 else f"{name}/{image}"


def _text(part: _Part) -> Iterator[str]:
    for one in part.annotations or ():
        faces = zip(one.faces.tolist(), one.attributes.tolist(), strict=True)
        yield from record(
            _joined_name(part.name, one.path),
            # nine digits give the same float32 corners when they are read again
            [
                [*(f"{value:.9g}" for value in (x1, y1, x2 - x1, y2 - y1)), *map(str, attributes)]
                for (x1, y1, x2, y2), attributes in faces
            ],
        )


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)
