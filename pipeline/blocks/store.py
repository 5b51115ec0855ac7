"""Candidates and refined confidences on disk: read by image, written by block, one writer per block.

Only the driver creates and resizes a store; a worker replaces the files of its block, each atomically, and
nothing else. What a store holds does not say what is done: only the ledger does.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
import zarr
from jaxtyping import Float32, Int32

from detectors import MAX_CANDIDATES
from pipeline.blocks.arrays import (
    NOT_COMPUTED,
    UNREADABLE,
    Layout,
    create,
    encoded_counts,
    encoded_values,
    zarr_store,
)
from pipeline.errors import UserError
from pipeline.workspace.place import Place, remove_leftovers
from pipeline.workspace.writing import write_atomically

_MOST_TOGETHER = 32
"""Images that are read at once: 3 MB of candidates."""

Rows = Float32[np.ndarray, "row *column"]
"""What is stored for one image: its candidates, or their refined confidences."""


class NotComputed(UserError):  # noqa: N818 - no error to a caller that only asks what is stored
    """Nothing is stored for an image."""


class ImageUnreadable(NotComputed):
    """Nothing is stored for an image because it could not be read; computing again will not help."""


class DamagedBlockError(UserError):
    """A block's files are not what was written; the message names the block and the remedy."""


class RowStore:
    """The rows of each image and their number; made by `open` or `create_or_grow` of one of the two subclasses."""

    layout: ClassVar[Layout]

    def __init__(self, path: Place, group: zarr.Group):
        values, count = group[self.layout.array], group["count"]
        if not isinstance(values, zarr.Array) or not isinstance(count, zarr.Array) or not values.shards:
            raise ValueError("its arrays are not those that this version writes")
        if values.dtype != np.dtype("float32") or count.dtype != np.dtype("int32"):
            raise ValueError("its arrays are not those that this version writes")
        if 0 in (*values.shards, *values.chunks, *count.chunks):
            raise ValueError("it has chunks without a row")
        self.path = path
        self.attrs: dict[str, Any] = dict(group.attrs)
        self.num_images: int = count.shape[0]
        self.block_images: int = values.shards[0]
        self._values = values
        self._count = count

    @classmethod
    def open(cls, path: Place) -> Self:
        """An existing store, for reading rows and writing blocks.

        Raises NotComputed when there is no store, UserError when its metadata is damaged.
        """
        if not cls.exists(path):
            raise NotComputed(f"nothing is stored in {path}: run `{cls.layout.command}` first")
        try:
            return cls(path, zarr.open_group(zarr_store(path, read_only=True), mode="r"))
        # ArithmeticError: Zarr divides by the lengths of chunks
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise UserError(
                f"the store {path} has damaged metadata ({error}): run `{cls.layout.command} --verify` to "
                "repair it, or delete this folder to compute it again"
            ) from error

    @classmethod
    def exists(cls, path: Place) -> bool:
        """Whether a store was created there, whatever it holds."""
        return (path / "count" / "zarr.json").is_file()  # written last

    @classmethod
    def create_or_grow(
        cls, path: Place, num_images: int, block_images: int, attrs: Mapping[str, Any]
    ) -> Self:
        """The store with room for `num_images`, created or resized; for the driver while no worker runs.

        An existing store keeps its rows and its block size; its attributes become `attrs` (JSON values).
        Half-written files of killed writers are removed.

        Raises UserError when an existing store's metadata is damaged.
        """
        if not cls.exists(path):
            create(path, cls.layout, num_images, block_images)
        cls.tidy(path)
        store = cls.open(path)
        wanted: dict[str, Any] = json.loads(json.dumps(attrs))
        if store.attrs != wanted or store.num_images != num_images:
            group = zarr.open_group(zarr_store(path), mode="r+")
            group.attrs.put(wanted)
            for name in (cls.layout.array, "count"):
                array = group[name]
                assert isinstance(array, zarr.Array)
                array.resize((num_images, *array.shape[1:]))
            store = cls.open(path)
        return store

    @staticmethod
    def tidy(path: Place) -> None:
        """Remove half-written files of killed writers, if there is a store; for the driver while no worker runs."""
        remove_leftovers(path, "*/c/**/.*")

    def counts(self) -> Int32[np.ndarray, " image"]:
        """Each image's number of rows, or NOT_COMPUTED, or UNREADABLE.

        Raises DamagedBlockError.
        """
        try:
            return np.asarray(self._count[:], np.int32)
        except ValueError:
            starts = range(0, self.num_images, self.block_images)
            return np.concatenate([self.block_counts(start) for start in starts])  # names the damaged one

    def read(self, row: int) -> Rows:
        """One image's rows, possibly none; reads that image's chunk, not the whole shard.

        Raises NotComputed (ImageUnreadable if the image could not be read), DamagedBlockError, IndexError.
        """
        if not 0 <= row < self.num_images:
            raise IndexError(f"row {row} of {self.num_images}")
        number = row // self.block_images
        with self._undamaged(number):
            count = int(np.asarray(self._count[row]))
        if count == NOT_COMPUTED:
            raise NotComputed(f"row {row} of {self.path} is not computed yet: run `{self.layout.command}`")
        if count == UNREADABLE:
            raise ImageUnreadable(f"row {row} of {self.path} is empty: its image could not be read")
        with self._undamaged(number):
            return _real_rows(np.asarray(self._values[row]), count)

    def read_each(self, rows: Sequence[int]) -> Iterator[Rows]:
        """The rows of some images in turn, as `read` gives them, in a third of its time where they lie together.

        Raises as `read` does.
        """
        for group in _neighbours(rows, self.block_images):
            yield from map(self.read, group) if len(group) == 1 else self._together(group)

    def _together(self, rows: Sequence[int]) -> Iterator[Rows]:
        """The rows of images that lie side by side in one block, from one look at its files."""
        number, first = rows[0] // self.block_images, rows[0]
        is_inside = first >= 0 and rows[-1] < self.num_images
        counts = (
            self.block_counts(number * self.block_images)[first % self.block_images :] if is_inside else None
        )
        if counts is None or (counts[: len(rows)] < 0).any():
            yield from map(self.read, rows)  # which says what is wrong, and of which row
            return
        with self._undamaged(number):
            values = np.asarray(self._values[first : first + len(rows)])
            found = [_real_rows(row, int(count)) for row, count in zip(values, counts, strict=False)]
        yield from found

    def read_block(self, start: int) -> list[Rows | None]:
        """The rows of every image of the block that begins at `start`, None where nothing is stored.

        Raises DamagedBlockError, and ValueError when no block begins there.
        """
        stop = self._block_stop(start)
        counts = self.block_counts(start)
        if (counts < 0).all():  # there may be no shard at all
            return [None] * len(counts)
        with self._undamaged(start // self.block_images):
            values = np.asarray(self._values[start:stop])
            return [
                None if count < 0 else _real_rows(row, int(count))
                for row, count in zip(values, counts, strict=True)
            ]

    def write_block(self, start: int, rows: Sequence[Rows | None]) -> tuple[int, ...]:
        """Replace one whole block, None standing for an unreadable image; returns the sizes of its files.

        Meanwhile, readers find the block not computed. The old content is not read, so damage in it is harmless.

        Raises ValueError when `rows` do not cover exactly one block or an image's rows have the wrong shape.
        """
        stop = self._block_stop(start)
        if len(rows) != stop - start:
            raise ValueError(
                f"rows {start}:{start + len(rows)} of {self.path} cut a block, whose rows are {start}:{stop}"
            )
        values = np.zeros((len(rows), *self.layout.row_shape), np.float32)
        counts = np.full(len(rows), UNREADABLE, np.int32)
        for i, row in enumerate(rows):
            if row is None:
                continue
            if row.ndim != values.ndim - 1 or row.shape[1:] != values.shape[2:] or len(row) > MAX_CANDIDATES:
                raise ValueError(
                    f"row {start + i}: shape {row.shape} does not fit into {self.layout.row_shape}"
                )
            values[i, : len(row)] = row
            counts[i] = len(row)
        if np.isnan(values).any():
            raise ValueError(f"rows {start}:{stop} of {self.path}: there are values that are no numbers")
        values_file, count_file = self.block_files(start // self.block_images)
        shard = encoded_values(values, self.layout, self.block_images)
        count_file.unlink(missing_ok=True)  # new rows must never be read with old counts
        write_atomically(values_file, shard)
        chunk = encoded_counts(counts, self.block_images)
        write_atomically(count_file, chunk)
        # not the sizes on disk: if this worker was given up for lost, another may just be replacing the files
        return len(shard), len(chunk)

    def block_files(self, number: int) -> tuple[Place, Place]:
        """The files of a block: its shard and its counts."""
        values, count = self._block_names(number)
        return self.path / values, self.path / count

    def discard_block(self, number: int) -> None:
        """Remove a block's files, so that it is computed again."""
        for file in self.block_files(number):
            file.unlink(missing_ok=True)

    def shard_bytes(self) -> dict[int, tuple[int, ...]]:
        """The sizes of both files of every block that has both, without opening any."""
        blocks = {
            number: self._block_names(number) for number in range(-(-self.num_images // self.block_images))
        }
        if not isinstance(
            self.path, Path
        ):  # listing takes one request per thousand files, `stat` one per file
            found = self.path.below()
            return {
                number: tuple(found[name] for name in names)
                for number, names in blocks.items()
                if all(name in found for name in names)
            }
        sizes: dict[int, tuple[int, ...]] = {}
        for number, names in blocks.items():
            with suppress(FileNotFoundError):
                # a Path for each of many files takes longer than the call
                sizes[number] = tuple(os.stat(f"{self.path}/{name}").st_size for name in names)  # noqa: PTH116
        return sizes

    def _block_names(self, number: int) -> tuple[str, str]:
        """The files of a block, as their paths below the store's."""
        values = "/".join([self.layout.array, "c", str(number), *("0" for _ in self.layout.row_shape)])
        return values, f"count/c/{number}"

    def _block_stop(self, start: int) -> int:
        if start % self.block_images or not 0 <= start < self.num_images:
            raise ValueError(
                f"row {start} of {self.path} begins no block: blocks begin on multiples of "
                f"{self.block_images}, below {self.num_images}"
            )
        return min(start + self.block_images, self.num_images)

    def block_counts(self, start: int) -> Int32[np.ndarray, " image"]:
        """`counts` for the images of the block that begins at `start`. Raises DamagedBlockError."""
        with self._undamaged(start // self.block_images):
            return np.asarray(self._count[start : self._block_stop(start)], np.int32)

    @contextmanager
    def _undamaged(self, number: int) -> Iterator[None]:
        try:
            yield
        except ValueError as error:  # Zarr's answer to a wrong checksum or length
            start = number * self.block_images
            rows = f"rows {start}:{min(start + self.block_images, self.num_images)}"
            raise DamagedBlockError(
                f"block {number} ({rows}) of {self.path} is damaged ({error}): run "
                f"`{self.layout.command} --verify` to compute it again"
            ) from error


@final
class CandidateStore(RowStore):
    """Candidates: `boxes`, float32 [images, 5000, 5]; an image reads as [n, 5], `x1 y1 x2 y2 confidence`."""

    layout = Layout("boxes", (MAX_CANDIDATES, 5), ("image", "candidate", "column"), "crface cache")


@final
class ScoreStore(RowStore):
    """Refined confidences: `scores`, float32 [images, 5000], in the order of boxes; an image reads as [n]."""

    layout = Layout("scores", (MAX_CANDIDATES,), ("image", "candidate"), "crface rank")


def _neighbours(rows: Sequence[int], block_images: int) -> Iterator[list[int]]:
    """The rows in order, in groups of at most 32 that follow each other in one block."""
    group: list[int] = []
    for row in rows:
        is_next = group and row == group[-1] + 1 and row % block_images and len(group) < _MOST_TOGETHER
        if group and not is_next:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _real_rows(values: Float32[np.ndarray, "row *column"], count: int) -> Rows:
    if np.isnan(values.flat[0]):
        raise ValueError("its rows are missing")
    return values[:count]
