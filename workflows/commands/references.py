"""Which pieces of a workspace are referred to: by a job's configuration, by stored results, by kept pieces."""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cache.plan import CachePlan
from pipeline.dataset.index import load_index
from pipeline.errors import UserError
from pipeline.imports.imported import imported_key
from pipeline.rank.plan import identify_ranker
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.inventory import Inventory, Piece
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place, in_memory, listed
from workflows.commands.plans import JobPlans
from workflows.job.job import Job

Stored = tuple[str, str]
"""The split and the fingerprint of candidates."""


@dataclass(frozen=True, slots=True)
class References:
    """Fingerprints that something refers to."""

    candidates: frozenset[Stored] = frozenset()
    rankers: frozenset[str] = frozenset()
    """Fingerprints of trainings, which name the folders of rankers."""
    scores: frozenset[tuple[str, str, str]] = frozenset()
    """The split and the fingerprint of the candidates, and that of the ranker's bytes."""
    subsets: frozenset[str] = frozenset()
    """Numbers of images; a subset is referred to as a whole."""

    def has(self, piece: Piece) -> bool:
        """Whether a piece is referred to; indexes, imports and results, which the others start from, always are."""
        if piece.subset:
            return piece.subset in self.subsets
        return {
            "candidates": (piece.split, piece.fingerprint) in self.candidates,
            "scores": (piece.split, piece.fingerprint, piece.ranker) in self.scores,
            "ranker": piece.fingerprint in self.rankers,
        }.get(piece.kind, True)

    def __or__(self, other: "References") -> "References":
        return References(
            self.candidates | other.candidates,
            self.rankers | other.rankers,
            self.scores | other.scores,
            self.subsets | other.subsets,
        )


def of_configuration(job: Job) -> References:
    """What the job's commands would read or continue, for the images as they are indexed.

    Raises UserError when the workspace has no index, or is damaged.
    """
    splits = [path.stem for path in listed(job.workspace.index("x").parent, "*.parquet")]
    if not splits:
        raise UserError(
            f"the workspace {job.workspace.root} is empty: run `crface cache` first, or choose another with --out"
        )
    plans = JobPlans(job, {split: load_index(job.workspace, split) for split in splits})
    found = plans.candidates(*splits)
    keys = [
        part.key
        for plan in found
        for part in ((plan, *plan.views) if isinstance(plan, CachePlan) else (plan,))
    ]
    stored = {(key.split, key.fingerprint) for key in keys}
    rankers = set() if plans.ranker is None else {fingerprint(identify_ranker(plans.ranker))}
    compared = job.config.comparison
    numbers = (compared.images, compared.train_images) if compared.protocols else ()
    return References(
        candidates=frozenset(stored),
        rankers=frozenset({plans.training.fingerprint} if "train" in splits else ()),
        scores=frozenset((*candidates, ranker) for candidates in stored for ranker in rankers),
        subsets=frozenset(str(number) for number in numbers if number),
    )


def of_results(workspace: Workspace, inventory: Inventory) -> References:
    """What the stored results and imports were computed from, whatever configuration made them.

    Raises UserError when a file of results cannot be read, so that it is not known what it refers to.
    """
    known = {piece.subset for piece in inventory.pieces}
    compared = _rows(workspace.protocols) if workspace.protocols.exists() else []
    # a comparison over a few images was computed from a subset, one over all from the workspace itself
    subsets = {str(row["images"]) for row in compared if row["images"] < row["split_images"]} & known
    others = [
        row for row in compared if row["images"] == row["split_images"] or str(row["images"]) not in subsets
    ]
    for folder in (workspace.results, workspace.results / "ablation"):
        others += [
            row for path in listed(folder, "*.parquet") if path != workspace.protocols for row in _rows(path)
        ]
    stored = [row for row in others if row.get("fingerprint")]
    scored_by = {row.get("ranker") for row in (*compared, *others)}
    trained = [
        piece for piece, files in inventory.pieces.items() if piece.kind == "ranker" and _file(piece) in files
    ]
    return References(
        candidates=frozenset((row["split"], row["fingerprint"]) for row in stored) | _imported(workspace),
        rankers=frozenset(row["training"] for row in others if row.get("training"))
        | {
            piece.fingerprint
            for piece in trained
            if fingerprint(identify_ranker(workspace.root / _file(piece))) in scored_by
        },
        scores=frozenset((row["split"], row["fingerprint"], row["ranker"]) for row in stored),
        subsets=frozenset(subsets),
    )


def of_kept(workspace: Workspace, inventory: Inventory, kept: References) -> References:
    """What the kept pieces were made from: a ranker's candidates, and the views of fused candidates.

    A piece that does not say it, because it is damaged, adds nothing.
    """
    found = set[Stored]()
    for piece in inventory.pieces:
        if not piece.subset and piece.kind == "ranker" and kept.has(piece):
            parts = _json(workspace.ranker(piece.fingerprint) / "parts.json")
            words = [str(value).split() for value in _dict(parts.get("candidates")).values()]
            found |= {(str(parts.get("split")), word[-1]) for word in words if word}
        if not piece.subset and piece.kind == "candidates" and kept.has(piece):
            key = CandidateKey(piece.split, piece.detector, piece.protocol, piece.fingerprint)
            attributes = _dict(_json(workspace.candidates(key) / "zarr.json").get("attributes"))
            views = _dict(_dict(attributes.get("parts")).get("views"))
            found |= {(piece.split, str(view)) for view in views.values()}
    return References(candidates=frozenset(found))


def _imported(workspace: Workspace) -> set[Stored]:
    found = set()
    for path in listed(workspace.root / "imports", "*/*.json"):
        try:
            found.add((path.parent.name, imported_key(path.parent.name, _json(path)["parts"]).fingerprint))
        except (KeyError, TypeError):
            raise UserError(
                f"the record {path} is damaged: it is not known which candidates it names; import them again"
            ) from None
    return found


def _file(piece: Piece) -> str:
    """The file of a trained ranker, relative to the workspace."""
    inside = f"subsets/{piece.subset}/" if piece.subset else ""
    return f"{inside}rankers/{piece.fingerprint}/ranker.safetensors"


def _rows(path: Place) -> list[dict[str, Any]]:
    """The columns of a file of results that name pieces of the workspace, as far as it has them."""
    try:
        file = pq.ParquetFile(in_memory(path))
        names = [
            name
            for name in ("split", "fingerprint", "ranker", "training", "images", "split_images")
            if name in file.schema_arrow.names
        ]
        rows: list[dict[str, Any]] = file.read(names).to_pylist() if names else []
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"the results {path} are damaged: it is not known what they refer to; compute them again or delete them"
        ) from error
    return rows


def _json(path: Place) -> dict[str, Any]:
    try:
        return _dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
