"""The whole job on the embedded data set: all stages, one after the other."""

from workflows.commands.cache import cache
from workflows.commands.evaluate import evaluate
from workflows.commands.evaluate_protocols import evaluate_protocols
from workflows.commands.rank import rank
from workflows.commands.report import report
from workflows.commands.train import train
from workflows.job.job import Job


def demo(job: Job) -> None:
    """Run the stages; protocols are compared where the configuration names some."""
    cache(job)
    train(job)
    rank(job)
    evaluate(job)
    if job.config.comparison.protocols:
        evaluate_protocols(job)
    report(job)
