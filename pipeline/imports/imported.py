"""Candidates that came from elsewhere, as the stages name them: `imported:NAME` in place of a detector.

`imports/<split>/<NAME>.json` says which store NAME stands for. It is written when all of an import is stored:
until then, and after an import that failed, NAME stands for what it stood for before.
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
"""What a detector's name begins with if its candidates are not computed here."""


@dataclass(frozen=True, slots=True)
class ImportedPlan:
    """What a split has of a detector's imported candidates; like a plan of the cache stage, but nobody can do it."""

    key: CandidateKey
    parts: Parts
    """What the key's fingerprint is made of."""
    blocks: list[Block]
    """Those that lack candidates, or have those of another image."""
    block_images: int

    @property
    def reasons(self) -> list[str]:
        """What is lacking, in words; empty when nothing is."""
        return describe(self.blocks)

    @property
    def input_size(self) -> str:
        """At what size the detector saw the images, in words, as a plan of the cache stage says it."""
        return "unknown"

    @property
    def advice(self) -> str:
        """What to do about what is lacking."""
        return (
            f"the candidates of {self.key.detector} on the {self.key.split} split cannot be computed here "
            f"({', '.join(self.reasons)}): run `crface import-candidates ... --name {self.key.detector} "
            f"--split {self.key.split}`, or choose another split with --split"
        )


def is_imported(detector_spec: str) -> bool:
    """Tell whether a detector's name stands for imported candidates."""
    return detector_spec.startswith(PREFIX)


def plan_imported(workspace: Workspace, index: Index, detector_spec: str, block_images: int) -> ImportedPlan:
    """Find the candidates that `imported:NAME` stands for on a split, and say what they lack.

    A split without any lacks all of them, as long as another split has some.

    Raises UsageError when nothing at all was imported under this name, UserError when its record, its store
    or its ledger is damaged.
    """
    name = detector_spec.removeprefix(PREFIX)
    imports = listed(workspace.root / "imports", "*/*.json")
    if not any(path.stem == name for path in imports):
        known = sorted({path.stem for path in imports})
        raise UsageError(
            f"nothing was imported as {name!r} into {workspace.root} (it has: {', '.join(known) or 'none'}): "
            "bring candidates in with `crface import-candidates`"
        )
    parts = _recorded_parts(workspace, index.split, name)
    key = imported_key(index.split, parts)
    blocks, block_images = missing_blocks(workspace, index, key, block_images)
    return ImportedPlan(key, parts, blocks, block_images)


def imported_parts(name: str, protocol: str, content_sha256: str) -> Parts:
    """Give all that decides the bytes of an import: whose boxes, how they were made, and which they are."""
    return {
        "stage": "import",
        "version": 1,
        "detector": {"detector": name, "weights": content_sha256},
        "protocol": protocol,
    }


def imported_key(split: str, parts: Parts) -> CandidateKey:
    """Name the store of an import."""
    return CandidateKey(split, parts["detector"]["detector"], parts["protocol"], fingerprint(parts))


def record_import(workspace: Workspace, split: str, parts: Parts) -> None:
    """Let `imported:NAME` stand for this import from now on."""
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
