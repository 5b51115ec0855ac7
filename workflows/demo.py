"""The whole job on the embedded data set: all stages, one after the other."""

from workflows.job.job import Job
from workflows.protocols import evaluate_protocols
from workflows.stages import cache, evaluate, rank, report, train


def demo(job: Job) -> None:
    """Run the stages; protocols are compared where the configuration names some."""
    cache(job)
    train(job)
    rank(job)
    evaluate(job)
    if job.config.comparison.protocols:
        evaluate_protocols(job)
    report(job)
