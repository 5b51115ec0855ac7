"""`--verify`: damaged parts of a workspace, named and removed so that the stage computes them again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.verify import Damage, verify_candidates, verify_indexes, verify_rankers, verify_scores
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import listed
from workflows.job.data import EMBEDDED
from workflows.job.job import Job
from workflows.job.progress import shown_if_long

Verify = Callable[[Workspace, Mapping[str, int], Callable[[int, int], None]], list[Damage]]


def check_indexes(job: Job) -> None:
    """Remove damaged indexes and name them; to be called before a command updates the indexes.

    Raises UserError when nothing else records where the images are.
    """
    damage = verify_indexes(job.workspace)
    _tell(damage)
    is_known = job.data is not None or bool(listed(job.workspace.index("x").parent, "*.parquet"))
    if (
        damage
        and not is_known
        and not (isinstance(job.workspace.root, Path) and (job.workspace.root / EMBEDDED).is_dir())
    ):
        raise UserError(
            "only the index recorded where the images are: run the same command again with --data FOLDER"
        )


def check_candidates(job: Job, indexes: Mapping[str, Index]) -> None:
    """Read all candidates; remove damaged blocks and name them."""
    _check(job, indexes, "candidates", verify_candidates)


def check_scores(job: Job, indexes: Mapping[str, Index]) -> None:
    """Read all refined confidences; remove damaged blocks and name them."""
    _check(job, indexes, "scores", verify_scores)


def check_rankers(job: Job) -> None:
    """Read all rankers and checkpoints; remove damaged ones and name them."""
    damage = verify_rankers(job.workspace)
    _tell(damage)
    click.echo(f"verify rankers: {len(damage) or 'nothing'} damaged")


def _check(job: Job, indexes: Mapping[str, Index], what: str, verify: Verify) -> None:
    sizes = {split: len(index) for split, index in indexes.items()}
    with shown_if_long(f"verify {what}", "blocks") as progress:
        damage = verify(job.workspace, sizes, progress)
    _tell(damage)
    click.echo(f"verify {what}: {len(damage) or 'nothing'} damaged")


def _tell(damage: Sequence[Damage]) -> None:
    for one in damage:
        click.echo(f"  {one.path} {one.words}", err=True)
