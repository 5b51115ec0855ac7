"""The mark in a picture that `crface detect` drew: whose drawing it is, so that no other file is taken for one.

It is a comment in the JPEG file, which no viewer shows. It names the photograph by a hash of its path, so that a
picture that is passed on does not tell where it was made.
"""

import hashlib
import re
from pathlib import Path

_MARK = b"drawn by crface detect from "
_NAME = re.compile(r".*-faces(-\d+)?\.jpg", re.DOTALL)
_HEAD_BYTES = 4096
_START, _COMMENT, _JFIF = b"\xff\xd8", b"\xff\xfe", b"\xff\xe0"


def marked(jpeg: bytes, photograph: Path) -> bytes:
    """The same JPEG file with the mark of a photograph's drawing."""
    text = _MARK + _named(photograph)
    # a JFIF header, where there is one, comes before everything else
    at = 2 if jpeg[2:4] != _JFIF else 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:at] + _COMMENT + (len(text) + 2).to_bytes(2, "big") + text + jpeg[at:]


def is_drawing(path: Path, of: Path | None = None) -> bool:
    """Whether a file is a drawing by `crface detect`, of the photograph `of` if one is given.

    Only files with the name of a drawing are opened; False for one that cannot be read.
    """
    if not is_drawing_name(path.name):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(_START) and _MARK + (b"" if of is None else _named(of)) in head


def is_drawing_name(name: str) -> bool:
    """Whether a file of this name may be a drawing; most are none, and need no look at the file."""
    return _NAME.fullmatch(name) is not None


def _named(photograph: Path) -> bytes:
    return hashlib.sha256(bytes(photograph.absolute())).hexdigest()[:16].encode()
