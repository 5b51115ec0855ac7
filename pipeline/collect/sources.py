"""The photographs and videos of some folders, and where in the data set they would go; nothing is opened."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.collect.video import VIDEO_SUFFIXES
from pipeline.errors import UsageError
from pipeline.images.header import REFUSED_SUFFIXES, SUFFIXES
from pipeline.workspace.layout import slug


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One photograph or video."""

    path: Path
    """Absolute."""
    event: str
    """The folder of WIDER FACE's layout that it goes to: number and name of its source, then its folders."""
    is_video: bool

    def image(self, frame: int | None) -> str:
        """Name the image that it becomes, or one of its frames, below the image folder: `event/name.jpg`."""
        if frame is None:
            return f"{self.event}/{self.path.name}"
        return f"{self.event}/{slug(self.path.stem)}-{frame:07d}.jpg"


def find_sources(sources: Sequence[Path], out: Path) -> tuple[list[SourceFile], list[tuple[Path, str]]]:
    """List files in order (sources as given, then by name), and those that cannot be taken with the reason.

    A source is a folder, searched at any depth except for hidden names, or one file. Links to folders are not
    followed. Files that are neither photographs nor videos by their names are passed over.

    Raises UsageError where a source is not there, lies in the folder to be written or has it within, or holds nothing.
    """
    files: list[SourceFile] = []
    bad: list[tuple[Path, str]] = []
    taken: dict[str, Path] = {}
    for number, given in enumerate(sources):
        source = given.absolute()
        real, target = source.resolve(), out.resolve()
        if real.is_relative_to(target) or target.is_relative_to(real):
            raise UsageError(f"{source} and {out} lie within each other: choose another --out")
        if not source.exists():
            raise UsageError(f"there is no {source}: give folders of photographs and videos, or single files")
        found = list(_walk(source))
        if not found:
            raise UsageError(
                f"{source} holds neither photographs ({' '.join(sorted(SUFFIXES))}) nor videos "
                f"({' '.join(sorted(VIDEO_SUFFIXES))})"
            )
        for path in found:
            file = _file(number, source, path)
            # without the ending, for result texts are named so: a.jpg and a.png would share one
            place = file.event if file.is_video else f"{file.event}/{path.stem}"
            reason = _unfit(path.name)
            if not reason and place in taken:
                reason = f"it would share the name {place} with {taken[place]}: rename one of them"
            if reason:
                bad.append((path, reason))
            else:
                taken[place] = path
                files.append(file)
    return files, bad


def _file(number: int, source: Path, path: Path) -> SourceFile:
    is_video = path.suffix.lower() in VIDEO_SUFFIXES
    parts = [source.name, *path.relative_to(source).parent.parts]
    if is_video and path != source:
        parts.append(path.name)
    event = f"{number}--" + "--".join(slug(part) for part in parts)
    return SourceFile(path, event, is_video)


def _unfit(name: str) -> str:
    """Say why a name cannot stand in an annotation text; empty if it can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8: rename it"
    if name != name.strip() or any(sign in name for sign in "\\\n\r"):
        return "its name has a backslash, a line break, or a space at an end: rename it"
    return ""


def _walk(source: Path) -> Iterator[Path]:
    wanted = SUFFIXES | REFUSED_SUFFIXES | VIDEO_SUFFIXES  # refused ones are named when they are opened
    if source.is_file():
        if source.suffix.lower() in wanted:
            yield source
        return
    for parent, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in wanted:
                yield Path(parent, name)
