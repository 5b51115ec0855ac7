"""`crface export-detections`: stored detections as files for other programs."""

from pathlib import Path
from typing import Any

import click

from workflows.cli.options import job_options, make_job
from workflows.cli.stage import StageCommand


@click.command("export-detections", cls=StageCommand)
@click.argument("output", type=click.Path(path_type=Path))
@job_options("out")
@click.option(
    "--format",
    "form",
    default="widerface",
    show_default=True,
    type=click.Choice(["widerface", "coco", "parquet", "fiftyone"]),
    help="WIDER FACE text results (a folder), COCO detections (JSON, image_id is the path), Parquet with one row"
    " per image, or labels for FiftyOne (JSON).",
)
@click.option(
    "--confidence",
    default="predicted",
    show_default=True,
    type=click.Choice(["predicted", "ranked"]),
    help="The detector's confidences, or those refined by `crface rank`.",
)
@job_options("data", "config", "detector", "protocol", "ranker", "split")
def export_detections(output: Path, form: str, confidence: Any, **options: Any) -> None:
    """Export detections for other programs.

    Writes one detector's detections after NMS to OUTPUT, the ones `crface evaluate` measures.

    \b
    Example:  crface export-detections results/val --out runs/demo
              crface export-detections ranked.json --format coco --confidence ranked
              crface export-detections labels.json --format fiftyone
    """
    from workflows.commands import export_detections as command

    command.export_detections(make_job(**options), output, form, confidence)
