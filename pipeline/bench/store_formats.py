"""Ways to keep candidates on disk: this package's store, and what one would take instead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crface.array_shapes import ScoredBoxes
from pipeline.blocks.store import CandidateStore

BLOCK_IMAGES: Final = 32
OWN: Final = "crface's store"
HDF5: Final = "HDF5 a block, gzip"

_COLUMNS: Final = ("x1", "y1", "x2", "y2", "confidence")


@dataclass(frozen=True, slots=True)
class Format:
    """How one format keeps candidates in a folder."""

    write: Callable[[Path, Sequence[ScoredBoxes]], None]
    """Write the candidates of all images into an empty folder."""
    reader: Callable[[Path], Callable[[int], ScoredBoxes]]
    """Open the folder; the answer reads one image."""


def formats() -> dict[str, Format]:
    """Every format that can be written here, by its name."""
    found = {
        OWN: Format(_write_store, _read_store),
        ".npz an image": Format(_write_npz, _read_npz),
        ".npy an image": Format(_write_npy, _read_npy),
        "Parquet an image": Format(_write_parquet, _read_parquet),
        "Parquet a block": Format(_write_groups, _read_groups),
    }
    return found | ({HDF5: Format(_write_hdf5, _read_hdf5)} if find_spec("h5py") else {})


def write_blocks(store: Path, images: Sequence[ScoredBoxes], numbers: Sequence[int]) -> None:
    """Write the blocks of these numbers into a store of this package that was made before."""
    opened = CandidateStore.open(store)
    for number in numbers:
        start = number * BLOCK_IMAGES
        opened.write_block(start, images[start : start + BLOCK_IMAGES])


def make_store(store: Path, num_images: int) -> None:
    """An empty store of this package."""
    CandidateStore.create_or_grow(store, num_images, BLOCK_IMAGES, {})


def _blocks(images: Sequence[ScoredBoxes]) -> list[tuple[int, Sequence[ScoredBoxes]]]:
    starts = range(0, len(images), BLOCK_IMAGES)
    return [(start // BLOCK_IMAGES, images[start : start + BLOCK_IMAGES]) for start in starts]


def _write_store(folder: Path, images: Sequence[ScoredBoxes]) -> None:
    make_store(folder / "store", len(images))
    write_blocks(folder / "store", images, range(len(_blocks(images))))


def _read_store(folder: Path) -> Callable[[int], ScoredBoxes]:
    return CandidateStore.open(folder / "store").read


def _write_npz(folder: Path, images: Sequence[ScoredBoxes]) -> None:
    for number, rows in enumerate(images):
        np.savez_compressed(folder / f"{number:06d}.npz", candidates=rows)


def _read_npz(folder: Path) -> Callable[[int], ScoredBoxes]:
    def read(number: int) -> ScoredBoxes:
        with np.load(folder / f"{number:06d}.npz", allow_pickle=False) as file:
            return np.asarray(file["candidates"])

    return read


def _write_npy(folder: Path, images: Sequence[ScoredBoxes]) -> None:
    for number, rows in enumerate(images):
        np.save(folder / f"{number:06d}.npy", rows)


def _read_npy(folder: Path) -> Callable[[int], ScoredBoxes]:
    return lambda number: np.asarray(np.load(folder / f"{number:06d}.npy", allow_pickle=False))


def _table(rows: ScoredBoxes) -> pa.Table:
    return pa.table(dict(zip(_COLUMNS, np.ascontiguousarray(rows.T), strict=True)))


def _rows(table: pa.Table) -> ScoredBoxes:
    return np.column_stack([table.column(name).to_numpy() for name in _COLUMNS])


def _write_parquet(folder: Path, images: Sequence[ScoredBoxes]) -> None:
    for number, rows in enumerate(images):
        pq.write_table(
            _table(rows), folder / f"{number:06d}.parquet", compression="zstd", use_dictionary=False
        )


def _read_parquet(folder: Path) -> Callable[[int], ScoredBoxes]:
    return lambda number: _rows(pq.read_table(folder / f"{number:06d}.parquet"))


def _write_groups(folder: Path, images: Sequence[ScoredBoxes]) -> None:
    schema = pa.schema([(name, pa.float32()) for name in _COLUMNS])
    for number, block in _blocks(images):
        file = folder / f"{number:06d}.parquet"
        with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
            for rows in block:
                writer.write_table(_table(rows))  # a row group of its own, empty ones too


def _read_groups(folder: Path) -> Callable[[int], ScoredBoxes]:
    def read(number: int) -> ScoredBoxes:
        block, group = divmod(number, BLOCK_IMAGES)
        with pq.ParquetFile(folder / f"{block:06d}.parquet") as file:
            return _rows(file.read_row_group(group))

    return read


def _write_hdf5(folder: Path, images: Sequence[ScoredBoxes]) -> None:
    import h5py  # type: ignore[import-not-found] # not among this package's requirements

    for number, block in _blocks(images):
        with h5py.File(folder / f"{number:06d}.h5", "w") as file:
            for place, rows in enumerate(block):
                file.create_dataset(str(place), data=rows, compression="gzip", shuffle=True)


def _read_hdf5(folder: Path) -> Callable[[int], ScoredBoxes]:
    import h5py

    def read(number: int) -> ScoredBoxes:
        block, place = divmod(number, BLOCK_IMAGES)
        with h5py.File(folder / f"{block:06d}.h5") as file:
            rows: Any = file[str(place)]
            return np.asarray(rows[:])

    return read
