"""A job's data set, made first if it is the embedded one, and the workspace's indexes of it."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import click

from pipeline.config.sections import DatasetConfig
from pipeline.dataset.index import Index, IndexUpdate, load_index, store_index, update_index
from pipeline.dataset.splits import EIGHT_K_SPLIT, LARGE_SPLIT, find_splits
from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, listed
from workflows.job.job import Job
from workflows.job.progress import shown_if_long

EMBEDDED = "data"
"""Folder of the embedded data set inside a workspace that has one."""
ON_REQUEST = (LARGE_SPLIT, EIGHT_K_SPLIT)
"""The splits that the embedded data set has only where they are asked for."""
_MAX_NAMED = 10


def data_root(job: Job) -> Path:
    """The data set's folder: the user's, else the one the workspace was made from, else that of the embedded one."""
    if job.data is not None:
        return job.data.absolute()
    known = listed(job.workspace.index("x").parent, "*.parquet")
    inside = job.workspace.root / EMBEDDED
    if not isinstance(inside, Path):
        if not known:
            raise UserError(
                f"the workspace {job.workspace.root} is empty, and the embedded data set is made in folders only: "
                "give a data set with --data (`crface dataset make FOLDER` makes the embedded one)"
            )
        return load_index(job.workspace, known[0].stem).data_root
    if not known:
        return inside
    root = load_index(job.workspace, known[0].stem).data_root
    # a workspace that was copied or moved has its embedded data set with it
    return inside if root.name == EMBEDDED and inside.is_dir() else root


def is_embedded(workspace: Workspace, root: Path) -> bool:
    """Whether a data set is the workspace's own embedded one, so that its figures can be labelled as such."""
    return root == workspace.root / EMBEDDED


def has_foreign_data(out: Place | None) -> bool:
    """Whether a workspace exists that was made from a user's own data set."""
    if out is None or (isinstance(out, Path) and (out / EMBEDDED).is_dir()):
        return False
    return bool(listed(Workspace(out).index("x").parent, "*.parquet"))


def make_embedded(folder: Path, config: DatasetConfig) -> None:
    """Make the embedded data set if it does not exist yet, showing progress."""
    from pipeline.embedded import (
        make_dataset,  # imported here: needs SciPy and OpenCV, which no other command waits for
    )

    with shown_if_long("data set") as progress:
        make_dataset(folder, config, progress)


def _make_extra_split(folder: Path, split: str, config: DatasetConfig) -> None:
    from pipeline.embedded.extra_splits import make_extra_split

    with shown_if_long(f"split {split}") as progress:
        make_extra_split(folder, split, config, progress)


def asked_for(job: Job, root: Path, splits: Iterable[str], also: Collection[str] = ()) -> list[str]:
    """The splits without those that the embedded data set has on request, but for the job's and those in `also`."""
    wanted = {job.split, *also}
    return [
        split
        for split in splits
        if split not in ON_REQUEST or split in wanted or not is_embedded(job.workspace, root)
    ]


def update_indexes(job: Job, also: Collection[str] = ()) -> dict[str, Index]:
    """Update the index of every split and print what changed; the indexes by split.

    The embedded data set is made first; its splits `large` and `8k` only if the job is of them or `also` names them.

    The caller holds the workspace's lock. Raises UserError when there is no data set, or it is damaged.
    """
    root = data_root(job)
    if is_embedded(job.workspace, root):
        make_embedded(root, job.config.dataset)
        for split in ON_REQUEST:
            if split == job.split or split in also:
                _make_extra_split(root, split, job.config.dataset)
    indexes = {}
    for split in asked_for(job, root, find_splits(root), also):
        with shown_if_long(f"index of {split}") as progress:
            update = update_index(
                job.workspace, root, split, progress, max_pixels=job.config.cache.max_pixels
            )
        _say(split, update)
        indexes[split] = update.index
    return indexes


def stored_indexes(job: Job) -> dict[str, Index]:
    """The indexes as stored, by split; the data set is looked at only if it is in another folder now.

    A folder with the same images and labels is the same data set in another place, which the indexes then record.

    Raises UserError when the workspace has no index, or was made from another data set than the job's.
    """
    folder = job.workspace.index("x").parent
    splits = [path.stem for path in listed(folder, "*.parquet")]
    if not splits:
        raise UserError(
            f"the workspace {job.workspace.root} is empty: run `crface cache` first, or choose another with --out"
        )
    order = {name: i for i, name in enumerate(("train", "val", "test"))}
    splits.sort(key=lambda split: (order.get(split, len(order)), split))
    indexes = {split: load_index(job.workspace, split) for split in splits}
    root = next(iter(indexes.values())).data_root
    now = data_root(job)
    if not now.is_dir():
        raise UserError(
            f"the data set {now} is not there any more: say with --data where it is now; no image is computed again "
            "if all are the same"
        )
    if now.resolve() == root.resolve():
        return indexes
    return {split: _moved(job, now, split, root) for split in indexes}


def _moved(job: Job, data: Path, split: str, before: Path) -> Index:
    """The index of a split that is now in the folder `data`, stored with that folder."""
    limit = job.config.cache.max_pixels
    try:
        with shown_if_long(f"index of {split}") as progress:
            update = update_index(job.workspace, data, split, progress, is_dry_run=True, max_pixels=limit)
        differences = ", ".join(update.differences)
    except UserError as error:
        differences = str(error)
    if differences:
        raise UserError(
            f"the workspace {job.workspace.root} was made from {before}, and {data} has not the same images in "
            f"{split} ({differences}): run `crface cache` with this --data first, or choose another --out"
        )
    store_index(job.workspace, update.index)
    return update.index


def evaluation_split(indexes: Mapping[str, Index], chosen: str | None) -> Index:
    """The index of the split to evaluate: the chosen one, else val, else the only one.

    Raises UserError when none of these exists.
    """
    if chosen is not None:
        return chosen_split(indexes, chosen)
    if "val" in indexes:
        return indexes["val"]
    if len(indexes) == 1:
        return next(iter(indexes.values()))
    raise UserError(f"the data set has no val split but {', '.join(indexes)}: choose one with --split")


def chosen_split(indexes: Mapping[str, Index], name: str) -> Index:
    """A split's index; raises UserError that names the existing splits."""
    if name not in indexes:
        raise UserError(f"the data set has no split {name}: it has {', '.join(indexes)}")
    return indexes[name]


def _say(split: str, update: IndexUpdate) -> None:
    index = update.index
    counts = update.differences
    faces = sum(len(index.row(row).faces) for row in index.ok_rows)
    labelled = f", {faces} faces" if index.is_labelled else ", no labels"
    click.echo(
        f"index of {split}: {len(index.ok_rows)} images{labelled}"
        + (f" ({', '.join(counts)})" if counts else "")
    )
    for note in update.notes:
        click.echo(f"  {note}", err=True)
    for path, reason in update.unreadable[:_MAX_NAMED]:
        click.echo(f"  left out: {path}: {reason}", err=True)
    if len(update.unreadable) > _MAX_NAMED:
        click.echo(f"  and {len(update.unreadable) - _MAX_NAMED} more that cannot be read", err=True)
