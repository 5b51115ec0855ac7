"""What a workspace holds that can be looked at, found without a configuration."""

import contextlib
import json
from typing import Any

from pydantic import ValidationError

from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.errors import UserError
from pipeline.evaluate.sources import Source
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import ways_down


def stored_sources(workspace: Workspace, split: str) -> list[Source]:
    """Every set of candidates of a split, with each ranker that refined it, or without one; those evaluated first.

    A store that cannot be opened is left out. Raises UserError when none is left.
    """
    sources = []
    folder = workspace.root / "candidates.zarr" / split
    for way in ways_down(folder, 3):
        key_and_weights = _key(workspace, split, str(way))
        if key_and_weights is None:
            continue
        key, weights = key_and_weights
        rankers = _rankers(workspace, key) or [""]
        sources += [Source(key=key, weights=weights, ranker=ranker) for ranker in rankers]
    if not sources:
        raise UserError(
            f"the workspace {workspace.root} has no candidates of the split {split!r}: run `crface cache` first, "
            "or choose another split with --split"
        )
    evaluated = evaluated_sources(workspace)
    return sorted(sources, key=lambda one: _order(one, evaluated))


def evaluated_sources(workspace: Workspace) -> list[tuple[str, str]]:
    """The candidates' and the ranker's fingerprint of each source of the stored results, in their order."""
    found = _evaluated(workspace).get("sources", {})
    if not isinstance(found, dict):
        return []
    return [
        (name.rpartition(" ")[2], str(source.get("ranker", "")))
        for name, source in found.items()
        if isinstance(source, dict)
    ]


def evaluate_config(workspace: Workspace) -> EvaluateConfig:
    """How the stored results were evaluated, so that the viewer shows the same boxes; the default without any."""
    try:
        return EvaluateConfig.model_validate(_evaluated(workspace).get("evaluate", {}))
    except ValidationError:
        return EvaluateConfig()


def _evaluated(workspace: Workspace) -> Parts:
    try:
        record: Any = json.loads((workspace.results / "inputs.json").read_bytes())
        return dict(record["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _key(workspace: Workspace, split: str, way: str) -> tuple[CandidateKey, str] | None:
    path = workspace.root / "candidates.zarr" / split / way
    try:
        attrs = CandidateStore.open(path).attrs
        key = CandidateKey(split, str(attrs["detector"]), str(attrs["protocol"]), path.name)
    except (UserError, LookupError):
        return None
    return (key, str(attrs.get("weights", ""))) if workspace.candidates(key) == path else None


def _rankers(workspace: Workspace, key: CandidateKey) -> list[str]:
    rankers = []
    for way in ways_down(workspace.root / "scores.zarr" / key.folder(), 1):
        with contextlib.suppress(UserError):
            ScoreStore.open(workspace.scores(key, way.name))
            rankers.append(way.name)
    return rankers


def _order(source: Source, evaluated: list[tuple[str, str]]) -> tuple[int, str, str]:
    name = (source.key.fingerprint, source.ranker)
    place = evaluated.index(name) if name in evaluated else len(evaluated)
    return place, source.key.words, source.ranker
