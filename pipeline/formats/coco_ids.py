"""Ids in COCO files: 1, 1.0 (from a column of floats) and "1" name the same image."""

import re
from collections.abc import Collection

from crface.text import quoted

Identity = int | str


def identity(value: object) -> Identity:
    """An id as it stands in a file, a whole float as a whole number.

    Raises ValueError for a value that is no id.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"expected a whole number or a text, found {quoted(value)}")
    return value


def id_key(value: Identity) -> Identity:
    """One key for a number and for its digits as text."""
    if isinstance(value, str) and re.fullmatch("0|-?[1-9][0-9]{0,17}", value):
        return int(value)
    return value


def id_range(identities: Collection[Identity]) -> str:
    """What the ids are like, in words: "the ids 0 to 99", "ids such as 'a.jpg'", or both."""
    keys = [id_key(value) for value in identities]
    numbers = [key for key in keys if isinstance(key, int)]
    texts = [key for key in keys if isinstance(key, str)]
    parts = [f"the ids {min(numbers)} to {max(numbers)}"] if numbers else []
    parts += [f"ids such as {quoted(texts[0])}"] if texts else []
    return " and ".join(parts) or "no ids"
