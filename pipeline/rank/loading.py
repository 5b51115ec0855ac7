"""A ranker loaded from its file, which may lie below a URL, and identified by its bytes."""

import platform
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.rank.plan import identify_ranker
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.place import Place, local_copy

if TYPE_CHECKING:
    from crface.ranker import Ranker


def load_ranker(path: Place) -> "Ranker":
    """The ranker in a file; UserError when it is none."""
    from crface import ranker

    try:
        with local_copy(path) as file:
            return ranker.load(file)
    except ValueError as error:
        raise UserError(str(error)) from error


@lru_cache(maxsize=1)  # one in memory; the next run on this worker may bring another
def expected_ranker(path: Place, expected: str, device: str) -> "Ranker":
    """The ranker in a file, if its fingerprint is the expected one; UserError otherwise."""
    if fingerprint(identify_ranker(path)) != expected:
        raise UserError(
            f"a worker on {platform.node()} sees another ranker in {path} than this command: "
            "give every worker the same installation and the same file"
        )
    return load_ranker(path).to(device)
