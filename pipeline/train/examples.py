"""Training examples of the ranker, made ahead on threads from image files and stored candidates."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float32

from crface.array_shapes import RgbImage
from crface.training.examples import Draw, Example, draw, make_example, with_some_unasked
from crface.training.replicas import ALONE, Replicas
from pipeline.blocks.asked import Candidates
from pipeline.config.sections import TrainConfig
from pipeline.dataset.index import Index
from pipeline.train.read_ahead import Room, made_ahead


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image reduced to at most twice the ranker's side, and its valid faces in its pixels."""

    image: RgbImage
    faces: Float32[np.ndarray, "face 4"]
    scale: Float32[np.ndarray, "4"]
    """What coordinates of the original image (x, y, x, y) are multiplied by."""


class ExampleSource:
    """The images to train on with their candidates by each detector, as augmented examples.

    Images are kept reduced; those read first stay in memory with their candidates (reading these costs as much as
    decoding a small JPEG). A reduced image has every detail that the ranker can be shown, and takes less memory and
    processor time than the whole one. Safe to use from several threads.
    """

    def __init__(
        self,
        index: Index,
        rows: Sequence[int],
        stores: Sequence[Candidates],
        config: TrainConfig,
        image_cache_bytes: int,
    ) -> None:
        self.config = config
        self._index = index
        self._rows = rows
        self._stores = stores
        self._kept: dict[int, Photograph] = {}
        self._found: dict[tuple[int, int], np.ndarray] = {}
        self._room = Room(image_cache_bytes)

    def photograph(self, image: int) -> Photograph:
        """An image by its place among the rows; raises ImageError if it can no longer be read."""
        made = self._kept.get(image)
        if made is None:
            made = self._read(self._rows[image])
            self._room.keep(self._kept, image, made, made.image.nbytes)
        return made

    def candidates(self, image: int, detector: int) -> Float32[np.ndarray, "candidate number"]:
        """A detector's candidates of an image, both by their places, in pixels of the original."""
        found = self._found.get((image, detector))
        if found is None:
            found = self._stores[detector].read(self._rows[image])
            self._room.keep(self._found, (image, detector), found, found.nbytes)
        return found

    def batches(
        self, first_step: int, num_threads: int, replicas: Replicas = ALONE
    ) -> Generator[list[Example], None, None]:
        """The examples of every step from `first_step` on, in order; a few batches are made ahead.

        Each of several processes gets its part of every batch. What a batch holds depends on the configuration
        and the step alone (see `crface.training.examples.draw`). Closing the iterator drops what was made ahead.
        """
        config = self.config
        mine = replicas.part(config.batch_size)
        steps = range(first_step, config.iterations)
        return made_ahead((self._calls(step)[mine] for step in steps), num_threads)

    def batch(self, step: int) -> list[Example]:
        """The examples of one step, those of all processes."""
        return [make() for make in self._calls(step)]

    def paths(self, step: int) -> list[str]:
        """The images of a step, in the order of its batch."""
        return [self._index.row(self._rows[image]).path for image in self._draw(step).images]

    def _draw(self, step: int) -> Draw:
        config = self.config
        return draw(config.seed, step, len(self._rows), len(self._stores), config.batch_size)

    def _calls(self, step: int) -> list[Callable[[], Example]]:
        """A call for each example of a step."""
        drawn = self._draw(step)
        return [
            partial(self._example, image, drawn.detector, (self.config.seed, step, place))
            for place, image in enumerate(drawn.images)
        ]

    def _example(self, image: int, detector: int, seed: tuple[int, int, int]) -> Example:
        photograph = self.photograph(image)
        candidates = with_some_unasked(self.candidates(image, detector), seed)
        return make_example(
            photograph.image,
            np.concatenate([candidates[:, :4] * photograph.scale, candidates[:, 4:]], axis=1),
            photograph.faces,
            seed,
            self.config.num_candidates,
            self.config.image_side_px,
            self.config.augmentation == "wide",
        )

    def _read(self, row: int) -> Photograph:
        image = self._index.read_image(row)
        labels = self._index.row(row)
        height, width = image.shape[:2]
        factor = min(1.0, 2 * self.config.image_side_px / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        if size != (width, height):
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = np.array([size[0] / width, size[1] / height] * 2, np.float32)
        return Photograph(image, labels.faces[labels.is_valid] * scale, scale)
