"""crface demo: all stages on the embedded data set, one after the other."""

from workflows.commands.cache import cache
from workflows.commands.evaluate import evaluate
from workflows.commands.evaluate_protocols import evaluate_protocols
from workflows.commands.rank import rank
from workflows.commands.report import report
from workflows.commands.train import train
from workflows.job.job import Job


def demo(job: Job) -> None:
    """Run all stages; protocols are compared only if the configuration names some."""
    cache(job)
    train(job)
    rank(job)
    evaluate(job)
    if job.config.comparison.protocols:
        evaluate_protocols(job)
    report(job)
