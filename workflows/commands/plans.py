"""What the stages of a job would do, and with what: candidates, ranker, refined confidences, sources."""

from collections.abc import Mapping
from functools import cached_property

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.imports.imported import ImportedPlan, is_imported, plan_imported
from pipeline.rank.plan import RankPlan, asked_by, plan_rank
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.workspace.layout import CandidateKey
from pipeline.workspace.place import Place
from workflows.job.data import chosen_split, evaluation_split, is_embedded
from workflows.job.job import Job


class JobPlans:
    """The plans of a job's stages, each made at most once, when it is first asked for.

    A plan describes the workspace at that moment, so each command makes its own `JobPlans`, and asks for the plans
    of a stage only when the stages before it are done.
    """

    def __init__(self, job: Job, indexes: Mapping[str, Index]) -> None:
        self.job = job
        self.indexes = indexes
        self._candidates: dict[tuple[str, str], CachePlan | ImportedPlan] = {}

    @cached_property
    def evaluated(self) -> Index:
        """The index of the split that is ranked and evaluated; UserError when it is not clear which."""
        return evaluation_split(self.indexes, self.job.split)

    def candidates(self, *splits: str) -> list[CachePlan | ImportedPlan]:
        """The candidates of these splits by each of the job's detectors, detector by detector.

        Those of `imported:NAME` are stored already, or cannot be computed here.
        """
        detectors = self.job.config.cache.detectors
        return [self._candidates_by(detector, split) for detector in detectors for split in splits]

    @cached_property
    def training(self) -> TrainPlan:
        """The training on the train split's candidates; UserError when the data set has no such split."""
        index = chosen_split(self.indexes, "train")
        keys = [plan.key for plan in self.candidates("train")]
        return plan_train(self.job.workspace, index, keys, self.job.config.train)

    @property
    def ranker(self) -> Place | None:
        """The ranker to apply: the given one, else the one trained with this configuration, else None."""
        is_trained = "train" in self.indexes and self.training.state == "done"
        return self.ranker_file if self.job.ranker is not None or is_trained else None

    @property
    def ranker_file(self) -> Place:
        """The ranker to apply; UserError when there is none."""
        if self.job.ranker is not None:
            return self.job.ranker
        if self.training.state != "done":
            raise UserError(
                f"no ranker is trained with this configuration in {self.job.workspace.root}: "
                "run `crface train`, or give one with --ranker"
            )
        return self.training.ranker_file

    @cached_property
    def rankings(self) -> list[RankPlan]:
        """The ranking of the evaluated candidates, by detector; UserError when there is no ranker."""
        asked = self.asked
        return [
            plan_rank(
                self.job.workspace,
                self.evaluated,
                plan.key,
                self.ranker_file,
                plan.block_images,
                asked,
                above=self.job.config.evaluate.score_threshold,
            )
            for plan in self.candidates(self.evaluated.split)
        ]

    @property
    def asked(self) -> tuple[CandidateKey, ...]:
        """The candidates of the evaluated split whose opinions the ranker reads; none for most rankers."""
        return asked_by(self.ranker_file, [plan.key for plan in self.candidates(self.evaluated.split)])

    @cached_property
    def sources(self) -> list[Source]:
        """What is evaluated: each detector's candidates, with the ranker's confidences where there is a ranker."""
        plans = self.candidates(self.evaluated.split)
        if self.ranker is None:
            return [source_of(plan) for plan in plans]
        training = self.training.fingerprint if self.job.ranker is None else ""
        return [
            source_of(plan, ranking.spec.ranker, training)
            for plan, ranking in zip(plans, self.rankings, strict=True)
        ]

    @property
    def evaluation(self) -> EvaluationInput:
        """What `crface evaluate` evaluates."""
        return EvaluationInput(
            workspace=self.job.workspace,
            index=self.evaluated,
            sources=self.sources,
            config=self.job.config.evaluate,
            ground_truth=self.job.ground_truth,
        )

    @property
    def title(self) -> str:
        """The name of the data set, as reports show it."""
        root = self.evaluated.data_root
        return "embedded data set (generated)" if is_embedded(self.job.workspace, root) else root.name

    def _candidates_by(self, detector: str, split: str) -> CachePlan | ImportedPlan:
        if (detector, split) not in self._candidates:
            workspace, index, config = self.job.workspace, self.indexes[split], self.job.config.cache
            self._candidates[detector, split] = (
                plan_imported(workspace, index, detector, config.block_images)
                if is_imported(detector)
                else plan_cache(workspace, index, detector, config)
            )
        return self._candidates[detector, split]


def source_of(plan: CachePlan | ImportedPlan, ranker: str = "", training: str = "") -> Source:
    """Planned candidates as a source of an evaluation; `ranker` and `training` are fingerprints."""
    return Source(
        key=plan.key,
        weights=plan.parts["detector"]["weights"],
        ranker=ranker,
        training=training,
        input_size=plan.input_size,
    )
