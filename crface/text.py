"""Text that other programs wrote: decoded by its byte-order mark, and quoted in errors at a bounded length."""

import codecs
from typing import Final

MAX_QUOTED: Final = 80
"""Characters of foreign text that a message shows."""

# UTF-32 first: its little-endian mark begins with that of UTF-16
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes) -> str:
    """The text of a file, without its byte-order mark: UTF-16 or UTF-32 where the mark says so, else UTF-8.

    Raises UnicodeDecodeError, which is a ValueError.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-8")


def cropped(text: str) -> str:
    """The text itself, or its first characters and an ellipsis if it is too long for a message."""
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."


def quoted(value: object) -> str:
    """A value as Python writes it, cropped: what an error shows of something that a stranger wrote."""
    if isinstance(value, str):  # cut before it is written out: a file may be one line of gigabytes
        return cropped(repr(value[: MAX_QUOTED + 1]))
    return cropped(repr(value))
