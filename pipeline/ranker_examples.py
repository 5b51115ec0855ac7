"""Training examples of the ranker, made ahead on threads from image files and stored candidates."""

import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from crface.training import Example, draw, make_example
from pipeline.config import TrainConfig
from pipeline.index import Index
from pipeline.store import CandidateStore

_BATCHES_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image reduced to at most twice the ranker's side, and its valid faces in its pixels."""

    image: UInt8[np.ndarray, "height width 3"]
    faces: Float32[np.ndarray, "face 4"]
    scale: Float32[np.ndarray, "4"]
    """What coordinates of the original image (x, y, x, y) are multiplied by."""


class ExampleSource:
    """The images to train on with their candidates by each detector, as augmented examples.

    Images are kept reduced, those read first stay in memory: a reduction keeps every detail that the ranker
    can be shown, and fills the memory, and a processor's time, less than the whole. Safe to use from several
    threads.
    """

    def __init__(
        self,
        index: Index,
        rows: Sequence[int],
        stores: Sequence[CandidateStore],
        config: TrainConfig,
        image_cache_bytes: int,
    ) -> None:
        self.config = config
        self._index = index
        self._rows = rows
        self._stores = stores
        self._kept: dict[int, Photograph] = {}
        self._bytes_left = image_cache_bytes
        self._lock = threading.Lock()

    def photograph(self, image: int) -> Photograph:
        """Give an image by its place among the rows; raises ImageError if it cannot be read any more."""
        kept = self._kept.get(image)
        if kept is not None:
            return kept
        made = self._read(self._rows[image])
        with self._lock:
            if image not in self._kept and made.image.nbytes <= self._bytes_left:
                self._kept[image] = made
                self._bytes_left -= made.image.nbytes
        return made

    def batches(self, first_step: int, num_threads: int) -> Generator[list[Example], None, None]:
        """Give the examples of every step from `first_step` on, in order; a few batches are made ahead.

        What a batch holds depends on the configuration and the step alone (see `crface.training.draw`).
        Closing the iterator drops what was made ahead.
        """
        config = self.config
        ahead: deque[list[Future[Example]]] = deque()
        pool = ThreadPoolExecutor(num_threads, thread_name_prefix="examples")
        try:
            for step in range(first_step, config.iterations):
                drawn = draw(config.seed, step, len(self._rows), len(self._stores), config.batch_size)
                ahead.append(
                    [
                        pool.submit(self._example, image, drawn.detector, (config.seed, step, place))
                        for place, image in enumerate(drawn.images)
                    ]
                )
                if len(ahead) > _BATCHES_AHEAD:
                    yield [future.result() for future in ahead.popleft()]
            while ahead:
                yield [future.result() for future in ahead.popleft()]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def paths(self, step: int) -> list[str]:
        """Name the images of a step, in the order of its batch."""
        config = self.config
        drawn = draw(config.seed, step, len(self._rows), len(self._stores), config.batch_size)
        return [self._index.row(self._rows[image]).path for image in drawn.images]

    def _example(self, image: int, detector: int, seed: tuple[int, int, int]) -> Example:
        photograph = self.photograph(image)
        candidates = self._stores[detector].read(self._rows[image])
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
