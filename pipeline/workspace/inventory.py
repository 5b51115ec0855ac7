"""What is in a workspace: every file that the project wrote, gathered into the pieces that it belongs to.

A piece is recognised by the place of its files in the layout (`pipeline.workspace.layout`). A file that fits no
pattern, a symbolic link and all that lies behind one belong to no piece: the project did not write them, and nothing
here removes them.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, UrlPath

_KEY = r"(?P<split>[^/]+)/(?P<detector>[^/]+)/(?P<protocol>[^/]+)/(?P<fingerprint>[0-9a-f]{16})"
_STORE = r"(zarr\.json|(boxes|scores|count)/(zarr\.json|c(/\d+)+))"
_LEDGER = r"(blocks\.parquet|block-\d+\.parquet|set_aside\.json|home\.json)"
_RANKER = (
    r"(fold-\d+/)?(parts\.json|config\.toml|gate\.json|ranker\.safetensors|best\.safetensors|metrics\.csv|"
    r"validation\.csv|looks/step-\d+\.npz|events\.out\.[^/]+|failed-step-\d+\.npz|checkpoints/step-\d+\.safetensors)"
)

_PATTERNS: Final = [
    (kind, re.compile(rf"(?P<root>(subsets/(?P<subset>\d+)/)?){pattern}"))
    for kind, pattern in (
        ("index", r"dataset/(?P<split>[^/]+)\.(parquet|damaged)"),
        ("candidates", rf"candidates\.zarr/{_KEY}/{_STORE}"),
        ("candidates", rf"ledger/candidates/{_KEY}/{_LEDGER}"),
        ("scores", rf"scores\.zarr/{_KEY}/(?P<ranker>[0-9a-f]{{16}})/{_STORE}"),
        ("scores", rf"ledger/scores/{_KEY}/(?P<ranker>[0-9a-f]{{16}})/{_LEDGER}"),
        ("ranker", rf"rankers/(?P<fingerprint>[0-9a-f]{{16}})/{_RANKER}"),
        ("imports", r"imports/[^/]+/[^/]+\.json"),
        ("results", r"results/(ablation/)?[^/]+\.(parquet|json|txt)"),
    )
]
_GROUP: Final = re.compile(r"(subsets/\d+/)?(candidates|scores)\.zarr(/[^/]+){1,4}/zarr\.json")
"""The metadata of a group of stores, which belongs to all that are below."""
_SAYS_DONE: Final = re.compile(r"(subsets/\d+/)?(ledger/.+|.+/ranker\.safetensors)")
_LEFTOVER: Final = re.compile(r"\.(.+)\.[a-z0-9_]{8}")
"""The name of a file whose writer was killed, as `pipeline.workspace.writing` makes them."""


class Piece(NamedTuple):
    """The name of one piece of a workspace; what does not apply to its kind is empty."""

    kind: str
    """index, candidates, scores, ranker, imports or results."""
    subset: str = ""
    """The number of images of the subset that it is in; empty for the workspace itself."""
    split: str = ""
    detector: str = ""
    """The name of the detector's folder."""
    protocol: str = ""
    fingerprint: str = ""
    ranker: str = ""
    """For scores, the fingerprint of their ranker."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files of a workspace by piece, with their sizes in bytes; paths are relative to the workspace."""

    pieces: Mapping[Piece, Mapping[str, int]]
    others: Mapping[str, int]
    """Files of no piece: the data set, the report, and what others put there."""

    def size(self, piece: Piece) -> int:
        """The bytes of a piece."""
        return sum(self.pieces[piece].values())


def take_inventory(workspace: Workspace) -> Inventory:
    """All files of a workspace by piece; no file is opened, no symbolic link followed.

    Raises OSError when a store below a URL does not answer.
    """
    pieces: dict[Piece, dict[str, int]] = {}
    others: dict[str, int] = {}
    for name, size in sorted(_files(workspace.root).items()):
        piece = _piece_of(name)
        (others if piece is None else pieces.setdefault(piece, {}))[name] = size
    return Inventory(pieces, others)


def remove(workspace: Workspace, inventory: Inventory, pieces: Iterable[Piece]) -> None:
    """Remove pieces, then the folders that this empties; the caller holds the workspace's lock.

    What says that something is done goes first (the ledger of a store, the file of a trained ranker), so that an
    interruption leaves nothing that seems whole.

    Raises OSError when a file cannot be removed.
    """
    gone = {name for piece in pieces for name in inventory.pieces[piece]}
    kept = {*inventory.others, *(name for files in inventory.pieces.values() for name in files)} - gone
    ordered = sorted(gone, key=lambda name: (_SAYS_DONE.fullmatch(name) is None, name))
    for name in [*ordered, *_empty_groups(gone, kept)]:
        (workspace.root / name).unlink(missing_ok=True)
    if isinstance(workspace.root, Path):
        for name in sorted(
            {str(above) for one in gone for above in PurePosixPath(one).parents}, reverse=True
        ):
            folder = workspace.root / name
            if name.count("/") and not folder.is_symlink() and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _piece_of(name: str) -> Piece | None:
    folder, _, last = name.rpartition("/")
    written = _LEFTOVER.fullmatch(last)
    whole = f"{folder}/{written[1] if written else last}"
    for kind, pattern in _PATTERNS:
        if found := pattern.fullmatch(whole):
            named = {key: value for key, value in found.groupdict().items() if key in Piece._fields and value}
            return Piece(kind, **named)
    return None


def _empty_groups(gone: set[str], kept: set[str]) -> list[str]:
    """The metadata of groups below which nothing is left, deepest first."""
    folders = {str(above) for name in gone for above in PurePosixPath(name).parents}
    groups = [name for name in kept if _GROUP.fullmatch(name) and name.removesuffix("/zarr.json") in folders]
    left = {str(above) for name in kept.difference(groups) for above in PurePosixPath(name).parents}
    return sorted((name for name in groups if name.removesuffix("/zarr.json") not in left), reverse=True)


def _files(root: Place) -> dict[str, int]:
    """The sizes of all files, by their path relative to the root."""
    if isinstance(root, UrlPath):
        return root.below()
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                found[path.relative_to(root).as_posix()] = path.stat().st_size
    return found
