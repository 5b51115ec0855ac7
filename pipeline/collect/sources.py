"""The photographs and videos in folders, and their places in the data set; no file is opened."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.collect.video import VIDEO_SUFFIXES
from pipeline.errors import UsageError
from pipeline.images.files import IMAGE_SUFFIXES, passed_over, walk_images
from pipeline.images.header import SUFFIXES

_WANTED: Final = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_MAX_NAME_BYTES: Final = 240  # file systems take 255; the rest is for a temporary name and for `.txt`


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One photograph or video."""

    path: Path
    """The file's absolute path."""
    event: str
    """The file's folder in WIDER FACE's layout: number and name of its source, then its subfolders."""
    is_video: bool

    def image(self, frame: int | None) -> str:
        """The name of the resulting image, or of a frame, below the image folder: `event/name.jpg`."""
        if frame is None:
            return f"{self.event}/{_utf8(self.path.name)}"
        return f"{self.event}/{shortened(readable_name(self.path.stem), f'-{frame:07d}.jpg')}"


def find_sources(
    sources: Sequence[Path], out: Path
) -> tuple[list[SourceFile], list[tuple[Path, str]], list[str]]:
    """Files in order (sources as given, then by name), those that cannot be taken with the reason, and notes.

    A source is a folder, searched at any depth except for hidden names, or one file. Links to folders are not
    followed and drawings by `crface detect` are left out; notes say so. Files that are neither photographs nor videos
    by their names are passed over.

    Raises UsageError where a source is not there, lies in the folder to be written or has it within, or holds nothing.
    """
    files: list[SourceFile] = []
    bad: list[tuple[Path, str]] = []
    notes: list[str] = []
    taken: dict[str, Path] = {}
    events = _Events()
    for number, given in enumerate(sources):
        source = given.absolute()
        real, target = source.resolve(), out.resolve()
        if real.is_relative_to(target) or target.is_relative_to(real):
            raise UsageError(f"{source} and {out} lie within each other: choose another --out")
        if not source.exists():
            raise UsageError(f"there is no {source}: give folders of photographs and videos, or single files")
        found, passed = _found(source)
        notes += passed
        if not found:
            raise UsageError(
                f"{source} holds neither photographs ({' '.join(sorted(SUFFIXES))}) nor videos "
                f"({' '.join(sorted(VIDEO_SUFFIXES))})"
            )
        for path in found:
            file = events.file(number, source, path)
            # without the ending, for result texts are named so: a.jpg and a.png would share one
            place = file.event if file.is_video else f"{file.event}/{_utf8(path.stem)}"
            reason = _unfit(path.name)
            if not reason and place in taken:
                reason = f"it would share the name {place} with {taken[place]}: rename one of them"
            if reason:
                bad.append((path, reason))
            else:
                taken[place] = path
                files.append(file)
    return files, bad, notes


class _Events:
    """Names of events: those of folders and videos, each another."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, Path], str] = {}
        self._taken: set[str] = set()

    def file(self, number: int, source: Path, path: Path) -> SourceFile:
        """A file of the source of this number, with its event."""
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        parts = [source.name, *path.relative_to(source).parent.parts]
        if is_video and path != source:
            parts.append(path.name)
        key = (number, path if is_video else path.parent)
        if key not in self._names:
            wanted = f"{number}--" + "--".join(readable_name(part) for part in parts)
            name, times = shortened(wanted), 1
            while name in self._taken:
                times += 1
                name = shortened(wanted, f"-{times}")
            self._names[key] = name
            self._taken.add(name)
        return SourceFile(path, self._names[key], is_video)


def readable_name(name: str) -> str:
    """A name with letters, digits, dots, dashes and underscores of every script; all else becomes a dash."""
    composed = unicodedata.normalize("NFC", name)
    kept = (sign if sign in "._-" or unicodedata.category(sign)[0] in "LMN" else " " for sign in composed)
    return re.sub(" +", "-", "".join(kept)).strip(".") or "-"


def shortened(name: str, ending: str = "") -> str:
    """A name that a file system takes, with an ending; what was cut is told by eight digits of the whole's hash."""
    if len((name + ending).encode()) <= _MAX_NAME_BYTES:
        return name + ending
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}{ending}"
    room = _MAX_NAME_BYTES - len(ending.encode())
    return name.encode()[:room].decode(errors="ignore") + ending


def _found(source: Path) -> tuple[list[Path], list[str]]:
    if source.is_file():
        return [source] if source.suffix.lower() in _WANTED else [], []
    walked = list(walk_images(source, _WANTED))
    return [path for kind, path in walked if kind == "image"], passed_over(source, walked)


def _utf8(name: str) -> str:
    """The name itself; in one that is no UTF-8 each byte that is not becomes %XX, as in a web address."""
    return "".join(f"%{ord(sign) & 0xFF:02X}" if "\udc80" <= sign <= "\udcff" else sign for sign in name)


def _unfit(name: str) -> str:
    """Why a name cannot stand in an annotation text; empty if it can."""
    if name != name.strip() or any(sign in name for sign in "\\\n\r"):
        return "its name has a backslash, a line break, or a space at an end: rename it"
    return ""
