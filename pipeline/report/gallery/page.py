"""What a self-contained page has of the gallery: pictures, records, and a few pictures that need no script."""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.spec import one_torch_thread
from pipeline.ground_truth.truth import GroundTruth
from pipeline.images.decode import ImageError
from pipeline.report.gallery.choosing import most_changed, within_budget
from pipeline.report.gallery.pictures import data_uri, reduced_jpeg
from pipeline.report.gallery.reading import open_images, source_name, split_faces
from pipeline.report.gallery.records import (
    Json,
    detector_record,
    image_names,
    image_record,
    script_safe,
    split_record,
    survey_record,
)
from pipeline.report.gallery.still import StillPicture, still_pictures
from pipeline.report.gallery.survey import Survey, survey

_LONG_SIDE_PX: Final = 800
_STILL_EACH = 2  # for a detector, of those helped and of those hurt


@dataclass(frozen=True, slots=True)
class Picture:
    """A reduced image of the page."""

    row: int
    path: str
    width: int
    height: int
    """Both of the image as it is stored."""
    data_uri: str


@dataclass(frozen=True, slots=True)
class Stills:
    """A detector's pictures that need no script."""

    detector: str
    sides: tuple[str, str]
    """The names of both confidences."""
    pictures: list[StillPicture]


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the template of the gallery needs."""

    pictures: dict[int, Picture]
    """Of the images shown, by row, in the order of choice."""
    num_changed: int
    """Images that changed for at least one detector."""
    num_surveyed: int
    num_images: int
    """Those of the split."""
    stills: list[Stills]
    """Pictures for readers without a script."""
    data: Markup
    """The records, as JSON inside HTML."""


def contents(evaluation: EvaluationInput, truth: GroundTruth, budget_bytes: int) -> Contents:
    """The changed images of all sources, the most changed first, as many as the budget holds.

    Raises UserError when candidates or scores are missing or damaged.
    """
    with one_torch_thread():
        return _contents(evaluation, truth, budget_bytes)


def _contents(evaluation: EvaluationInput, truth: GroundTruth, budget_bytes: int) -> Contents:
    index, config = evaluation.index, evaluation.config
    faces = split_faces(index, truth)
    sources = [open_images(evaluation.workspace, one, faces, config) for one in evaluation.sources]
    rows = sorted(faces.of_row)
    surveys = [survey(images, rows) for images in sources]
    records: dict[int, list[Json | None]] = {}
    pictures: dict[int, Picture] = {}

    def size_bytes(row: int) -> int:
        try:
            pixels = index.read_image(row)
        except ImageError:
            return 0  # it has gone since it was evaluated
        entry = index.row(row)
        uri = data_uri(reduced_jpeg(pixels, _LONG_SIDE_PX))
        records[row] = [_record(found, row) for found in surveys]
        pictures[row] = Picture(row, entry.path, entry.width, entry.height, uri)
        return len(uri) + len(script_safe({"records": records[row]}))

    names = [source_name(one) for one in evaluation.sources]
    changed = list(most_changed([one.lines for one in surveys]))
    chosen = within_budget(iter(changed), size_bytes, budget_bytes)
    data = {
        **split_record(index, is_labelled=True, iou=config.iou),
        "detectors": [
            {
                **detector_record(images, names[number]),
                **survey_record(found, chosen),
                "images": {row: records[row][number] for row in chosen},
            }
            for number, (images, found) in enumerate(zip(sources, surveys, strict=True))
        ],
        "names": image_names(index, sorted(chosen)),
    }
    return Contents(
        pictures={row: pictures[row] for row in chosen},
        num_changed=len(changed),
        num_surveyed=max((len(one.lines) for one in surveys), default=0),
        num_images=len(rows),
        stills=[
            Stills(name, ("predicted", images.after), still_pictures(found, chosen, _STILL_EACH))
            for name, images, found in zip(names, sources, surveys, strict=True)
        ],
        data=Markup(script_safe(data)),  # noqa: S704 - no character of it has a meaning in HTML
    )


def _record(found: Survey, row: int) -> Json | None:
    image = found.images.get(row)
    return None if image is None else image_record(image)
