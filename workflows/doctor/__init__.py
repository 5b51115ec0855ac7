"""`crface doctor`: checks of the machine, the data set and the detectors before a long job.

`probes` collects facts and judges nothing; `checks` judges the facts and looks at nothing.
"""

from collections.abc import Callable, Iterator, Sequence

from workflows.doctor import checks, probes
from workflows.doctor.checks import Check
from workflows.job.job import Job


def examine(job: Job) -> Iterator[Check]:
    """The checks of everything, each as soon as it is done, the quick ones first."""
    machine = probes.machine(job.workspace.root)
    data = probes.data_set(job.data, job.config.cache.max_pixels) if job.data is not None else None
    detectors = job.config.cache.detectors
    quick: Sequence[Callable[[], Check]] = (
        lambda: checks.packages(probes.packages()),
        lambda: checks.processor(machine),
        lambda: checks.memory(machine),
        lambda: checks.gpu(probes.gpu()),
        lambda: checks.codecs(probes.codecs()),
        lambda: checks.shared_memory(machine),
        lambda: checks.workspace(machine, data.num_images if data else 0, len(detectors)),
    )
    yield from (check() for check in quick)
    if data is not None:
        yield checks.data_set(data)
    for detector in detectors:
        yield probes.detector(detector, job.workspace)


def is_healthy(found: Sequence[Check]) -> bool:
    """Whether a job can be started: no check failed, warnings aside."""
    return all(check.status != "fail" for check in found)


__all__ = ["Check", "examine", "is_healthy"]
