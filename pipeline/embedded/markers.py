"""The files that say with which settings a data set, or a split beside it, was made."""

import json
from pathlib import Path

from pipeline.errors import UserError
from pipeline.workspace.fingerprint import Parts

GENERATOR_VERSION = 1
"""Raised with every change that alters the bytes of a picture or label."""


def cannot_write(root: Path, error: OSError) -> UserError:
    """What to tell the user when the files cannot be written."""
    reason = error.strerror or error
    return UserError(f"cannot write the embedded data set to {root}: {reason}; choose another folder")


def marker(path: Path) -> Parts | None:
    """The settings that a file names; None if there is no file, none at all if it is not one of ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
