"""crface dataset collect: a data set gathered and labelled, and what became of each source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.collect import Collected, FrameRule, Labelled, collect, face_heights, label
from pipeline.collect.gathering import RECORD
from pipeline.errors import UserError
from workflows.job.progress import shown_if_long

_MAX_NAMED = 10


def run_collect(
    sources: Sequence[Path],
    out: Path,
    labels: Sequence[Path],
    categories: Sequence[str],
    threshold: float,
    rule: FrameRule,
    max_pixels: int,
    show: bool,
) -> dict[str, Any]:
    """Make the data set and, with `show`, print what it contains; the same facts as JSON values.

    Unreadable files are named on standard error.
    """
    with shown_if_long("collect", "files") as progress:
        collected = collect(sources, out, threshold, rule, progress, max_pixels)
    unreadable = [f"{entry.source}: {entry.reason}" for entry in collected.of("unreadable")]
    _name("left out", unreadable)
    for note in collected.notes:
        click.echo(f"  {note}", err=True)
    if show:
        for line in _lines(collected):
            click.echo(line)
    labelled = label(collected, labels, categories) if labels else None
    if labelled is not None:
        _name("labels of a near-duplicate", labelled.dropped)
        _name("labels of no image", labelled.unknown)
        if labelled.fit.sentence:
            click.echo(f"  labels: {labelled.fit.sentence}", err=True)
        if show:
            for line in _label_lines(labelled):
                click.echo(line)
    heights = face_heights(collected.root) if collected.of("kept") else None
    if show and heights is not None:
        click.echo("\n" + "\n".join(heights.as_lines()))
    return {
        "out": str(collected.root),
        "images": len(collected.of("kept")),
        "near_duplicates": len(collected.of("near-duplicate")),
        "removed": collected.num_removed,
        "unreadable": unreadable,
        "notes": list(collected.notes),
        "labels": None
        if labelled is None
        else {
            "images": labelled.num_images,
            "faces": labelled.num_faces,
            "unlabelled": list(labelled.unlabelled),
            "dropped": list(labelled.dropped),
            "unknown": list(labelled.unknown),
            "fit": labelled.fit.sentence,
            "are_wrong": labelled.fit.is_wrong,
        },
        "heights": None if heights is None else heights.as_json(),
    }


def check(found: dict[str, Any]) -> None:
    """Raise UserError if a file could not be read or no image was kept; to be called after all output."""
    if number := len(found["unreadable"]):
        what = "1 file" if number == 1 else f"{number} files"
        raise UserError(f"{what} could not be read completely: repair or remove what is named above")
    if found["labels"] is not None and found["labels"]["are_wrong"]:
        raise UserError("the labels cannot be right, see above: an AP by them would mean nothing")
    if not found["images"]:
        raise UserError("no image was kept: no video has a frame that its rule chooses")


def _lines(collected: Collected) -> list[str]:
    kept, dropped = collected.of("kept"), collected.of("near-duplicate")
    frames = sum(entry.frame is not None for entry in kept)
    removed = f"; {collected.num_removed} kept by an earlier run are removed" if collected.num_removed else ""
    return [
        f"{len(kept) + len(dropped)} images looked at, {len(dropped)} dropped as near-duplicates{removed}",
        f"{len(kept)} images in {collected.root}: {len(kept) - frames} photographs, {frames} frames",
        f"what was dropped for what: {collected.root / RECORD}",
    ]


def _label_lines(labelled: Labelled) -> list[str]:
    lines = [f"labels: {labelled.num_faces} faces in {labelled.num_images} images"]
    if number := len(labelled.unlabelled):
        lines.append(f"  {number} images have no labels: they are not in the annotation text")
    return lines


def _name(what: str, items: Sequence[str]) -> None:
    for item in items[:_MAX_NAMED]:
        click.echo(f"  {what}: {item}", err=True)
    if len(items) > _MAX_NAMED:
        click.echo(f"  and {len(items) - _MAX_NAMED} more", err=True)
