"""crface dataset validate: the facts about a data set, and everything that is wrong with it."""

import tempfile
from pathlib import Path

import click
import numpy as np

from pipeline.dataset.index import Index, update_index
from pipeline.dataset.label_fit import index_fit
from pipeline.dataset.splits import find_splits
from pipeline.errors import UserError
from pipeline.ground_truth.truth import SETTINGS, load_ground_truth
from pipeline.workspace.layout import Workspace
from workflows.job.progress import shown_if_long


def validate(folder: Path, max_pixels: int) -> None:
    """Read a whole data set and print a few lines about each split; images above `max_pixels` are unreadable.

    Raises UserError when images cannot be read or labels cannot be right, after all is printed, and at the first broken
    annotation.
    """
    num_bad, is_wrong = 0, False
    with tempfile.TemporaryDirectory() as scratch:
        for split in find_splits(folder):
            with shown_if_long(f"check {split}") as progress:
                update = update_index(
                    Workspace(Path(scratch)), folder, split, progress, is_dry_run=True, max_pixels=max_pixels
                )
            num_bad += len(update.unreadable)
            fit = index_fit(update.index.all_rows)
            is_wrong |= fit.is_wrong
            for line in (*_facts(update.index), *(f"  {note}" for note in update.notes)):
                click.echo(line)
            for path, reason in update.unreadable:
                click.echo(f"  {path}: {reason}", err=True)
    if num_bad:
        raise UserError(
            f"{num_bad} images of {folder} cannot be read; fetch them again, or go on without them"
        )
    if is_wrong:
        raise UserError(
            f"the labels of {folder} cannot be right, see above: an AP by them would mean nothing"
        )


def _facts(index: Index) -> list[str]:
    lines = [f"{index.split}: {len(index.ok_rows)} of {len(index)} images can be read"]
    if not index.is_labelled:
        return [*lines, "  no labels"]
    boxes = np.concatenate([row.faces for row in index.all_rows])
    sides = boxes[:, 2:] - boxes[:, :2]
    num_valid = sum(int(row.is_valid.sum()) for row in index.all_rows)
    num_empty = int((sides <= 0).any(axis=1).sum())
    lines.append(f"  {len(boxes)} faces, {num_valid} valid, {num_empty} of size zero")
    if num_valid == 0 or not index.ok_rows:
        return lines
    truth = load_ground_truth(index, None)
    kept = (f"{sum(int(mask.sum()) for mask in truth.kept[setting])} {setting}" for setting in SETTINGS)
    lines.append(f"  ground truth {truth.definition} of {len(truth.names)} images: {', '.join(kept)}")
    return lines
