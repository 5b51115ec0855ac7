"""A parser for untrusted TOML, bounded in size and depth so that no file takes more than a moment."""

import re
import tomllib
from typing import Any, Final

from crface.text import decode_text

MAX_BYTES: Final = 64 * 1024
"""Longer files are refused; this is ten times this project's longest configuration."""

_MAX_KEY_PARTS = 32  # the parser's time grows with the square of the parts of a dotted key


def parse_toml(data: bytes) -> dict[str, Any]:
    """The content of a TOML file's bytes; it is enough to pass the first `MAX_BYTES + 1`, which are refused.

    Raises ValueError that says what is wrong: too long, not UTF-8, not TOML, a number with thousands of digits,
    or nested too deeply.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES:,} bytes: is it a configuration?")
    text = decode_text(data)  # its error is a ValueError that names the byte
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        if any(part.count(".") >= _MAX_KEY_PARTS for part in re.split("[={,]", line)):
            raise ValueError(f"line {number} has a key of more than {_MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
