"""A report's folder: its page, the files beside it, and the record of what they were made from."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from pipeline.errors import UserError
from pipeline.workspace.fingerprint import Parts, differences, file_sha256
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

PAGE: Final = "index.html"
_INPUTS = "inputs.json"


def reasons(folder: Place, parts: Parts) -> list[str]:
    """Why a report from `parts` has to be written; empty if it is there and undamaged."""
    try:
        record = json.loads((folder / _INPUTS).read_bytes())
        found, files = dict(record["parts"]), dict(record["files"])
    except FileNotFoundError:
        return ["not written yet"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"the record {folder / _INPUTS} is damaged"]
    for name, sha256 in files.items():
        try:
            if file_sha256(folder / name) != sha256:
                return [f"{name} is not what was written"]
        except OSError:
            return [f"{name} is missing"]
    return differences(found, json.loads(json.dumps(parts)))


def write(folder: Place, page: str, files: Mapping[str, bytes], parts: Parts) -> Place:
    """Write the page and the files beside it, and last of all their record; returns the page's path.

    Files of an earlier report that this one does not have are removed.

    Raises UserError when a file cannot be written.
    """
    every = {**files, PAGE: page.encode()}
    stale = _recorded(folder) - every.keys()
    try:
        # without its record a half-replaced folder counts as not written
        (folder / _INPUTS).unlink(missing_ok=True)
        for name in sorted(stale):
            (folder / name).unlink(missing_ok=True)
        for name, data in every.items():
            write_atomically(folder / name, data)
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in every.items()}
        write_atomically(folder / _INPUTS, json.dumps({"parts": parts, "files": hashes}, indent=2).encode())
    except OSError as error:
        raise UserError(f"cannot write the report {folder}: {error.strerror or error}") from error
    return folder / PAGE


def _recorded(folder: Place) -> set[str]:
    """The tables and figures that the record of an earlier report names; none without a readable record."""
    try:
        names = dict(json.loads((folder / _INPUTS).read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    # a record is data: nothing that it names outside these folders is touched
    return {name for name in names if re.fullmatch(r"(tables|figures)/[A-Za-z0-9_-][A-Za-z0-9._-]*", name)}
