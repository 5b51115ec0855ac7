"""Labels of the sources carried over to the data set collected from them, as WIDER FACE annotation text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float64

from crface.text import cropped, quoted
from pipeline.collect.gathering import SPLIT, Collected
from pipeline.collect.label_files import LabelledImage, read_labels
from pipeline.collect.record import Entry
from pipeline.dataset.annotations import record
from pipeline.dataset.label_fit import LabelFit, LabelledSize, label_fit
from pipeline.dataset.names import Matches, match_names
from pipeline.errors import UserError
from pipeline.workspace.writing import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The outcome of labelling a data set."""

    num_images: int
    """The number of kept images with labels, including faceless ones."""
    num_faces: int
    unlabelled: tuple[str, ...]
    """Kept images without labels: not in the annotation text, so that no stage takes them for faceless."""
    dropped: tuple[str, ...]
    """Labelled names whose image was dropped as a near-duplicate."""
    unknown: tuple[str, ...]
    """Labelled names that no image of the sources has."""
    fit: LabelFit
    """How the labels fit the images that have some."""


def annotation_text(root: Path) -> Path:
    """The path of the data set's annotation text."""
    return root / "wider_face_split" / f"wider_face_{SPLIT}_bbx_gt.txt"


def label(collected: Collected, paths: Sequence[Path], categories: Sequence[str] = ()) -> Labelled:
    """Write the annotation text of the kept images that the label files mention.

    A name stands for the image whose source path ends with it (`x.jpg`, `photos/x.jpg`), or that is called so in the
    data set (`event/name.jpg`, which is how frames of videos are named).

    Raises UsageError and UserError as `read_labels` does, and UserError where a name fits several images, an image
    is labelled twice or has another size than its labels say, none fits, or another annotation text is there already.
    """
    entries = [entry for entry in collected.entries if entry.image]
    by_end = _by_end(entries)
    found: dict[str, LabelledImage] = {}
    dropped, unknown = [], []
    labels = read_labels(paths, categories)
    matches = match_names((image.name for image in labels), by_end)
    for image in labels:
        entry = _entry(image, by_end, matches)
        if entry is None:
            unknown.append(image.name)
        elif entry.outcome != "kept":
            dropped.append(image.name)
        else:
            _check_size(image, entry)
            if entry.image in found:
                raise UserError(
                    f"{image.source}: {cropped(image.name)} is labelled already in {found[entry.image].source}"
                )
            found[entry.image] = image
    if not found:
        raise UserError(
            f"no kept image has labels in {', '.join(map(str, paths))}: compare the names in them"
        )
    kept = [entry.image for entry in collected.of("kept")]
    _write(annotation_text(collected.root), _text([(name, found[name]) for name in kept if name in found]))
    return Labelled(
        num_images=len(found),
        num_faces=sum(len(image.boxes_xywh) for image in found.values()),
        unlabelled=tuple(name for name in kept if name not in found),
        dropped=tuple(dropped),
        unknown=tuple(unknown),
        fit=label_fit(
            [
                LabelledSize(
                    entry.image, _corners(found[entry.image].boxes_xywh), entry.width or 0, entry.height or 0
                )
                for entry in collected.of("kept")
                if entry.image in found
            ]
        ),
    )


def _corners(boxes_xywh: Float64[np.ndarray, "face 4"]) -> Float64[np.ndarray, "face 4"]:
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def _by_end(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries by every ending of their source's path, and of their name in the data set."""
    ends: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        for path in [entry.image, *([entry.source] if entry.frame is None else [])]:
            parts = [part for part in PurePosixPath(path).parts if part != "/"]
            for start in range(len(parts)):
                ends["/".join(parts[start:])][entry.image] = entry
    return {end: list(found.values()) for end, found in ends.items()}


def _entry(image: LabelledImage, by_end: Mapping[str, Sequence[Entry]], matches: Matches) -> Entry | None:
    ends: Sequence[str] = matches.ambiguous.get(image.name, ())
    if not ends and (name := matches.doubled.get(image.name, image.name)) in matches.found:
        ends = (matches.found[name],)
    fitting = list({entry.image: entry for end in ends for entry in by_end[end]}.values())
    if len(fitting) > 1:
        names = " and ".join(entry.image for entry in fitting[:2])
        raise UserError(
            f"{image.source}: {quoted(image.name)} could be {names}: write more of the path in the labels"
        )
    return fitting[0] if fitting else None


def _check_size(image: LabelledImage, entry: Entry) -> None:
    if image.size is None or image.size == (entry.width, entry.height):
        return
    labelled, is_ = (f"{width} x {height}" for width, height in (image.size, (entry.width, entry.height)))
    hint = (
        "turned by its EXIF orientation, which is not applied here?"
        if image.size[0] == entry.height
        else "resized?"
    )
    raise UserError(
        f"{image.source}: the labels of {cropped(image.name)} are for {labelled} pixels, it has {is_}: {hint}"
    )


def _text(images: Sequence[tuple[str, LabelledImage]]) -> str:
    lines = []
    for name, image in images:
        faces = zip(image.boxes_xywh.tolist(), image.attributes.tolist(), strict=True)
        lines += record(name, [[*map(_number, box), *map(str, attributes)] for box, attributes in faces])
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """A number as text: whole pixels as WIDER FACE writes them, others to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _write(path: Path, text: str) -> None:
    try:
        if path.is_file() and path.read_bytes() != text.encode():
            raise UserError(f"{path} holds other labels than these: move it away, and run the command again")
        write_atomically(path, text.encode())
    except OSError as error:
        raise UserError(f"cannot write the labels {path}: {error.strerror or error}") from error
