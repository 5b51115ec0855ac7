"""Text that other programs wrote: decoded by its byte-order mark, and quoted in errors at a bounded length."""

import codecs
from collections.abc import Sequence
from typing import Final

MAX_QUOTED: Final = 80
"""Characters of foreign text that a message shows."""

_MAX_COMPLAINTS: Final = 3

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
    return data.decode(marked_encoding(data) or "utf-8")


def marked_encoding(data: bytes) -> str | None:
    """The encoding that a byte-order mark stands for, None without a mark."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def cropped(text: str, longest: int = MAX_QUOTED) -> str:
    """The text itself, or its first characters and an ellipsis if it is too long for a message."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def quoted(value: object) -> str:
    """A value as Python writes it, cropped: what an error shows of something that a stranger wrote."""
    if isinstance(value, str):  # cut before it is written out: a file may be one line of gigabytes
        return cropped(repr(value[: MAX_QUOTED + 1]))
    return cropped(repr(value))


def in_words(complaints: Sequence[str]) -> str:
    """What is wrong with a file as one phrase: the first complaints, and how many more there are."""
    more = len(complaints) - _MAX_COMPLAINTS
    return "; ".join([*complaints[:_MAX_COMPLAINTS], *([f"and {more} more"] if more > 0 else [])])
