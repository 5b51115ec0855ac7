"""The index of a split: every image with its hash, size, labels and state; its row numbers never change."""

import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from crface.array_shapes import RgbImage
from pipeline.dataset.annotations import Annotation
from pipeline.dataset.index_file import (
    Header,
    ImageRow,
    content_sha256,
    images_digest,
    label_bytes,
    labels_digest,
    read_index_file,
    read_index_part,
    write_index_file,
)
from pipeline.dataset.index_scan import scan_images
from pipeline.dataset.label_fit import index_fit
from pipeline.dataset.splits import (
    SplitFiles,
    annotation_text,
    annotations_in,
    list_images,
    missing_images,
    notes_on,
    split_files,
)
from pipeline.errors import UserError
from pipeline.images.decode import MAX_PIXELS, read_image
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import listed

__all__ = [
    "ImageRow",
    "Index",
    "IndexPart",
    "IndexUpdate",
    "load_index",
    "planned_index",
    "planned_rows",
    "update_index",
]


@dataclass(frozen=True, eq=False)
class Index:
    """One split's images, by row; immutable."""

    header: Header
    all_rows: tuple[ImageRow, ...]

    def __len__(self) -> int:
        """The number of rows, including those whose image is missing, unreadable or removed."""
        return len(self.all_rows)

    @property
    def split(self) -> str:
        """The split's name: "train", "val", ..., or "images" for a plain folder."""
        return self.header.split

    @property
    def data_root(self) -> Path:
        """The data set's folder, absolute."""
        return Path(self.header.data_root)

    @property
    def image_folder(self) -> Path:
        """The folder that the rows' paths are relative to, absolute."""
        return self.data_root / self.header.image_folder

    @property
    def is_labelled(self) -> bool:
        """Whether the split has an annotation text; without one, no faces means that they are not known."""
        return bool(self.header.annotations_sha256)

    def row(self, i: int) -> ImageRow:
        """Row `i`; IndexError beyond the end or below 0."""
        if i < 0:
            raise IndexError(f"row {i} of an index")
        return self.all_rows[i]

    def rows(self, start: int, stop: int) -> list[ImageRow]:
        """The rows `start:stop`; fewer at the end."""
        return list(self.all_rows[start:stop])

    def image_path(self, i: int) -> Path:
        """The absolute path of row `i`'s image, whatever its status."""
        return self.image_folder / self.row(i).path

    def read_image(self, i: int) -> RgbImage:
        """Row `i`'s decoded image, within the limit it was indexed with. Raises ImageError as `images.read_image`."""
        row = self.row(i)
        return read_image(self.image_path(i), max(MAX_PIXELS, row.width * row.height))

    @cached_property
    def ok_rows(self) -> tuple[int, ...]:
        """The rows whose image decodes: those to compute and to evaluate, ascending."""
        return tuple(row.row for row in self.all_rows if row.status == "ok")

    @cached_property
    def row_digests(self) -> tuple[str, ...]:
        """The hash of every row's image bytes; empty where the status is not ok."""
        return tuple(row.sha256 if row.status == "ok" else "" for row in self.all_rows)

    @cached_property
    def digest(self) -> str:
        """A hash of every row's image: path, bytes, status. Labels, times and the data root do not matter."""
        return images_digest(self.all_rows)

    @cached_property
    def labels_digest(self) -> str:
        """A hash of the labels of the rows with status ok; images, times and the data root do not matter."""
        return labels_digest(self.all_rows)


@dataclass(frozen=True, eq=False)
class IndexUpdate:
    """An index brought up to date, and what was found on the way."""

    index: Index
    added: int
    """The number of new rows, at the end."""
    changed: int
    """The number of old rows whose image has different bytes or a different status now."""
    relabelled: int
    """The number of old rows whose faces or attributes differ now."""
    removed: int
    """The number of old rows that are no longer listed; they stay, with the status removed."""
    unreadable: list[tuple[str, str]]
    """The path and reason of every listed image that is missing or unreadable now, new or not."""
    notes: tuple[str, ...]
    """Sentences about what lies in the data set and is left out."""
    is_written: bool
    """Whether the index file was written; False if it was up to date, or in a dry run."""

    @property
    def differences(self) -> list[str]:
        """The numbers of rows that differ from the old index, in words; empty if there are none."""
        counts = {
            "new": self.added,
            "changed": self.changed,
            "relabelled": self.relabelled,
            "removed": self.removed,
        }
        return [f"{count} {what}" for what, count in counts.items() if count]


def load_index(workspace: Workspace, split: str) -> Index:
    """A split's index, read from a workspace.

    Raises UserError if the workspace has none, or it is damaged.
    """
    path = workspace.index(split)
    try:
        header, rows = read_index_file(path)
    except FileNotFoundError:
        known = ", ".join(file.stem for file in listed(path.parent, "*.parquet")) or "none"
        raise UserError(
            f"the workspace {workspace.root} has no index of the split {split!r} (it has: {known}): "
            "make one with `crface dataset index`"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read the index {path}: {error.strerror or error}") from error
    return Index(header, tuple(rows))


@dataclass(frozen=True, eq=False)
class IndexPart:
    """Consecutive rows of an index, under their numbers in it."""

    header: Header
    start: int
    part_rows: tuple[ImageRow, ...]

    def row(self, i: int) -> ImageRow:
        """Row `i` of the index; IndexError if it is not in this part."""
        if i < self.start:
            raise IndexError(f"row {i} of a part of an index that begins at {self.start}")
        return self.part_rows[i - self.start]

    def image_path(self, i: int) -> Path:
        """The absolute path of row `i`'s image, whatever its status."""
        return Path(self.header.data_root) / self.header.image_folder / self.row(i).path


def planned_rows(workspace: Workspace, split: str, digest: str, start: int, stop: int) -> Index | IndexPart:
    """The rows that a worker's block was planned from, without loading an index of a million images.

    Raises UserError as `planned_index` does.
    """
    if (found := read_index_part(workspace.index(split), digest, start, stop)) is not None:
        header, rows = found
        return IndexPart(header, start, tuple(rows))
    return planned_index(workspace, split, digest)


@lru_cache(maxsize=1)
def planned_index(workspace: Workspace, split: str, digest: str) -> Index:
    """The index that a worker's blocks were planned from; kept in memory for the next block.

    Raises UserError as `load_index` does, and when the index found does not have that digest.
    """
    index = load_index(workspace, split)
    if index.digest != digest:
        raise UserError(
            f"a worker on {platform.node()} sees another index of {split} in {workspace.root} than this "
            "command: give every worker the same folder, and run the command again"
        )
    return index


def update_index(
    workspace: Workspace,
    data_root: Path,
    split: str,
    progress: Callable[[int, int], None] | None = None,
    *,
    is_dry_run: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> IndexUpdate:
    """Bring a split's index up to date with the files; nothing is written if nothing changed.

    Old rows keep their places: images new in the annotation file (or folder) come at the end; those no longer
    listed stay with the status removed, and return to the same row if they are listed again. A file is hashed
    and decoded only if its size or modification time differs from the index, or if it was not ok; a data set
    that has moved is followed. An image that is missing, damaged, or a link out of the data set gets a status
    and a reason, and the update goes on.

    Images of more than `max_pixels` count as unreadable. A dry run finds out all of this and writes nothing.

    `progress` is called with the images done and the total. Only one process may update a workspace at a time:
    hold `workspace.locked`.

    Raises UserError for a data set, annotation file or old index that cannot be read, or a split without
    images.
    """
    files = split_files(data_root, split)
    path = workspace.index(split)
    old = load_index(workspace, split) if path.exists() else None
    there, left_out = list_images(files)
    labels, text_sha256 = _labels(files, there, old)
    if labels is None:
        labels = {path: _without_labels(path) for path in there}
        notes = left_out + notes_on(files, there, None)
    else:
        notes = notes_on(files, there, labels)
    if not labels:
        raise UserError(
            f"the split {split!r} has no images: {files.annotations or files.image_folder} lists none"
        )
    old_rows = {row.path: row for row in old.all_rows} if old else {}
    order = [*old_rows, *(name for name in labels if name not in old_rows)]
    rows = scan_images(files, order, labels, old_rows, progress, max_pixels)
    header = Header(
        split=split,
        data_root=str(files.data_root),
        image_folder=files.image_folder.relative_to(files.data_root).as_posix(),
        annotations_sha256=text_sha256,
    )
    is_new = old is None or _differ(Index(header, tuple(rows)), old)
    if is_new and not is_dry_run:
        store_index(workspace, Index(header, tuple(rows)))
    counts = Counter(
        kind
        for row in rows
        if (before := old_rows.get(row.path)) and before is not row
        for kind in _changes(before, row)
    )
    return IndexUpdate(
        index=Index(header, tuple(rows)),
        added=len(rows) - len(old_rows),
        changed=counts["changed"],
        relabelled=counts["relabelled"],
        removed=counts["removed"],
        unreadable=[(row.path, row.reason) for row in rows if row.status in ("missing", "unreadable")],
        notes=(*notes, *label_notes(rows), *_damage(rows)),
        is_written=is_new and not is_dry_run,
    )


def _labels(
    files: SplitFiles, there: Sequence[str], old: Index | None
) -> tuple[Mapping[str, Annotation | ImageRow] | None, str]:
    """A split's labels by path, None if it has no text, and the hash of the text; `there` are the images found.

    Labels come from the old index where it was made of the same text and every image that it lists is in its place:
    the text says nothing else then, and reading it takes longer than everything else.
    """
    text = annotation_text(files)
    if text is None:
        return None, ""
    sha256 = hashlib.sha256(text).hexdigest()
    if old is not None and old.header.annotations_sha256 == sha256:
        listed = {row.path: row for row in old.all_rows if row.status != "removed"}
        found = set(there)  # without asking for each again
        if not missing_images(files, [path for path in listed if path not in found]):
            return listed, sha256
    return {annotation.path: annotation for annotation in annotations_in(text, files)}, sha256


def _differ(new: Index, old: Index) -> bool:
    is_same = new.header == old.header and len(new) == len(old)
    if is_same and all(row is before for row, before in zip(new.all_rows, old.all_rows, strict=True)):
        return False  # without hashing all of it
    return content_sha256(new.header, new.all_rows) != content_sha256(old.header, old.all_rows)


def label_notes(rows: Sequence[ImageRow]) -> list[str]:
    """A sentence on labels that end beyond their images; none if all fit."""
    sentence = index_fit(rows).sentence
    return [f"labels: {sentence}"] if sentence else []


def _damage(rows: Sequence[ImageRow]) -> list[str]:
    """A sentence on the images that decode although their data is damaged; none if there are none."""
    damaged = [row for row in rows if row.status == "ok" and row.reason]
    if not damaged:
        return []
    number = f"{len(damaged)} image{'s' * (len(damaged) > 1)}"
    return [f"{number} damaged, but decoded, such as {damaged[0].path}: {damaged[0].reason}"]


def store_index(workspace: Workspace, index: Index) -> None:
    """Write an index as that of its split.

    Raises UserError when it cannot be written.
    """
    path = workspace.index(index.split)
    try:
        write_index_file(path, index.header, index.all_rows)
    except OSError as error:
        raise UserError(f"cannot write the index {path}: {error.strerror or error}") from error


def _without_labels(path: str) -> Annotation:
    return Annotation(path, np.zeros((0, 4), np.float32), np.zeros((0, 6), np.int8))


def _changes(old: ImageRow, new: ImageRow) -> Iterable[str]:
    if new.status == "removed":
        return ["removed"] if old.status != "removed" else []
    kinds = ["changed"] if (old.sha256, old.status) != (new.sha256, new.status) else []
    return kinds + (["relabelled"] if label_bytes(old) != label_bytes(new) else [])
