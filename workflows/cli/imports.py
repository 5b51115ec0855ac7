"""`crface import-candidates`: the results of a detector that ran elsewhere."""

from pathlib import Path
from typing import Any

import click

from workflows.cli.options import job_options, make_job
from workflows.cli.stage import StageCommand


@click.command("import-candidates", cls=StageCommand)
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--name", required=True, metavar="NAME", help="Name to give the detector.")
@job_options("data", "out")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="For COCO results: the annotation file that names the images. Without it, each image_id must be a path.",
)
@click.option(
    "--protocol",
    default="imported",
    show_default=True,
    metavar="NAME",
    help="One word for how the images were presented to the detector; shown beside every AP.",
)
@click.option(
    "--allow-missing", is_flag=True, help="Store images that are missing from the results as having no boxes."
)
@job_options("config")
@click.option(
    "--split", metavar="NAME", help="Split that the results belong to.  [default: val, or the only one]"
)
def import_candidates(
    source: Path, name: str, images: Path | None, protocol: str, allow_missing: bool, **options: Any
) -> None:
    """Import the boxes of a foreign detector.

    They can then be ranked and evaluated as imported:NAME. SOURCE is a folder of WIDER FACE text results
    (<event>/<image>.txt: name, count, lines x y w h score), a COCO file of detections, or a Parquet file as
    `crface export-detections` writes it. Anything unusable is named; either everything is stored or nothing.

    \b
    Example:  crface import-candidates results/ --name tinaface --data /data/WIDER_FACE
              crface evaluate --detector imported:tinaface --data /data/WIDER_FACE
    """
    from workflows.commands import import_candidates as command

    command.import_candidates(make_job(**options), source, images, name, protocol, allow_missing)
