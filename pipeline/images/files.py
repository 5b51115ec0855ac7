"""The image files in a folder, and what else lies there that a user may take for images."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Literal

from pipeline.images.drawing_mark import is_drawing, is_drawing_name
from pipeline.images.header import REFUSED_SUFFIXES, SUFFIXES

Kind = Literal["image", "drawing", "linked folder"]

IMAGE_SUFFIXES: Final = SUFFIXES | REFUSED_SUFFIXES
"""Endings of what counts as an image; those of a format that is not read too, so that they are named and not missed."""


def walk_images(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> Iterator[tuple[Kind, Path]]:
    """Every image file in a folder at any depth, in order of name; hidden files and folders are left out.

    Links to folders are not followed, for they may lead in a circle; they come as `linked folder`. What `crface
    detect` drew comes as `drawing`.
    """
    return ((kind, Path(name)) for kind, name in walk_image_names(folder, suffixes))


def walk_image_names(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> Iterator[tuple[Kind, str]]:
    """What `walk_images` finds, each as `folder` and what follows it: a Path takes ten times as long as a name."""
    endings = tuple(suffixes)
    for parent, folders, names in os.walk(folder):
        start = os.path.join(parent, "")  # noqa: PTH118
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (("linked folder", start + name) for name in folders if Path(start + name).is_symlink())
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(endings):
                is_drawn = is_drawing_name(name) and is_drawing(Path(start + name))
                yield ("drawing" if is_drawn else "image"), start + name


def passed_over(folder: Path, found: Collection[tuple[Kind, Path]]) -> list[str]:
    """Sentences on what a walk of `folder` found and nobody will read; empty for nothing."""
    sentences = []
    if drawings := [path for kind, path in found if kind == "drawing"]:
        number = _counted(len(drawings), "drawing")
        sentences.append(f"{number} by `crface detect` left out, such as {_relative(drawings[0], folder)}")
    if links := [path for kind, path in found if kind == "linked folder"]:
        number = _counted(len(links), "linked folder")
        sentences.append(
            f"{number} not followed, such as {_relative(links[0], folder)}: give it as "
            "a folder of its own, or copy it there"
        )
    return sentences


def is_utf8(name: str) -> bool:
    """Whether a file's name is text; names of another encoding, as old archives have them, are not."""
    return name.isascii() or not any("\udc80" <= sign <= "\udcff" for sign in name)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
