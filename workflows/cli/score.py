"""`crface score`: AP of a folder of text results."""

import json
from pathlib import Path

import click

from workflows.cli.numbers import Number
from workflows.job.shown import show_table


@click.command()
@click.argument(
    "predictions", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="PRED_DIR"
)
@click.option(
    "--ground-truth",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder of the official .mat files, or a data set with them or with an annotation text.",
)
@click.option("--split", default="val", show_default=True, metavar="NAME", help="Split of the ground truth.")
@click.option(
    "--iou",
    default=0.5,
    show_default=True,
    type=Number(0.0, 1.0, min_open=True),
    metavar="IOU",
    help="IoU from which a detection matches a face.",
)
@click.option("--coco", "with_coco", is_flag=True, help="Also compute AP and AR as COCO does (slow).")
@click.option(
    "--pr-curves",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the precision-recall curves to this Parquet file.",
)
@click.option("--lenient", "is_lenient", is_flag=True, help="Skip and count what is wrong in the files.")
@click.option(
    "--allow-missing", is_flag=True, help="Count images without a result file as having no detections."
)
@click.option(
    "--spread-scores",
    "is_spread",
    is_flag=True,
    help="Replace scores by their ranks before computing the official AP; the output says so.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def score(
    predictions: Path,
    ground_truth: Path,
    split: str,
    iou: float,
    with_coco: bool,
    pr_curves: Path | None,
    is_lenient: bool,
    allow_missing: bool,
    is_spread: bool,
    as_json: bool,
) -> None:
    """Score a folder of text results.

    Prints WIDER FACE AP easy / medium / hard; no workspace is needed. PRED_DIR has a file <event>/<image>.txt for every
    image: its name, the number of detections, and lines x y w h score. The official AP is followed by the exact one,
    which uses every score as a threshold.

    \b
    Example:  crface score results/val --ground-truth /data/WIDER_FACE/ground_truth
              crface score results/val --ground-truth /data/WIDER_FACE --json
    """
    from pipeline.evaluate import score_report
    from pipeline.evaluate.score import open_results, score_results

    results = open_results(
        predictions, ground_truth, split, is_lenient=is_lenient, allow_missing=allow_missing
    )
    found = score_results(results, iou, is_spread=is_spread)
    coco = None
    if with_coco:
        from pipeline.evaluate.coco import coco_ap  # with matplotlib, if that is there, which takes a second

        coco = coco_ap(results.detections, results.truth.faces)
    if pr_curves is not None:
        score_report.write_curves(pr_curves, found)
    if as_json:
        click.echo(json.dumps(score_report.as_json(found, coco), indent=2))
    else:
        show_table(score_report.as_text(found, coco))
