"""The Zarr v3 arrays of a store, and the bytes of a block's files.

A store is a group of two arrays: `boxes` or `scores`, one inner chunk per image and one shard per block,
compressed with zstd; and `count`, one chunk per block, which says how many of an image's rows are real. crc32c
protects every inner chunk, every shard's index, and the counts.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from jaxtyping import Float32, Int32
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore

from pipeline.workspace.place import Place

NOT_COMPUTED: Final = -1
"""The count of an image for which nothing has been computed."""
UNREADABLE: Final = -2
"""The count of an image that could not be read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What distinguishes one kind of store from another."""

    array: str
    row_shape: tuple[int, ...]
    """The shape of one image in the array: the maximum number of rows, and of columns if there are any."""
    dimensions: tuple[str, ...]
    command: str
    """The command that computes the blocks of such a store, for messages."""


def zarr_store(place: Place, read_only: bool = False) -> Store:
    """The Zarr store that reads and writes a place."""
    if isinstance(place, Path):
        return LocalStore(place, read_only=read_only)
    return FsspecStore.from_url(place.url, {"use_listings_cache": False}, read_only=read_only)


def create(path: Place, layout: Layout, num_images: int, block_images: int) -> None:
    """Create the group and its arrays, with nothing computed; the counts come last, so they mark it complete."""
    # folders from `*.zarr` down become groups, so that all stores of a workspace open as one tree
    group_names: list[str] = []
    root = path
    while root.suffix != ".zarr" and root.parent != root:
        group_names.insert(0, root.name)
        root = root.parent
    if root.suffix != ".zarr":
        root, group_names = path, []
    group = zarr.open_group(zarr_store(root), mode="a")
    if group_names:
        group.require_group("/".join(group_names))
    _values_array(zarr_store(path / layout.array), layout, num_images, block_images)
    _count_array(zarr_store(path / "count"), num_images, block_images)


def metadata(layout: Layout, num_images: int, block_images: int) -> dict[str, bytes]:
    """The metadata files of a store's two arrays as `create` writes them, by their paths in the store."""
    files: dict[str, bytes] = {}
    for name, make in (("count", _count_array), (layout.array, partial(_values_array, layout=layout))):
        memory: dict[str, Any] = {}
        make(MemoryStore(memory), num_images=num_images, block_images=block_images)
        files[f"{name}/zarr.json"] = bytes(memory["zarr.json"].to_bytes())
    return files


# To write a block into a shard, Zarr reads the shard first, which fails on a damaged one and keeps its old
# content. So Zarr encodes a block in memory, in an array of just this block, and its file is replaced whole.


def encoded_values(values: Float32[np.ndarray, "image *row"], layout: Layout, block_images: int) -> bytes:
    """The shard that holds a block's values: `block_images` images, or fewer in the last block."""
    memory: dict[str, Any] = {}
    _values_array(MemoryStore(memory), layout, len(values), block_images)[:] = values
    return bytes(memory["/".join(["c", *"0" * values.ndim])].to_bytes())


def encoded_counts(counts: Int32[np.ndarray, " image"], block_images: int) -> bytes:
    """The chunk that holds a block's counts; the same size for every block of a store."""
    memory: dict[str, Any] = {}
    _count_array(MemoryStore(memory), len(counts), block_images)[:] = counts
    return bytes(memory["c/0"].to_bytes())


def _values_array(store: Store, layout: Layout, num_images: int, block_images: int) -> "zarr.Array[Any]":
    return zarr.create_array(
        store,
        shape=(num_images, *layout.row_shape),
        chunks=(1, *layout.row_shape),
        shards=(block_images, *layout.row_shape),
        dtype="float32",
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        fill_value=np.nan,  # no stored value is NaN, so a lost chunk cannot pass for zeros
        dimension_names=layout.dimensions,
        config={"write_empty_chunks": True},
        overwrite=True,
    )


def _count_array(store: Store, num_images: int, block_images: int) -> "zarr.Array[Any]":
    return zarr.create_array(
        store,
        shape=(num_images,),
        chunks=(block_images,),
        dtype="int32",
        compressors=[Crc32cCodec()],
        fill_value=NOT_COMPUTED,
        dimension_names=("image",),
        config={"write_empty_chunks": True},
        overwrite=True,
    )
