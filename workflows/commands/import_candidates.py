"""crface import-candidates: foreign results, stored completely or not at all, and what is odd about them."""

from collections.abc import Sequence
from pathlib import Path

import click

from crface.text import cropped
from pipeline.dataset.index import Index
from pipeline.errors import UsageError, UserError
from pipeline.formats.coco import read_coco_results
from pipeline.formats.foreign import ForeignResults
from pipeline.formats.parquet import MARK, read_parquet_results
from pipeline.formats.widerface_results import read_text_results
from pipeline.imports.imported import PREFIX
from pipeline.imports.work import ImportPlan, plan_import, store_import
from pipeline.workspace.lock import command_line
from workflows.job.data import evaluation_split, update_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long

_MAX_NAMED = 10
_MAX_SHOWN = 1000  # characters: a file's path, and what is wrong in it


def import_candidates(
    job: Job, source: Path, images: Path | None, name: str, protocol: str, is_missing_allowed: bool
) -> None:
    """Store the results in `source`, a folder of texts or a COCO or Parquet file, as `imported:<name>` of one split.

    Raises UserError, after naming everything that is wrong, when they cannot be used; UsageError for an invalid
    combination of options.
    """
    with job.workspace.locked(command_line()):
        index = evaluation_split(update_indexes(job), job.split)
        plan = plan_import(job.workspace, index, _read(source, images, index), name, protocol)
        _tell(plan)
        plan.check(is_missing_allowed)
        with shown_if_long(f"import {name}") as progress:
            store_import(plan, job.config.cache.block_images, progress)
    empty = f", {len(plan.missing)} of them without results" if plan.missing else ""
    click.echo(
        f"import {name} on {index.split}: {plan.num_boxes} boxes of {len(index.ok_rows)} images stored{empty}"
    )
    click.echo(f"use them as --detector {PREFIX}{name}")


def _read(source: Path, images: Path | None, index: Index) -> ForeignResults:
    is_parquet = source.is_file() and _begins_with(source, MARK)
    if not source.is_dir() and not is_parquet:
        return read_coco_results(source, images)
    if images is not None:
        raise UsageError(
            "--images goes with a COCO file; text results and Parquet name their images themselves"
        )
    return read_parquet_results(source) if is_parquet else read_text_results(source, index)


def _begins_with(file: Path, mark: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(mark)) == mark
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


def _tell(plan: ImportPlan) -> None:
    _name("cannot be used", plan.results.bad)
    _name("not in the data set, left out", plan.unknown)
    _name("missing from the results", plan.missing)
    _name("more than 5000 boxes, the best 5000 are kept", plan.cut)
    _name("boxes wholly outside the image, kept", plan.outside)


def _name(what: str, items: Sequence[str]) -> None:
    if not items:
        return
    click.echo(f"{what} ({len(items)}):", err=True)
    for item in items[:_MAX_NAMED]:
        click.echo(f"  {cropped(item, _MAX_SHOWN)}", err=True)
    if len(items) > _MAX_NAMED:
        click.echo(f"  and {len(items) - _MAX_NAMED} more", err=True)
