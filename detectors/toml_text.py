"""Parse TOML that strangers wrote: bounded in size and depth, so that no file costs more than a moment."""

import re
import tomllib
from typing import Any, Final

MAX_BYTES: Final = 64 * 1024
"""Longer files are refused: ten times the longest configuration that this project knows."""

_MAX_KEY_PARTS = 32  # the parser's time grows with the square of a dotted key's parts


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse a TOML file's bytes; reading `MAX_BYTES + 1` of a file is enough to have a longer one refused.

    Raises ValueError that says what is wrong: too long, no UTF-8, no TOML, a number of thousands of digits, or
    nested too deeply.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES:,} bytes: is it a configuration?")
    text = data.decode("utf-8")  # whose error is a ValueError that names the byte
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        if any(part.count(".") >= _MAX_KEY_PARTS for part in re.split("[={,]", line)):
            raise ValueError(f"line {number} has a key of more than {_MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
