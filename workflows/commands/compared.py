"""What a comparison of protocols compares: the images of each split, and each detector's candidates of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.config.sections import ComparedProtocol
from pipeline.dataset.index import Index
from pipeline.dataset.subset import subset
from pipeline.errors import UsageError
from pipeline.imports.imported import is_imported
from pipeline.workspace.layout import Workspace
from workflows.job.data import chosen_split, evaluation_split
from workflows.job.job import Job


@dataclass(frozen=True, slots=True)
class ComparedImages:
    """Some images of a split, and where what is made of them is stored."""

    workspace: Workspace
    index: Index
    block_images: int


@dataclass(frozen=True, slots=True)
class ComparedCandidates:
    """A detector's candidates of some images under one of the compared protocols."""

    detector: str
    """As `detectors.create` takes it."""
    compared: ComparedProtocol
    images: ComparedImages
    plan: CachePlan


@dataclass(frozen=True, slots=True)
class ComparedSplit:
    """What is compared on the images of one split."""

    images: ComparedImages
    candidates: list[ComparedCandidates]
    num_images: int
    """How many images the split has."""


def compared_splits(job: Job, indexes: Mapping[str, Index]) -> Iterator[ComparedSplit]:
    """The splits to compare on, in the order in which the configuration first names them.

    Raises UserError when there is no split to evaluate.
    """
    config, by_split = job.config.comparison, dict[str, list[ComparedProtocol]]()
    evaluated = evaluation_split(indexes, job.split).split
    for one in config.protocols:
        has_own = job.split is None and one.split in indexes
        by_split.setdefault(one.split if has_own else evaluated, []).append(one)
    for split, protocols in by_split.items():
        index = indexes[split]
        images = _some(job, index, config.images, is_slow=split != evaluated)
        candidates = [found for one in protocols for found in _candidates(job, images, one)]
        yield ComparedSplit(images, candidates, len(index.ok_rows))


def _some(job: Job, index: Index, num_images: int, is_slow: bool = False) -> ComparedImages:
    workspace, some = subset(job.workspace, index, num_images)
    # each of a few images may take long: in blocks of one, every worker has its share
    is_one = is_slow or workspace != job.workspace
    return ComparedImages(workspace, some, 1 if is_one else job.config.cache.block_images)


def _candidates(job: Job, images: ComparedImages, compared: ComparedProtocol) -> list[ComparedCandidates]:
    config = job.config.cache.model_copy(
        update={"protocol": compared.protocol, "block_images": images.block_images}
    )
    detectors = compared.detectors or config.detectors
    for detector in detectors:
        if is_imported(detector):
            raise UsageError(
                f"the candidates of {detector} were computed elsewhere, under one protocol: choose a detector "
                "that runs here with --detector"
            )
    return [
        ComparedCandidates(spec, compared, images, plan_cache(images.workspace, images.index, spec, config))
        for spec in detectors
    ]


def training_candidates(job: Job, indexes: Mapping[str, Index]) -> list[ComparedCandidates]:
    """Plan what rankers of protocols' own are trained from."""
    config = job.config.comparison
    owners = [one for one in config.protocols if "own" in one.rankers]
    if not owners:
        return []
    images = _some(job, chosen_split(indexes, "train"), config.train_images)
    return [found for one in owners for found in _candidates(job, images, one)]
