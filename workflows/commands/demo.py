"""crface demo: all stages on the embedded data set, one after the other, and what was won."""

import json
import textwrap

import click

from pipeline.config.sections import RunConfig, TrainConfig
from pipeline.config.toml import load_config
from pipeline.evaluate.plan import plan_evaluate
from pipeline.results.ap import read_ap
from pipeline.results.summary import format_summary, format_won
from pipeline.results.text import WIDTH
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.lock import command_line
from pipeline.workspace.writing import write_atomically
from workflows.commands.cache import cache
from workflows.commands.evaluate import evaluate
from workflows.commands.evaluate_protocols import evaluate_protocols
from workflows.commands.plans import JobPlans
from workflows.commands.rank import rank
from workflows.commands.report import report
from workflows.commands.train import train
from workflows.job.data import stored_indexes
from workflows.job.job import Job
from workflows.job.shown import show_table

_PAPER = "paper-small"
_PAPER_RESULTS = "paper-ranker.json"


def demo(job: Job) -> None:
    """Run all stages; protocols are compared only if the configuration names some.

    Where the ranker is not the paper's, that is trained and measured as well, for comparison.
    """
    cache(job)
    train(job)
    rank(job)
    evaluate(job)
    if job.config.train.ranker == "per-box":
        _compare_with_paper(job)
    if job.config.comparison.protocols:
        evaluate_protocols(job)
    report(job)
    for line in textwrap.wrap(format_won(read_ap(job.workspace)), WIDTH):
        click.echo(line)


def _compare_with_paper(job: Job) -> None:
    """Train and apply the paper's small ranker on the same candidates, and print what it gains."""
    config = job.config.model_copy(update={"train": _paper_training(job.config)})
    paper = job.with_config(config)
    train(paper)
    rank(paper)
    with job.workspace.locked(command_line()):
        evaluation = JobPlans(paper, stored_indexes(paper)).evaluation
        path, key = job.workspace.results / _PAPER_RESULTS, fingerprint(plan_evaluate(evaluation))
        record = json.loads(path.read_bytes()) if path.is_file() else {}
        if record.get("key") != key:
            from pipeline.evaluate.work import (
                measure,  # with torch, which a run with nothing to do does not wait for
            )

            record = {"key": key, "text": format_summary(measure(evaluation).rows)}
            write_atomically(path, json.dumps(record).encode())
    click.echo("\nThe paper's ranker instead, trained and measured on the same candidates:")
    show_table(f"\n{record['text']}\n")


def _paper_training(config: RunConfig) -> TrainConfig:
    return load_config(_PAPER).train.model_copy(update={"detectors": config.train.detectors})
