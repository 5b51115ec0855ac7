"""The frames of a video, one in memory at a time: every n-th, or the first of each scene."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from crface.array_shapes import RgbImage
from pipeline.collect.similarity import signature, similarity
from pipeline.errors import UsageError, UserError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv"}
)
"""Suffixes of files that are read as videos, in lower case."""

_MISSING = 0.05  # share of the announced frames that may be missing: some containers only estimate the number

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # its messages do not name the file; ours do


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRule:
    """The rule for which frames of a video are looked at. Raises UsageError for numbers out of range."""

    every: int | None = 25
    """Every n-th frame is looked at, beginning with the first; None: the first frame of each scene."""
    scene_threshold: float = 0.5
    """A frame starts a scene if its similarity to the frame before it is not above this."""

    def __post_init__(self) -> None:
        if (self.every is not None and self.every < 1) or not 0 <= self.scene_threshold <= 1:
            raise UsageError(
                f"every {self.every} frames, scene threshold {self.scene_threshold}: from 1, and 0 to 1"
            )

    @property
    def key(self) -> list[float | str]:
        """Everything that decides which frames are looked at, as JSON values."""
        return ["scenes", self.scene_threshold] if self.every is None else ["every", self.every]


class VideoError(UserError):
    """A video cannot be read, or not to its end; `reason` says why."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)  # both in args, as for ImageError
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read the video {self.path}: {self.reason}"


def video_frames(path: Path, rule: FrameRule, max_pixels: int) -> Iterator[tuple[int, RgbImage]]:
    """The number, from 0, and RGB pixels of each frame that the rule chooses, rotated upright by its header.

    Raises VideoError if it cannot be opened or its frames are larger than `max_pixels`, and, after the frames that
    there are, if it ends before the number of frames that it announces.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError(path, error.strerror or str(error)) from error
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise VideoError(path, "it is no video that OpenCV can decode")
        width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > max_pixels:
            raise VideoError(path, f"its {width} x {height} pixels are more than {max_pixels:,}")
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = yield from _chosen(capture, rule)
    finally:
        capture.release()
    if number == 0:
        raise VideoError(path, "it has no frame that can be decoded")
    if announced - number > max(2, _MISSING * announced):
        raise VideoError(path, f"it ends after {number} of the {announced} frames that it announces")


def _chosen(capture: cv2.VideoCapture, rule: FrameRule) -> Generator[tuple[int, RgbImage], None, int]:
    """The chosen frames; the generator returns the total number of frames."""
    number, before = 0, None
    while capture.grab():  # no colour conversion, which makes skipped frames cheaper
        if rule.every is None or number % rule.every == 0:
            found, bgr = capture.retrieve()
            if not found:
                break
            rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            if rule.every is not None:
                yield number, rgb
            else:
                now = signature(rgb)
                if before is None or similarity(before, now) <= rule.scene_threshold:
                    yield number, rgb
                before = now
        number += 1
    return number
