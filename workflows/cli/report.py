"""crface report: the HTML report of one workspace, or the comparison of several."""

from typing import Any

import click
from click.core import ParameterSource

from pipeline.errors import UsageError
from pipeline.workspace.place import Place
from workflows.cli.options import PLACE, job_options, make_job
from workflows.cli.stage import StageCommand


@click.command(cls=StageCommand)
@click.argument("workspaces", nargs=-1, type=PLACE, metavar="[WORKSPACE]...")
@job_options("data", "out")
@click.option(
    "--compare",
    "is_comparison",
    is_flag=True,
    help="Compare the named workspaces in one page, from their stored results alone.",
)
@job_options("config", "detector", "protocol", "ranker", "split", "ground_truth", "no_gate")
@click.pass_context
def report(
    context: click.Context, /, workspaces: tuple[Place, ...], is_comparison: bool, **options: Any
) -> None:
    """Write the HTML report.

    report/index.html says for each detector whether ranking helped, and shows the paper's tables and figures with your
    own numbers, and the images that changed. Beside it lie the tables as CSV and LaTeX, and the figures as SVG and PDF.
    With --compare, report/compare/index.html in the first workspace (or in --out) has several workspaces in one page.

    \b
    Example:  crface report --out runs/demo
              crface report --compare runs/rank runs/l2
    """
    from workflows.commands import report as command

    if not is_comparison:
        if workspaces:
            raise UsageError(
                f"{workspaces[0]} is named without --compare: a report of one workspace takes it as --out "
                f"{workspaces[0]}, a comparison needs --compare"
            )
        command.report(make_job(**options))
        return
    given = [
        name
        for name in options
        if name != "out" and context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise UsageError(
            f"--compare reads stored results only: leave out --{given[0].replace('_', '-')} (each workspace is "
            "shown as `crface evaluate` left it)"
        )
    command.compare(workspaces, options["out"])
