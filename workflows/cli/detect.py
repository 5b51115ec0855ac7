"""`crface detect`: detections drawn on images."""

import json
from pathlib import Path
from typing import Any

import click

from pipeline.errors import UserError
from workflows.cli.numbers import Number
from workflows.cli.options import job_options, max_pixels, trust_everywhere
from workflows.cli.stage import StageCommand
from workflows.job.shown import wrapped


@click.command(cls=StageCommand)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--detector",
    default="retinaface-mobilenet0.25",
    show_default=True,
    metavar="NAME[@WEIGHTS]",
    help="The detector to run.",
)
@click.option(
    "--ranker",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A ranker.safetensors to refine the detector's confidences with.",
)
@click.option(
    "--opinion",
    "opinions",
    multiple=True,
    metavar="NAME[@WEIGHTS]",
    help="Weights of a detector that the ranker asks; repeat for more. Others are taken by their names.",
)
@click.option(
    "--threshold",
    default=0.5,
    show_default=True,
    type=Number(0.0, 1.0),
    help="Show detections with a confidence above this.",
)
@click.option(
    "--out",
    default=Path("detections"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for the drawn images.",
)
@job_options("max_megapixels")
@trust_everywhere
@click.option("--json", "as_json", is_flag=True, help="Print the boxes as JSON on standard output.")
def detect(
    images: tuple[Path, ...],
    detector: str,
    ranker: Path | None,
    opinions: tuple[str, ...],
    threshold: float,
    out: Path,
    max_megapixels: float | None,
    as_json: bool,
    is_trusted_everywhere: bool,
) -> None:
    """Draw detected faces on images.

    Writes one drawn copy of each of IMAGES and prints a line about it. A folder stands for all images in it. The copy
    of photo.jpg is photo-faces.jpg, or photo-faces-2.jpg if that is another file: no photograph is overwritten, and no
    drawn copy is searched for faces again.

    Boxes are x1 y1 x2 y2 in stored pixels (EXIF orientation is not applied), after NMS at IoU 0.4. If an image cannot
    be read, it is named, the others are still processed, and the exit status is 1.

    At least 8 images with --ranker are first compared with those that the ranker was trained on: the less alike they
    are, the less it is trusted. Fewer cannot be told from chance, and the ranker is trusted.

    \b
    Example:  crface detect photo.jpg --threshold 0.3
              crface detect photos/ --ranker ranker.safetensors --json > boxes.json
    """
    from pipeline.detect import FaceFinder, photographs, write_picture

    files, notes = photographs(images)
    for note in notes:
        click.echo(note, err=True)
    if not files:
        raise UserError(f"there is no image to look at in {', '.join(map(str, images[:3]))}")
    finder, limit = FaceFinder(detector, ranker, opinions), max_pixels(max_megapixels)
    judgement = None if is_trusted_everywhere else finder.judge(files, limit)
    if judgement is not None and judgement.trust < 1:
        click.echo(wrapped(judgement.sentence(detector)), err=True)
    answers: list[dict[str, Any]] = []
    num_bad = 0
    for image in files:
        try:
            found = finder.find(image, threshold, limit)
            picture = write_picture(found, image, out)
        except UserError as error:
            num_bad += 1
            answers.append({"image": str(image), "error": str(error)})
            click.echo(f"left out: {error}", err=True)
            continue
        if found.complaint:
            click.echo(f"damaged, but decoded: {image}: {found.complaint}", err=True)
        height, width = found.image.shape[:2]
        faces = [
            {"box_xyxy": [round(value, 2) for value in row[:4]], "confidence": round(row[4], 5)}
            for row in found.detections.tolist()
        ]
        answers.append(
            {
                "image": str(image),
                "width": width,
                "height": height,
                "faces": faces,
                "best_confidence": round(found.best, 5),
                "picture": str(picture),
            }
        )
        if not as_json:
            number = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
            click.echo(f"{image}: {number}, best confidence {found.best:.2f}; {picture}")
    if as_json:
        click.echo(json.dumps(answers, indent=2))
    if num_bad:
        raise UserError(f"{num_bad} of {len(files)} images could not be processed")
