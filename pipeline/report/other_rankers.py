"""Rankers beside the run's own that were applied to the same candidates."""

import re

from pipeline.evaluate.sources import Source
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import ways_down


def other_rankers(workspace: Workspace, source: Source) -> list[str]:
    """The fingerprints of rankers, other than the run's, that have scores of the same candidates."""
    names = (str(way) for way in ways_down(workspace.scores(source.key, "x").parent, 1))
    return [name for name in names if re.fullmatch(r"[0-9a-f]{16}", name) and name != source.ranker]
