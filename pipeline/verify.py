"""Verification of a workspace: everything stored is read, and whatever is damaged is named and cleared.

Checksums find the damage: crc32c in every shard, its index and the counts; SHA-256 in the index of images, the
ledger, rankers and checkpoints. Metadata of stores has no checksum, but its content is known. Damaged files are
removed, or rewritten if that needs no computing; the stage that made them then finds them missing.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

from pipeline.blocks.arrays import Layout, metadata
from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.store import CandidateStore, DamagedBlockError, RowStore, ScoreStore
from pipeline.dataset.index_file import IndexVersionError, read_index_file
from pipeline.errors import UserError
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, listed, local_copy, ways_down
from pipeline.workspace.writing import write_atomically

_GROUP = {"attributes": {}, "zarr_format": 3, "node_type": "group"}


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what was written."""

    path: Place
    words: str
    """What is wrong, and what is done about it."""


def verify_indexes(workspace: Workspace) -> list[Damage]:
    """Move damaged indexes of images aside; the data set must then be indexed again.

    Raises UserError for an index of another schema version, which is no damage.
    """
    damage = []
    for path in listed(workspace.index("x").parent, "*.parquet"):
        try:
            read_index_file(path)
        except IndexVersionError:
            raise
        except UserError:
            write_atomically(path.parent / f"{path.stem}.damaged", path.read_bytes())
            path.unlink()
            damage.append(
                Damage(path, f"is damaged: moved to {path.stem}.damaged, the images are indexed again")
            )
    return damage


def verify_candidates(
    workspace: Workspace, num_images: Mapping[str, int], progress: Callable[[int, int], None]
) -> list[Damage]:
    """Read all candidates of a workspace and clear what is damaged.

    `num_images` is the number of rows in each split's index; `progress` is called with blocks read and in total.
    """
    trees = workspace.root / "candidates.zarr", workspace.root / "ledger" / "candidates"
    return _verify_stores(CandidateStore, *trees, 4, num_images, progress)


def verify_scores(
    workspace: Workspace, num_images: Mapping[str, int], progress: Callable[[int, int], None]
) -> list[Damage]:
    """Read all refined confidences of a workspace and clear what is damaged, as `verify_candidates` does."""
    trees = workspace.root / "scores.zarr", workspace.root / "ledger" / "scores"
    return _verify_stores(ScoreStore, *trees, 5, num_images, progress)


def verify_rankers(workspace: Workspace) -> list[Damage]:
    """Read all rankers and checkpoints; damaged ones are removed, and training resumes from an earlier state."""
    from pipeline.train.checkpoints import damaged_checkpoints

    damage = []
    rankers = workspace.ranker("x").parent
    trainings = [rankers / way for way in ways_down(rankers, 1)]
    for folder in [part for training in trainings for part in (training, *listed(training, "fold-*"))]:
        for path in damaged_checkpoints(folder / "checkpoints"):
            path.unlink()
            damage.append(Damage(path, "is damaged: the training goes on from the checkpoint before it"))
        damaged = [path for path in listed(folder, "*.safetensors") if not _is_ranker(path)]
        for path in damaged:
            path.unlink()
            damage.append(Damage(path, "is damaged: it is made again by `crface train`"))
        looks = [path for path in listed(folder / "looks", "*.npz") if not _is_look(path)]
        damage += [Damage(path, "is damaged: the training starts again, unless it is done") for path in looks]
        if (looks or folder / "best.safetensors" in damaged) and not _is_trained(folder):
            # what was seen of a state, and the best so far, are in no checkpoint: the training must start again
            for path in (folder / "validation.csv", *looks, *listed(folder / "checkpoints", "*")):
                path.unlink(missing_ok=True)
    return damage


def _verify_stores(
    kind: type[RowStore],
    tree: Place,
    ledgers: Place,
    depth: int,
    num_images: Mapping[str, int],
    progress: Callable[[int, int], None],
) -> list[Damage]:
    stores = {way: tree / way for way in ways_down(tree, depth)}
    damage: list[Damage] = []
    done: dict[Place, dict[int, LedgerRow]] = {}
    for way, path in stores.items():
        ledger = Ledger(ledgers / way)
        damage += [
            Damage(file, "is damaged: the blocks that it recorded are computed again")
            for file in ledger.discard_damaged()
        ]
        done[path] = {number: row for number, row in ledger.read().items() if row.row_digests}
    num_read, num_blocks = 0, sum(map(len, done.values()))
    for way, path in stores.items():
        num_rows = num_images.get(way.parts[0], 0)
        damage += _verify_groups(path, tree)
        damage += _verify_arrays(path, kind.layout, done[path], num_rows)
        if not kind.exists(path):
            continue
        store = kind.open(path)
        for number, row in done[path].items():
            damage += _verify_block(store, number, row)
            num_read += 1
            progress(num_read, num_blocks)
    return damage


def _verify_block(store: RowStore, number: int, row: LedgerRow) -> Iterator[Damage]:
    words = f"is damaged: block {number}, images {row.start} to {row.stop - 1}, is computed again"
    shard, counts = store.block_files(number)
    if row.start != number * store.block_images or row.start >= store.num_images:
        return  # recorded under another block size, so not done anyway
    sizes = tuple(file.stat().st_size if file.exists() else -1 for file in (shard, counts))
    if sizes != row.shard_bytes:
        yield Damage(shard if sizes[0] != row.shard_bytes[0] else counts, words)
        return
    try:
        store.read_block(row.start)
    except DamagedBlockError:
        try:
            store.block_counts(row.start)
            damaged = shard
        except DamagedBlockError:
            damaged = counts
        store.discard_block(number)
        yield Damage(damaged, words)


def _verify_arrays(
    path: Place, layout: Layout, done: Mapping[int, LedgerRow], num_indexed: int
) -> Iterator[Damage]:
    """Compare the arrays' metadata with what it should be, and rewrite it if it differs."""
    files = [path / name for name in metadata(layout, 1, 1)]
    # the metadata itself is in question, so the block size is inferred from the sizes of the chunks
    sizes = Counter((file.stat().st_size - 4) // 4 for file in listed(path / "count" / "c", "[0-9]*"))
    if not sizes:
        return  # nothing is stored
    ((block_images, _),) = sizes.most_common(1)
    num_recorded = max((row.stop for row in done.values()), default=0)
    found = [_json(file) for file in files]
    allowed = range(num_recorded, max(num_recorded, num_indexed) + 1)
    num_images = next(
        (n for doc in found if (n := _num_images(doc)) in allowed), max(num_recorded, num_indexed)
    )
    for (name, data), doc in zip(metadata(layout, num_images, block_images).items(), found, strict=True):
        if doc != json.loads(data):
            write_atomically(path / name, data)
            yield Damage(path / name, "is not what this version writes: it is written anew")


def _verify_groups(path: Place, tree: Place) -> Iterator[Damage]:
    """Check the groups from a store up to its tree; damaged ones are rewritten empty, and the next run fills them."""
    for folder in (path, *path.parents):
        document = _json(folder / "zarr.json")
        attributes = document.get("attributes")
        is_sound = {**document, "attributes": {}} == _GROUP and isinstance(attributes, dict)
        if folder == path and isinstance(attributes, dict) and "parts" in attributes:
            is_sound = is_sound and fingerprint(attributes["parts"]) == path.name
        if not is_sound:
            write_atomically(folder / "zarr.json", json.dumps(_GROUP, indent=2).encode())
            yield Damage(folder / "zarr.json", "is damaged: it is written anew")
        if folder == tree:
            return


def _is_ranker(path: Place) -> bool:
    from crface import ranker

    try:
        with local_copy(path) as local:
            ranker.load(local)
    except ValueError:
        return False
    return True


def _is_look(path: Place) -> bool:
    from pipeline.train.looks import read_look

    try:
        read_look(path)
    except (OSError, ValueError, LookupError, BadZipFile):
        return False
    return True


def _is_trained(folder: Place) -> bool:
    """Whether the ranker is there that this folder's training, or fold, was for."""
    return (folder / "ranker.safetensors").exists() or (folder.parent / "ranker.safetensors").exists()


def _json(path: Place) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _num_images(document: Mapping[str, Any]) -> int:
    shape = document.get("shape")
    return shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) else -1
