"""Fingerprints: a piece of work is named by a hash of everything that decides its bytes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.workspace.place import Place

Parts = Mapping[str, Any]
"""What decides the bytes of a piece of work: JSON values under names that a user can read."""


def fingerprint(parts: Parts) -> str:
    """A hash of `parts`, 16 hexadecimal digits; the order of keys does not matter, every value does.

    Raises TypeError for a value that JSON cannot hold, ValueError for NaN.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def differences(old: Parts, new: Parts, prefix: str = "") -> list[str]:
    """The differences between two sets of parts, each as `name: old -> new`; empty if there are none."""
    words = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "absent"), new.get(key, "absent")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            words += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            words.append(f"{prefix}{key}: {_short(before)} -> {_short(after)}")
    return words


def file_sha256(path: Place) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; read in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
