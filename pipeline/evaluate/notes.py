"""What the numbers of an evaluation leave out: kept apart by kind, and worded for the reader."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.blocks.trust import read_judgement
from pipeline.dataset.index import Index, label_notes
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth, Overlap
from pipeline.workspace.layout import Workspace

_NAMED: Final = 5
"""Images that a note names; of more it gives the count."""


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence under a table."""

    about: Literal["labels", "coverage", "images left out", "intervals", "exact AP", "trust"]
    """coverage: the ground truth knows more images than were evaluated."""
    text: str


def image_notes(
    index: Index, truth: GroundTruth, common: Overlap, unreadable: Sequence[str]
) -> Iterator[Note]:
    """Which images do not count and why; `unreadable` are the paths of those that a detector could not read."""
    for sentence in label_notes(index.rows(0, len(index))):
        yield Note("labels", sentence)
    if common.num_left_out:
        yield Note(
            "coverage",
            f"AP is over {len(common.rows)} of the {len(truth.names)} images of the ground truth; "
            f"not in the index, or not readable: {common.num_left_out}",
        )
    bad = [row.path for row in index.rows(0, len(index)) if row.status in ("missing", "unreadable")]
    for paths, why in (
        (common.unlisted, "not in the ground truth"),
        (bad, "missing or damaged"),
        (unreadable, "unreadable when candidates were computed"),
    ):
        if paths:
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            number = "1 image" if len(paths) == 1 else f"{len(paths)} images"
            text = f"left out: {number} {why}: {', '.join(paths[:_NAMED])}{more}"
            yield Note("images left out", text)


def number_notes(max_images: int, *, has_intervals: bool, exact_bounds: float) -> Iterator[Note]:
    """What sums cannot tell: intervals, and exact AP closer than by `exact_bounds` (0..1)."""
    if not has_intervals:
        yield Note("intervals", f"no intervals: they are computed for at most {max_images} images")
    if exact_bounds:
        yield Note(
            "exact AP", f"exact AP is a lower bound, by at most {100 * exact_bounds:.2g} points too low"
        )


def trust_notes(workspace: Workspace, sources: Sequence[Source]) -> Iterator[Note]:
    """Where the ranker was not fully trusted, since it is far from home."""
    for source in sources:
        judgement = read_judgement(workspace, source.key, source.ranker) if source.ranker else None
        if judgement is not None and judgement.trust < 1:
            yield Note("trust", f"{source.key.detector}: ranker trusted {judgement.figures}")
