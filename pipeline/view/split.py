"""One split of a workspace as the viewer's page asks for it: JSON records, and images as JPEG."""

import json
from collections import Counter
from collections.abc import Sequence
from threading import BoundedSemaphore, Lock
from typing import Final

from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth
from pipeline.images.decode import ImageError
from pipeline.report.gallery.pictures import reduced_jpeg
from pipeline.report.gallery.reading import SourceImages, open_images, source_name, split_faces
from pipeline.report.gallery.records import (
    Json,
    detector_record,
    image_names,
    image_record,
    split_record,
    survey_record,
)
from pipeline.report.gallery.survey import survey
from pipeline.workspace.layout import Workspace

LARGE_PX: Final = 1600
SMALL_PX: Final = 160

_DECODED_AT_A_TIME = 2  # an 8K image takes a hundred megabytes


class Missing(Exception):  # noqa: N818 - an answer of the server, no failure of it
    """There is nothing of that number."""


class SplitView:
    """Answers for all images and detectors of a split; may be called from several threads."""

    def __init__(
        self,
        workspace: Workspace,
        index: Index,
        truth: GroundTruth | None,
        sources: Sequence[Source],
        config: EvaluateConfig,
    ) -> None:
        self._index = index
        faces = split_faces(index, truth)
        self._sources = [open_images(workspace, source, faces, config) for source in sources]
        self._names = menu_names(sources)
        self._iou = config.iou
        self._is_labelled = faces.is_labelled
        self._surveys: dict[int, bytes] = {}
        self._surveying = [Lock() for _ in sources]
        self._decoding = BoundedSemaphore(_DECODED_AT_A_TIME)

    @property
    def num_images(self) -> int:
        """The images that can be looked at: those that decode."""
        return len(self._index.ok_rows)

    def split_json(self) -> bytes:
        """The menu of detectors and the name and size of every image."""
        detectors = [
            detector_record(images, name) for images, name in zip(self._sources, self._names, strict=True)
        ]
        return _encoded(
            {
                **split_record(self._index, is_labelled=self._is_labelled, iou=self._iou),
                "detectors": detectors,
                "names": image_names(self._index, self._index.ok_rows),
            }
        )

    def survey_json(self, detector: int) -> bytes:
        """The slider's steps and a line an image; made when it is first asked for, which takes a while.

        Raises Missing, and UserError when a store is damaged.
        """
        images = self._source(detector)
        with self._surveying[detector]:
            if detector not in self._surveys:
                self._surveys[detector] = _encoded(survey_record(survey(images, self._index.ok_rows)))
            return self._surveys[detector]

    def image_json(self, detector: int, row: int) -> bytes:
        """The boxes and faces of one image.

        Raises Missing, and UserError when nothing is stored for it or the store is damaged.
        """
        images = self._source(detector)
        self._require(row)
        try:
            return _encoded(image_record(images.judged(row)))
        except IndexError:
            raise Missing(f"row {row} is newer than the candidates: run `crface cache`") from None

    def picture(self, row: int, long_side_px: int) -> bytes:
        """One image as JPEG, reduced.

        Raises Missing when there is no such image or it cannot be read any more.
        """
        self._require(row)
        target = self._index.image_path(row).resolve()
        folders = (self._index.image_folder, self._index.data_root)
        # as in the index: in a folder without labels, the user put the link there
        if self._index.is_labelled and not any(target.is_relative_to(one.resolve()) for one in folders):
            raise Missing(f"row {row} is a link that leads out of the data set")
        try:
            with self._decoding:
                return reduced_jpeg(self._index.read_image(row), long_side_px)
        except ImageError as error:
            raise Missing(str(error)) from error

    def _source(self, detector: int) -> SourceImages:
        if not 0 <= detector < len(self._sources):
            raise Missing(f"there is no detector {detector}: there are {len(self._sources)}")
        return self._sources[detector]

    def _require(self, row: int) -> None:
        if not 0 <= row < len(self._index) or self._index.row(row).status != "ok":
            raise Missing(f"there is no image {row}")


def menu_names(sources: Sequence[Source]) -> list[str]:
    """A name for each source, with fingerprints where the detector and the protocol leave it open which is meant."""
    plain = [source_name(source) for source in sources]
    counts = Counter(plain)
    return [
        name if counts[name] == 1 else f"{name} ({source.key.fingerprint[:6]}{_ranker_words(source)})"
        for name, source in zip(plain, sources, strict=True)
    ]


def _ranker_words(source: Source) -> str:
    return f", ranker {source.ranker[:6]}" if source.ranker else ""


def _encoded(record: Json) -> bytes:
    try:
        return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise UserError(f"a stored number is not finite: run `crface verify` ({error})") from error
