"""A block of the rank stage: its candidates through the ranker, and their refined confidences into the store."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipeline.blocks.asked import asked_candidates
from pipeline.blocks.commit import BlockReport, ComputedRow, compute_block
from pipeline.blocks.complete import open_complete
from pipeline.blocks.decoding import GPU_AHEAD_PIXELS, decoded_images
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.blocks.trust import asked_digest, trusted_digest
from pipeline.dataset.index import planned_rows
from pipeline.errors import UserError
from pipeline.images.decode import MAX_PIXELS
from pipeline.rank.loading import expected_ranker, load_ranker
from pipeline.rank.plan import RankPlan, RankSpec


def prepare_rank(plan: RankPlan) -> None:
    """Make or resize the score store of a plan; for the driver, before any worker starts.

    Raises UserError when the candidates are not complete, the file is no ranker, or the store cannot be
    written.
    """
    spec = plan.spec
    for key in {spec.key, *spec.asked}:
        open_complete(spec.workspace, plan.index, key)
    model = load_ranker(spec.ranker_file)
    attrs: dict[str, Any] = {
        "ranker": model.name,
        "num_candidates": model.num_candidates,
        "image_side_px": model.image_side_px,
        "candidates": spec.key.fingerprint,
        "parts": plan.parts,
        "dataset": spec.index_digest,
    }
    path = spec.workspace.scores(spec.key, spec.ranker)
    try:
        ScoreStore.create_or_grow(path, len(plan.index), plan.block_images, attrs)
    except OSError as error:
        raise UserError(f"cannot make the store {path}: {error.strerror or error}") from error


def finish_rank(plan: RankPlan) -> None:
    """Gather the ledger into one file and tidy the store; for the driver once no worker runs, however the run ended."""
    ScoreStore.tidy(plan.spec.workspace.scores(plan.spec.key, plan.spec.ranker))
    Ledger(plan.spec.workspace.scores_ledger(plan.spec.key, plan.spec.ranker)).gather()


def rank_block(spec: RankSpec, block: Block) -> BlockReport:
    """Refine a block's candidates and commit their scores; an image that cannot be read is only named.

    The ranker is loaded once per process, onto a GPU if this process sees one.

    Raises UserError when this process sees another ranker or index than the driver, when candidates are
    missing, or when the scores cannot be written.
    """
    import torch  # here, not above: only workers need it, and it takes a plan's time to load

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = expected_ranker(spec.ranker_file, spec.ranker, device)
    index = planned_rows(spec.workspace, spec.key.split, spec.index_digest, block.start, block.stop)
    candidates = asked_candidates(
        spec.key,
        {key: CandidateStore.open(spec.workspace.candidates(key)) for key in (spec.key, *spec.asked)},
        spec.asked,
    )
    asked = asked_digest(spec.asked)

    def compute(rows: list[int]) -> Iterator[ComputedRow]:
        for result in refined_rows(rows):
            yield replace(result, digest=trusted_digest(result.digest, spec.above, spec.trust, asked))

    def refined_rows(rows: list[int]) -> Iterator[ComputedRow]:
        for image in decoded_images(index, rows, MAX_PIXELS, GPU_AHEAD_PIXELS if device == "cuda" else 0):
            if isinstance(image, ComputedRow):
                yield image
                continue
            row = image.row
            try:
                found = candidates.read(row.row)
            except ImageUnreadable:
                yield ComputedRow(row.row, None, row.sha256, f"{row.path}: it has no candidates")
                continue
            try:
                refined = model.refine(image.pixels, found, spec.trust, spec.above)
            except Exception as error:
                error.add_note(row.path)  # the block will be set aside for this image
                raise
            yield ComputedRow(row.row, refined, row.sha256)

    return compute_block(
        ScoreStore.open(spec.workspace.scores(spec.key, spec.ranker)),
        Ledger(spec.workspace.scores_ledger(spec.key, spec.ranker)),
        block,
        compute,
        torch.cuda.get_device_name() if device == "cuda" else "cpu",
    )
