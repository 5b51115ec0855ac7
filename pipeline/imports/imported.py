"""Imported candidates under the name that stages know them by: `imported:NAME` in place of a detector.

`imports/<split>/<NAME>.json` records which store NAME stands for. It is written once an import is stored
completely: until then, and after a failed import, NAME keeps its previous meaning.
"""

import json
from dataclasses import dataclass
from typing import Final

from pipeline.blocks.complete import missing_blocks
from pipeline.blocks.plan import Block, describe
from pipeline.dataset.index import Index
from pipeline.errors import UsageError, UserError
from pipeline.workspace.fingerprint import Parts, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import listed
from pipeline.workspace.writing import write_atomically

PREFIX: Final = "imported:"
"""Start of a detector's name whose candidates are not computed here."""


@dataclass(frozen=True, slots=True)
class ImportedPlan:
    """What a split lacks of a detector's imported candidates; like a plan of the cache stage, but not computable."""

    key: CandidateKey
    parts: Parts
    """Everything that the key's fingerprint covers."""
    blocks: list[Block]
    """Blocks that lack candidates, or have those of another image."""
    block_images: int

    @property
    def reasons(self) -> list[str]:
        """What is lacking, in words; empty when nothing is."""
        return describe(self.blocks)

    @property
    def input_size(self) -> str:
        """The size at which the detector saw the images, in words, as in a plan of the cache stage."""
        return "unknown"

    @property
    def advice(self) -> str:
        """What the user can do about what is lacking."""
        return (
            f"the candidates of {self.key.detector} on the {self.key.split} split cannot be computed here "
            f"({', '.join(self.reasons)}): run `crface import-candidates ... --name {self.key.detector} "
            f"--split {self.key.split}`, or choose another split with --split"
        )


def is_imported(detector_spec: str) -> bool:
    """Whether a detector's name stands for imported candidates."""
    return detector_spec.startswith(PREFIX)


def plan_imported(workspace: Workspace, index: Index, detector_spec: str, block_images: int) -> ImportedPlan:
    """The candidates that `imported:NAME` stands for on a split, and what they lack.

    A split without any lacks all of them, provided that another split has some.

    Raises UsageError when nothing at all was imported under this name, UserError when its record, its store
    or its ledger is damaged.
    """
    name = detector_spec.removeprefix(PREFIX)
    imports = listed(workspace.root / "imports", "*/*.json")
    if not any(path.stem == name for path in imports):
        known = sorted({path.stem for path in imports})
        raise UsageError(
            f"nothing was imported as {name!r} into {workspace.root} (it has: {', '.join(known) or 'none'}): "
            "import candidates with `crface import-candidates`"
        )
    parts = _recorded_parts(workspace, index.split, name)
    key = imported_key(index.split, parts)
    blocks, block_images = missing_blocks(workspace, index, key, block_images)
    return ImportedPlan(key, parts, blocks, block_images)


def imported_parts(name: str, protocol: str, content_sha256: str) -> Parts:
    """Everything that decides the bytes of an import: whose boxes, how they were made, and their content."""
    return {
        "stage": "import",
        "version": 1,
        "detector": {"detector": name, "weights": content_sha256},
        "protocol": protocol,
    }


def imported_key(split: str, parts: Parts) -> CandidateKey:
    """The key of an import's store."""
    return CandidateKey(split, parts["detector"]["detector"], parts["protocol"], fingerprint(parts))


def record_import(workspace: Workspace, split: str, parts: Parts) -> None:
    """Make `imported:NAME` stand for this import from now on."""
    data = json.dumps({"parts": parts}, indent=2)
    write_atomically(workspace.imported(split, parts["detector"]["detector"]), data.encode())


def _recorded_parts(workspace: Workspace, split: str, name: str) -> Parts:
    path = workspace.imported(split, name)
    if not path.exists():
        return imported_parts(name, "imported", "none")
    try:
        parts = json.loads(path.read_bytes())["parts"]
        return imported_parts(name, parts["protocol"], parts["detector"]["weights"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the record {path} is damaged ({error}): delete it and import the candidates again"
        ) from error
