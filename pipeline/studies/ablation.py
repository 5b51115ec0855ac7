"""Ablations (paper 5.1): rankers that differ in one setting, each trained from several seeds and measured.

Every training with its AP is one task, whose rows lie in `results/ablation/<fingerprint>.parquet`: it is done once,
whichever sweep asks for it. The ranker itself lies where `crface train` would have put it.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from pipeline.blocks.complete import open_complete
from pipeline.blocks.plan import Block
from pipeline.config.sections import EvaluateConfig, RunConfig, TrainConfig
from pipeline.dataset.index import Index, planned_index
from pipeline.errors import UsageError
from pipeline.evaluate.label_source import LabelSource, label_source
from pipeline.evaluate.plan import EVALUATE_VERSION
from pipeline.ground_truth.truth import SETTINGS
from pipeline.rank.plan import RANK_VERSION
from pipeline.results.ablation import AblationRow, read_rows, write_rows
from pipeline.results.ablation_figures import write_figures
from pipeline.results.paper import BASELINE
from pipeline.studies.ablation_measure import Found, measured
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.train.progress import TrainingDivergedError
from pipeline.train.work import train
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import listed, local_copy

if TYPE_CHECKING:
    from crface.ranker import Ranker

Sweep = Literal["losses", "pairs"]
"""Table 1 of the paper, with the losses beyond it; Table 2."""

ABLATION_VERSION: Final = 1
"""Raised when the code changes in a way that changes these numbers, apart from training and evaluation."""

DETECTOR: Final = BASELINE
"""The setting that trains nothing: the detector's own confidence, and the oracle's."""

NUM_PAIRS: Final = (1, 2, 3, 5, 10, 20, 50, 100)
"""Of Table 2."""

_IMAGE_CACHE_BYTES: Final = 256 << 20  # several workers share a machine's memory
_Ap = Mapping[tuple[CandidateKey, str], Mapping[str, float]]
"""AP in SETTINGS by candidates and confidence."""

_ALONE = threading.Lock()
"""One training at a time in a process: the network's random start is drawn from torch's global state."""


@dataclass(frozen=True, slots=True)
class SplitCandidates:
    """A split of the data set with the cached candidates of each detector that takes part."""

    index: Index
    keys: tuple[CandidateKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationTask:
    """One ranker of a sweep, or the measurement that needs none (DETECTOR)."""

    setting: str
    seed: int
    fingerprint: str
    """The fingerprint of everything that decides the AP; names the file of the task's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationSpec:
    """What all tasks of a sweep share; a few kilobytes, sent with each."""

    workspace: Workspace
    sweep: Sweep
    train_keys: tuple[CandidateKey, ...]
    test_keys: tuple[CandidateKey, ...]
    train: TrainConfig
    evaluate: EvaluateConfig
    train_digest: str
    """The digest of the train split's index."""
    test_labels: LabelSource
    """The labels of the split that AP is measured on."""
    tasks: tuple[AblationTask, ...]
    """The tasks to do, by the number of their block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationPlan:
    """A sweep, and which of its tasks are done."""

    spec: AblationSpec
    """The specification of the tasks that are missing."""
    tasks: tuple[AblationTask, ...]
    """All tasks, in the order of the table."""

    @property
    def blocks(self) -> list[Block]:
        """One block for each task that is missing."""
        return [Block(number, number, number + 1, (number,), ()) for number in range(len(self.spec.tasks))]


def settings_of(sweep: Sweep) -> tuple[str, ...]:
    """The settings that a sweep varies: the losses by name, or the numbers of pairs."""
    if sweep == "losses":
        return get_args(TrainConfig.model_fields["loss"].annotation)
    return tuple(map(str, NUM_PAIRS))


def configured(base: TrainConfig, sweep: Sweep, setting: str, seed: int) -> TrainConfig:
    """The base training with one setting and seed; numbers of pairs apply to the paper's loss."""
    changes = {"loss": setting} if sweep == "losses" else {"loss": "rank", "num_pairs": int(setting)}
    return base.model_copy(update={**changes, "seed": seed})


def plan_ablation(
    workspace: Workspace,
    sweep: Sweep,
    train: SplitCandidates,
    test: SplitCandidates,
    config: RunConfig,
    num_seeds: int,
    settings: Sequence[str] = (),
    ground_truth: Path | None = None,
) -> AblationPlan:
    """The trainings of a sweep, and which of them are not done; nothing is written.

    AP is measured on `test`. Of the configuration, [train] and [evaluate] count. Seeds count up from
    the configuration's. `settings` are some of `settings_of(sweep)`; none mean all.

    Raises UsageError for a setting that the sweep does not have, UserError as `plan_train` does and when there is
    neither ground truth nor a label.
    """
    known = settings_of(sweep)
    if unknown := [setting for setting in settings if setting not in known]:
        raise UsageError(f"the sweep of {sweep} has no setting {unknown[0]}; choose from {', '.join(known)}")
    base, evaluate = config.train, config.evaluate
    labels = label_source(workspace, test.index, ground_truth)
    parts: dict[str, Any] = {
        "versions": [ABLATION_VERSION, EVALUATE_VERSION, RANK_VERSION],
        "evaluate": evaluate.model_dump(exclude={"resamples"}),
        "split": labels.split,
        "images": labels.index_digest,
        "labels": labels.labels_digest,
        "ground truth": labels.ground_truth_sha256,
        "candidates": {f"{key.detector} {key.protocol}": key.fingerprint for key in test.keys},
    }
    tasks = [AblationTask(setting=DETECTOR, seed=0, fingerprint=fingerprint(parts | {"training": ""}))]
    for setting in settings or known:
        for seed in range(base.seed, base.seed + num_seeds):
            training = plan_train(workspace, train.index, train.keys, configured(base, sweep, setting, seed))
            name = fingerprint(parts | {"training": training.fingerprint})
            tasks.append(AblationTask(setting=setting, seed=seed, fingerprint=name))
    spec = AblationSpec(
        workspace=workspace,
        sweep=sweep,
        train_keys=train.keys,
        test_keys=test.keys,
        train=base,
        evaluate=evaluate,
        train_digest=train.index.digest,
        test_labels=labels,
        tasks=tuple(task for task in tasks if read_rows(workspace, task.fingerprint) is None),
    )
    return AblationPlan(spec=spec, tasks=tuple(tasks))


def check_candidates(workspace: Workspace, *splits: SplitCandidates) -> None:
    """Raise UserError unless all candidates that a sweep needs are cached: said before a cluster is started."""
    for split in splits:
        for key in split.keys:
            open_complete(workspace, split.index, key)


def ablation_block(spec: AblationSpec, block: Block) -> str:
    """Train the ranker of one task, measure it, and write its rows; returns the task's setting.

    A training that was cut off goes on from its last checkpoint, wherever that was written. One whose loss
    diverges is a result: its AP is NaN. Checkpoints are removed once the rows are there.

    Raises UserError when candidates are missing, or this process sees other files than the driver.
    """
    import torch  # here, not above: a plan need not wait for it

    from crface import ranker

    task = spec.tasks[block.number]
    with _ALONE:
        if task.setting == DETECTOR:
            _write(spec, task, _measured(spec, None))
            return task.setting
        device = "cuda" if torch.cuda.is_available() else "cpu"
        plan = _training(spec, task)
        started = time.monotonic()
        found: Found | None
        try:
            file = train(plan, device, image_cache_bytes=_IMAGE_CACHE_BYTES, num_threads=1)
        except TrainingDivergedError:
            found = None
        else:
            with local_copy(file) as local:
                trained = ranker.load(local)
            found = _measured(spec, trained.to(device))
        _write(spec, task, found, plan.fingerprint, time.monotonic() - started)
        for checkpoint in listed(plan.folder / "checkpoints", "*"):
            checkpoint.unlink(missing_ok=True)
    return task.setting


def _training(spec: AblationSpec, task: AblationTask) -> TrainPlan:
    index = planned_index(spec.workspace, spec.train_keys[0].split, spec.train_digest)
    config = configured(spec.train, spec.sweep, task.setting, task.seed)
    return plan_train(spec.workspace, index, spec.train_keys, config)


def _measured(spec: AblationSpec, model: "Ranker | None") -> Found:
    return measured(spec.workspace, spec.test_keys, spec.test_labels, spec.evaluate, model)


def _write(
    spec: AblationSpec, task: AblationTask, found: Found | None, training: str = "", seconds: float = 0.0
) -> None:
    """Write what a task found, None for a training that diverged; its rows last, for they say that it is done."""
    if found is None:
        nothing = dict.fromkeys(SETTINGS, float("nan"))
        rows = _rows({(key, "ranked"): nothing for key in spec.test_keys}, training, seconds)
    else:
        figures = [item.figure(key.detector, confidence) for (key, confidence), item in found.items()]
        write_figures(spec.workspace, task.fingerprint, figures)
        rows = _rows({what: item.evaluation for what, item in found.items()}, training, seconds)
    write_rows(spec.workspace, task.fingerprint, rows)


def _rows(ap_of: _Ap, training: str, seconds: float) -> list[AblationRow]:
    return [
        AblationRow(
            split=key.split,
            detector=key.detector,
            protocol=key.protocol,
            confidence=confidence,
            training=training,
            seconds=seconds,
            ap_easy=float(ap["easy"]),
            ap_medium=float(ap["medium"]),
            ap_hard=float(ap["hard"]),
        )
        for (key, confidence), ap in ap_of.items()
    ]
