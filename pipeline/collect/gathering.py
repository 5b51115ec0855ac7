"""Gathering of photographs and frames into a data set, except those too similar to one taken before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from crface.array_shapes import RgbImage
from pipeline.collect.record import Entry, kept_before, write_record
from pipeline.collect.signatures import PHOTOGRAPH, Scanned, SignatureCache
from pipeline.collect.similarity import Seen, signature
from pipeline.collect.sources import SourceFile, find_sources
from pipeline.collect.video import FrameRule, VideoError, video_frames
from pipeline.errors import UsageError, UserError
from pipeline.images.decode import MAX_PIXELS, ImageError, examined_image, read_bytes
from pipeline.workspace.writing import write_atomically

RECORD: Final = "collected.csv"
"""The file in the data set's folder that lists everything that was looked at."""
SPLIT: Final = "val"
"""A test set is what `crface evaluate` takes without being told: val."""

_SIGNATURES = ".signatures"
_JPEG_QUALITY = 95

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run found and kept."""

    root: Path
    """The data set's folder."""
    entries: tuple[Entry, ...]
    num_removed: int
    """The number of images of an earlier run that are no longer kept."""
    notes: tuple[str, ...]
    """Sentences on what lies in the sources and is passed over."""

    def of(self, outcome: str) -> list[Entry]:
        """The entries with one outcome, in order."""
        return [entry for entry in self.entries if entry.outcome == outcome]


def image_folder(root: Path) -> Path:
    """The folder of the data set's images."""
    return root / f"WIDER_{SPLIT}" / "images"


def collect(
    sources: Sequence[Path],
    out: Path,
    threshold: float = 0.5,
    rule: FrameRule | None = None,
    progress: Progress = lambda done, total: None,
    max_pixels: int = MAX_PIXELS,
) -> Collected:
    """Write a data set in WIDER FACE's layout (split val, without labels) and `collected.csv` to the folder `out`.

    Sources are taken in the order given, their files by name, a video's frames as they come. What is more than
    `threshold` similar to anything taken before is a near-duplicate. Photographs are copied byte for byte, frames
    are written as JPEG of quality 95. One image is in memory, and 7 KB for each that was kept. What has more than
    `max_pixels` is among the unreadable.

    A second run decodes only what is new, has changed, or is kept now and was not before; it removes images of the
    run before that are no longer kept, and no other file. Sources are never written to.

    Raises UsageError as `find_sources` does and when `out` holds something else, UserError when it cannot be written.
    """
    rule = rule or FrameRule()
    if not 0 <= threshold <= 1:
        raise UsageError(f"the similarity threshold {threshold} is not between 0 and 1")
    out = out.absolute()
    files, bad, notes = find_sources(sources, out)
    if out.exists() and not (out / _SIGNATURES).is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty and was not made by this command: choose another --out")
    try:
        (out / _SIGNATURES).mkdir(parents=True, exist_ok=True)
        before = kept_before(out / RECORD)
        gatherer = _Gatherer(out, threshold, rule, max_pixels)
        for done, file in enumerate(files):
            progress(done, len(files))
            gatherer.take(file)
        progress(len(files), len(files))
        entries = gatherer.entries + [
            Entry(source=str(path), outcome="unreadable", reason=reason) for path, reason in bad
        ]
        stale = set(before) - {entry.image for entry in entries if entry.outcome == "kept"}
        for image in stale:
            (image_folder(out) / image).unlink(missing_ok=True)
        write_record(out / RECORD, entries)
    except OSError as error:
        raise UserError(f"cannot write the data set {out}: {error.strerror or error}") from error
    return Collected(out, tuple(entries), len(stale), (*notes, *gatherer.notes))


class _Gatherer:
    def __init__(self, out: Path, threshold: float, rule: FrameRule, max_pixels: int) -> None:
        self.entries: list[Entry] = []
        self.notes: list[str] = []
        """On damage that the decoder made up for, of files that were not looked at by an earlier run."""
        self._folder = image_folder(out)
        self._threshold = threshold
        self._rule = rule
        self._max_pixels = max_pixels
        self._cache = SignatureCache(out / _SIGNATURES, rule)
        self._seen = Seen()
        self._images: list[str] = []
        """The names of the images in `_seen`."""

    def take(self, file: SourceFile) -> None:
        """Decide on all frames of a file, without decoding it if an earlier run's record suffices."""
        num_known = len(self._images)
        known = self._cache.load(file) if file.path.is_file() else None
        if known is not None and all(width * height <= self._max_pixels for width, height in known.sizes):
            entries = [
                self._decided(file, *found)
                for found in zip(known.frames, known.sizes, known.signatures, strict=True)
            ]
            kept = (entry.image for entry in entries if entry.outcome == "kept")
            if all((self._folder / image).is_file() for image in kept):
                self.entries += entries
                return
            self._seen.forget(num_known)
            del self._images[num_known:]
        self._scan(file)

    def _scan(self, file: SourceFile) -> None:
        scanned = Scanned()
        try:
            for frame, pixels, data in _opened(file, self._rule, self._max_pixels, self.notes):
                size = (pixels.shape[1], pixels.shape[0])
                grey = signature(pixels)
                scanned.add(frame, size, grey)
                entry = self._decided(file, frame, size, grey)
                if entry.outcome == "kept":
                    write_atomically(self._folder / entry.image, data or _encoded(pixels))
                self.entries.append(entry)
        except (ImageError, VideoError) as error:
            self.entries.append(Entry(source=str(file.path), outcome="unreadable", reason=error.reason))
        else:
            self._cache.store(file, scanned)  # last: what it names is written

    def _decided(
        self, file: SourceFile, frame: int, size: tuple[int, int], grey: UInt8[np.ndarray, "32 32"]
    ) -> Entry:
        number = None if frame == PHOTOGRAPH else frame
        image = file.image(number)
        closest, alike = self._seen.closest(grey)
        is_new = closest < 0 or alike <= self._threshold
        if is_new:
            self._seen.add(grey)
            self._images.append(image)
        return Entry(
            source=str(file.path),
            frame=number,
            outcome="kept" if is_new else "near-duplicate",
            image=image,
            width=size[0],
            height=size[1],
            like="" if is_new else self._images[closest],
            similarity=None if is_new else alike,
        )


def _opened(
    file: SourceFile, rule: FrameRule, max_pixels: int, notes: list[str]
) -> Iterator[tuple[int, RgbImage, bytes]]:
    """The number and pixels of each frame, and the bytes to store if the file has them."""
    if file.is_video:
        for frame, pixels in video_frames(file.path, rule, max_pixels):
            yield frame, pixels, b""
    else:
        data = read_bytes(file.path, max_pixels)
        pixels, complaint = examined_image(data, file.path, max_pixels)
        if complaint:
            notes.append(f"damaged, but decoded: {file.path}: {complaint}")
        yield PHOTOGRAPH, pixels, data


def _encoded(pixels: RgbImage) -> bytes:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert ok
    return data.tobytes()
