"""Six images of which five change by ranking, under a detector with a ranker and one without, evaluated.

With as many boxes as the seven faces, the thresholds are 0.6 (predicted) and 0.7 (ranked), and the changes are those
of CHANGES.
"""

import dataclasses
from pathlib import Path

from report_world import Candidates, Labels, Run, report_run, store_source

from pipeline.evaluate.work import evaluate

EVIL = "x</script><b onclick=alert(1)>&\"'{{ title }}.jpg"
HELPED, HURT, SMALL, SAME, FACELESS = (
    "0--March/helped.jpg",
    "0--March/hurt.jpg",
    "1--Crowd/small.jpg",
    "1--Crowd/same.jpg",
    "1--Crowd/faceless.jpg",
)
PATHS = (HELPED, HURT, SMALL, SAME, EVIL, FACELESS)
CHANGES = {HELPED: 2, HURT: -2, SMALL: 1, SAME: 0, EVIL: 2, FACELESS: 1}

_FIRST, _SECOND = (10, 10, 60, 60), (110, 10, 60, 60)
_ON_FIRST, _ON_SECOND, _NOWHERE = (10, 10, 70, 70), (110, 10, 170, 70), (200, 100, 260, 160)

_LABELS: Labels = {
    HELPED: [(*_FIRST, 0), (*_SECOND, 0)],
    HURT: [(*_FIRST, 0), (*_SECOND, 0)],
    SMALL: [(20, 20, 15, 15, 0)],
    SAME: [(*_FIRST, 0)],
    EVIL: [(*_FIRST, 0)],
    FACELESS: [],
}
_CANDIDATES: Candidates = {
    HELPED: [(*_ON_FIRST, 0.9, 0.9), (*_NOWHERE, 0.8, 0.1), (*_ON_SECOND, 0.3, 0.85)],
    HURT: [(*_ON_FIRST, 0.95, 0.95), (*_ON_SECOND, 0.85, 0.2), (*_NOWHERE, 0.15, 0.8)],
    SMALL: [(20, 20, 35, 35, 0.25, 0.75)],
    SAME: [(*_ON_FIRST, 0.7, 0.7)],
    EVIL: [(*_NOWHERE, 0.65, 0.05), (*_ON_FIRST, 0.35, 0.78)],
    FACELESS: [(*_ON_FIRST, 0.6, 0.02)],
}


def gallery_run(folder: Path) -> Run:
    """The evaluated workspace: `some-detector` with a ranker, `other-detector` without."""
    run = report_run(folder, labels=_LABELS, candidates=_CANDIDATES)
    other = store_source(run.workspace, run.index, "other-detector", "", _CANDIDATES)
    run = dataclasses.replace(run, sources=[*run.sources, other])
    evaluate(run.evaluation)
    return run
