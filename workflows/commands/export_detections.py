"""crface export-detections: a detector's stored detections as files for other programs."""

from dataclasses import replace
from pathlib import Path

import click

from pipeline.errors import UsageError, UserError
from pipeline.results.ap import Confidence
from workflows.commands.plans import JobPlans
from workflows.job.data import stored_indexes
from workflows.job.job import Job


def export_detections(job: Job, output: Path, form: str, confidence: Confidence) -> None:
    """Write the detections of the job's only detector after NMS, and print how many there are.

    Raises UsageError when the job has several detectors, UserError when nothing is stored for it.
    """
    from pipeline.export import WRITERS, read_detections  # needs torch, which --help does not wait for

    plans = JobPlans(job, stored_indexes(job))
    sources = plans.sources
    if len(sources) != 1:
        names = ", ".join(source.key.detector for source in sources)
        raise UsageError(f"one detector is exported at a time: choose one of {names} with --detector")
    source = sources[0]
    if confidence == "predicted":
        source = replace(source, ranker="", training="")
    elif not source.ranker:
        raise UserError("there is no ranker: run `crface train` and `crface rank`, or give one with --ranker")
    config = job.config.evaluate
    about = {
        "split": source.key.split,
        "detector": source.key.detector,
        "weights": source.weights,
        "protocol": source.key.protocol,
        "fingerprint": source.key.fingerprint,
        "confidence": confidence,
        "ranker": source.ranker,
        "nms_iou": f"{config.nms_iou:g}",
        "score_threshold": f"{config.score_threshold:g}",
    }
    images = list(read_detections(job.workspace, plans.evaluated, source, config))
    write = next(write for name, write in WRITERS.items() if name == form)
    write(output, images, about)
    number = sum(len(image.rows) for image in images)
    click.echo(f"{output}: {number} detections of {len(images)} images")
    click.echo(
        f"{source.key.detector} on {source.key.split}, {source.key.protocol}, {confidence} confidence, "
        f"NMS {config.nms_iou:g}, score > {config.score_threshold:g}"
    )
