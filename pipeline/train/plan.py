"""The stage that trains a ranker from cached candidates (paper 3.2 - 3.4, 4.2).

`rankers/<fingerprint>/` holds

- `parts.json`: what the fingerprint is made of
- `config.toml`: the [train] section, to be used again with --config
- `checkpoints/`: the last two states; an interrupted training goes on from there, on a CPU bit for bit
- `metrics.csv`, `events.out.*`: step, loss and learning rate, the latter for TensorBoard
- `validation.csv`, `looks/`, `best.safetensors`: AP on held-out images, what was seen there, and the best ranker, if
  any are held out
- `fold-<n>/`: the same of a training that holds out another part of the images, if there are several
- `gate.json`: which state and how much of its refinement is used, and why
- `failed-step-<n>.npz`: the batch whose loss was not finite, if that stopped the training
- `ranker.safetensors`: the trained ranker, written last; where it is, the training is done
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.config.sections import TrainConfig
from pipeline.dataset.index import Index
from pipeline.errors import UsageError, UserError
from pipeline.train.checkpoints import last_step
from pipeline.train.sizing import sized
from pipeline.workspace.fingerprint import differences, file_sha256, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place, listed

CODE_VERSION = 5
"""Raised whenever the code changes in a way that changes a trained ranker."""

_NEWER = {
    "patience": 0,
    "validation_detectors": [],
    "gate": False,
    "folds": 1,
    "detectors": [],
    "opinions": [],
}
"""Options that rankers were trained before, and what those were trained with."""

_VALIDATION_VERSION = 4
"""Raised when the code changes in a way that changes which state of a ranker is kept."""

_WITH_OUTPUT_RANGE = (
    "large",
    "small",
    "small-told",
)  # as `crface.ranker.has_output_range`, which a plan cannot ask without PyTorch

_NOT_DECIDING = {"checkpoint_every", "compile", "initial_weights"}
"""When a state is kept, how the same arithmetic is done, and a path whose bytes decide instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """A ranker to be trained, or one that already is."""

    workspace: Workspace
    index: Index
    keys: tuple[CandidateKey, ...]
    asked: tuple[CandidateKey, ...]
    """The candidates whose opinions the ranker reads; those of a detector are no opinion on itself."""
    config: TrainConfig
    parts: Mapping[str, Any]
    """Everything that decides the ranker, as JSON values."""
    state: Literal["done", "resume", "new"]
    steps_done: int
    reasons: tuple[str, ...]
    """Why there is something to do, in words; empty if there is not."""

    @property
    def fingerprint(self) -> str:
        """The ranker's name."""
        return fingerprint(self.parts)

    @property
    def folder(self) -> Place:
        """Where the ranker and its training live."""
        return self.workspace.ranker(self.fingerprint)

    @property
    def choice_file(self) -> Place:
        """What held-out pictures say about the ranker (`pipeline.train.gating`); there if it has a gate."""
        return self.folder / "gate.json"

    @property
    def ranker_file(self) -> Place:
        """The trained ranker; there when the state is done."""
        return self.folder / "ranker.safetensors"


def plan_train(
    workspace: Workspace, index: Index, keys: Sequence[CandidateKey], config: TrainConfig
) -> TrainPlan:
    """The ranker that these candidates and this configuration make, and how much of it is done.

    `index` is of the train split, `keys` name the cached candidates of each detector that takes part. Nothing
    is read but the index, the names in `rankers/` and the bytes of the initial weights, so the plan can be made
    before the candidates exist.

    Of `keys`, those are trained on that `config.detectors` names, if it names any, and those are asked by a committee
    that `config.opinions` names, or else all.

    Raises UserError when the initial weights cannot be read, UsageError for patience or detectors to validate
    with but no held-out images, and when those detectors are not among `keys`, or are all of them; for opinions
    without a committee, a committee that has nobody to ask, and two detectors of one name.
    """
    config = sized(config, len(index.ok_rows))
    asked = _asked(config, keys)
    keys = _trained_on(config, keys)
    parts: dict[str, Any] = {
        "code_version": CODE_VERSION,
        **({"validation_version": _VALIDATION_VERSION} if config.validation_share else {}),
        "train": _deciding(config),
        "initial weights": _sha256(config.initial_weights),
        # numbered: their order decides which one a step draws, and one may take part with two sets of weights
        "candidates": {
            f"{i} {key.detector}": f"{key.protocol} {key.fingerprint}" for i, key in enumerate(keys, start=1)
        },
        **({"asked": [f"{key.detector} {key.protocol} {key.fingerprint}" for key in asked]} if asked else {}),
        "split": index.split,
        "images": index.digest,
        "labels": index.labels_digest,
    }
    _check_validation(config, {key.detector for key in keys})
    folder = workspace.ranker(fingerprint(parts))
    steps_done = last_step(folder / "checkpoints") + sum(
        last_step(fold / "checkpoints") for fold in listed(folder, "fold-*")
    )
    state: Literal["done", "resume", "new"] = "resume" if steps_done else "new"
    reasons = (
        [f"interrupted after {steps_done} of {num_steps(config)} steps"]
        if steps_done
        else _news(workspace, parts)
    )
    if (folder / "ranker.safetensors").is_file():
        state, steps_done, reasons = "done", num_steps(config), []
    return TrainPlan(
        workspace=workspace,
        index=index,
        keys=tuple(keys),
        asked=asked,
        config=config,
        parts=parts,
        state=state,
        steps_done=steps_done,
        reasons=tuple(reasons),
    )


def num_steps(config: TrainConfig) -> int:
    """The most steps that a training takes, those of its folds included."""
    return config.iterations * (config.folds + 1 if config.folds > 1 else 1)


def _trained_on(config: TrainConfig, keys: Sequence[CandidateKey]) -> list[CandidateKey]:
    """The candidates to train on; UsageError for a detector that has none."""
    known = {key.detector for key in keys}
    if unknown := [name for name in config.detectors if name not in known]:
        raise UsageError(
            f"train.detectors names {unknown[0]}, the candidates are of {', '.join(sorted(known))}: name some of these"
        )
    return [key for key in keys if not config.detectors or key.detector in config.detectors]


def _asked(config: TrainConfig, keys: Sequence[CandidateKey]) -> tuple[CandidateKey, ...]:
    """The candidates that a committee asks, none for other rankers; UsageError where it cannot ask them."""
    if config.ranker != "committee":
        if config.opinions:
            raise UsageError(
                f'train.opinions are asked by ranker = "committee" alone, not by {config.ranker}'
            )
        return ()
    known = [key.detector for key in keys]
    wanted = config.opinions or tuple(known)
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(
            f"train.opinions names {unknown[0]}, the candidates are of {', '.join(sorted(known))}: name some of these"
        )
    if len(set(wanted)) < len(wanted) or any(known.count(name) > 1 for name in wanted):
        raise UsageError("a committee tells detectors by their names: it cannot ask two of the same name")
    asked = tuple(next(key for key in keys if key.detector == name) for name in wanted)
    if alone := [key.detector for key in _trained_on(config, keys) if not set(asked) - {key}]:
        raise UsageError(
            f"a committee asks other detectors, and there is none but {alone[0]}: name two or more with --detector"
        )
    return asked


def _deciding(config: TrainConfig) -> dict[str, Any]:
    """The options that decide the ranker; those added since the first rankers only where they are used."""
    values: dict[str, Any] = config.model_dump(mode="json", exclude=_NOT_DECIDING)
    if config.ranker not in _WITH_OUTPUT_RANGE:
        values["output_range"] = (
            TrainConfig().output_range
        )  # as in the names of those trained without setting it
    return {key: value for key, value in values.items() if key not in _NEWER or value != _NEWER[key]}


def _check_validation(config: TrainConfig, detectors: set[str]) -> None:
    """Raise UsageError for options that need held-out images without any, or name detectors without candidates."""
    left_out = set(config.validation_detectors)
    if config.gate and not config.validation_share:
        raise UsageError(
            "train.gate asks held-out images whether the ranker helps, and there are none: set "
            "train.validation_share, 0.2 say, or gate = false"
        )
    if config.patience and not config.validation_share:
        raise UsageError(
            f"train.patience = {config.patience} ends a training by the AP on held-out images, of which there are "
            "none: set train.validation_share, 0.1 say"
        )
    if left_out and not config.validation_share:
        raise UsageError(
            "train.validation_detectors are looked at on held-out images, of which there are none: set "
            "train.validation_share, 0.1 say"
        )
    if left_out and not left_out < detectors:
        raise UsageError(
            f"train.validation_detectors names {', '.join(sorted(left_out))}, the candidates are of "
            f"{', '.join(sorted(detectors))}: name some of these, not all"
        )


def _news(workspace: Workspace, parts: Mapping[str, Any]) -> list[str]:
    """Differences from the ranker begun last, in words."""
    known = sorted(
        listed(workspace.ranker("x").parent, "*/parts.json"), key=lambda path: path.stat().st_mtime
    )
    for path in reversed(known):
        try:
            return differences(json.loads(path.read_text()), parts)
        except (OSError, ValueError):
            continue
    return ["no ranker has been trained yet"]


def _sha256(weights: str) -> str:
    if not weights:
        return ""
    try:
        return file_sha256(Path(weights))
    except OSError as error:
        raise UserError(
            f"cannot read train.initial_weights = {weights!r}: {error.strerror}; give a file, or leave it out"
        ) from error
