"""Training examples of the ranker, made ahead on threads from image files and stored candidates."""

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from crface.training.examples import Example, draw, make_example
from crface.training.replicas import ALONE, Replicas
from pipeline.blocks.store import CandidateStore
from pipeline.config.sections import TrainConfig
from pipeline.dataset.index import Index

_BATCHES_AHEAD = 3

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image reduced to at most twice the ranker's side, and its valid faces in its pixels."""

    image: UInt8[np.ndarray, "height width 3"]
    faces: Float32[np.ndarray, "face 4"]
    scale: Float32[np.ndarray, "4"]
    """What coordinates of the original image (x, y, x, y) are multiplied by."""


@contextmanager
def no_helping_threads() -> Iterator[None]:
    """Have OpenCV work in the thread that calls it, in the whole process, until the context ends.

    Threads that each make an example are as many as there are cores for them: helpers, which OpenCV keeps waiting
    on every core, would take turns with them.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class ExampleSource:
    """The images to train on with their candidates by each detector, as augmented examples.

    Images are kept reduced, those read first stay in memory with their candidates (reading these costs as much
    as decoding a small JPEG): a reduction keeps every detail that the ranker can be shown, and fills the memory,
    and a processor's time, less than the whole. Safe to use from several threads.
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
        self._found: dict[tuple[int, int], Float32[np.ndarray, "_ 5"]] = {}
        self._bytes_left = image_cache_bytes
        self._lock = threading.Lock()

    def photograph(self, image: int) -> Photograph:
        """Give an image by its place among the rows; raises ImageError if it cannot be read any more."""
        made = self._kept.get(image)
        if made is None:
            made = self._read(self._rows[image])
            self._keep(self._kept, image, made, made.image.nbytes)
        return made

    def candidates(self, image: int, detector: int) -> Float32[np.ndarray, "candidate 5"]:
        """Give a detector's candidates of an image, by their places, in pixels of the original."""
        found = self._found.get((image, detector))
        if found is None:
            found = self._stores[detector].read(self._rows[image])
            self._keep(self._found, (image, detector), found, found.nbytes)
        return found

    def batches(
        self, first_step: int, num_threads: int, replicas: Replicas = ALONE
    ) -> Generator[list[Example], None, None]:
        """Give the examples of every step from `first_step` on, in order; a few batches are made ahead.

        Of several processes each gets its part of every batch. What a batch holds depends on the configuration
        and the step alone (see `crface.training.examples.draw`). Closing the iterator drops what was made ahead.
        """
        config = self.config
        ahead: deque[list[Future[Example]]] = deque()
        with no_helping_threads():
            pool = ThreadPoolExecutor(num_threads, thread_name_prefix="examples")
            try:
                for step in range(first_step, config.iterations):
                    drawn = draw(config.seed, step, len(self._rows), len(self._stores), config.batch_size)
                    mine = list(enumerate(drawn.images))[replicas.part(config.batch_size)]
                    ahead.append(
                        [
                            pool.submit(self._example, image, drawn.detector, (config.seed, step, place))
                            for place, image in mine
                        ]
                    )
                    if len(ahead) > _BATCHES_AHEAD:
                        yield [future.result() for future in ahead.popleft()]
                while ahead:
                    yield [future.result() for future in ahead.popleft()]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int) -> list[Example]:
        """Give the examples of one step, those of all processes."""
        config = self.config
        drawn = draw(config.seed, step, len(self._rows), len(self._stores), config.batch_size)
        return [
            self._example(image, drawn.detector, (config.seed, step, place))
            for place, image in enumerate(drawn.images)
        ]

    def paths(self, step: int) -> list[str]:
        """Name the images of a step, in the order of its batch."""
        config = self.config
        drawn = draw(config.seed, step, len(self._rows), len(self._stores), config.batch_size)
        return [self._index.row(self._rows[image]).path for image in drawn.images]

    def _example(self, image: int, detector: int, seed: tuple[int, int, int]) -> Example:
        photograph = self.photograph(image)
        candidates = self.candidates(image, detector)
        return make_example(
            photograph.image,
            np.concatenate([candidates[:, :4] * photograph.scale, candidates[:, 4:]], axis=1),
            photograph.faces,
            seed,
            self.config.num_candidates,
            self.config.image_side_px,
            self.config.augmentation == "wide",
        )

    def _keep(self, kept: dict[Key, Value], key: Key, value: Value, num_bytes: int) -> None:
        """Keep what was read, if it is not there and there is room for it."""
        with self._lock:
            if key not in kept and num_bytes <= self._bytes_left:
                kept[key] = value
                self._bytes_left -= num_bytes

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
