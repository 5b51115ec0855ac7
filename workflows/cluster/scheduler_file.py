"""The file in which a Dask scheduler records its address (`dask scheduler --scheduler-file`)."""

import json
import time
from pathlib import Path

from pipeline.errors import UserError

_WAIT_S = 3.0
_LOOK_EVERY_S = 0.1
_MAX_BYTES = 1 << 20  # of a scheduler that lists thousands of workers


def scheduler_address(file: Path) -> str:
    """The scheduler's address; a file that is still being written is waited for, up to three seconds.

    Raises UserError that names the file when it cannot be read or is no scheduler's.
    """
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            with file.open("rb") as opened:
                content = opened.read(_MAX_BYTES)
        except OSError as error:
            raise UserError(f"cannot read the scheduler file {file}: {error.strerror}") from error
        try:
            found = json.loads(content)
        except ValueError:
            if time.monotonic() < until and b"\0" not in content:
                time.sleep(_LOOK_EVERY_S)
                continue
            what = "is empty" if not content.strip() else "is not whole, or no JSON"
            raise UserError(
                f"the scheduler file {file} {what}: give the file that `dask scheduler --scheduler-file` writes, and "
                "see whether that scheduler runs"
            ) from None
        address = found.get("address") if isinstance(found, dict) else None
        if not isinstance(address, str) or "://" not in address:
            raise UserError(
                f"the JSON file {file} is no scheduler file, for it has no address: give the file that "
                "`dask scheduler --scheduler-file` writes"
            )
        return address
