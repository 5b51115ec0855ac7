"""`crface ablate`: the paper's ablations, resumable."""

import json
from typing import TYPE_CHECKING, Any

import click

from workflows.cli.options import job_options, make_job

if TYPE_CHECKING:
    from pipeline.studies.ablation import Sweep


@click.group()
def ablate() -> None:
    """Compare losses or numbers of pairs.

    Rankers that differ in one setting are trained with several seeds each, and their AP is compared (paper 5.1).
    """


def _sweep(name: "Sweep", help_text: str) -> None:
    @ablate.command(name, help=help_text)
    @click.argument("settings", nargs=-1, metavar="[SETTING]...")
    @job_options("data", "out")
    @click.option(
        "--config",
        default="ablation",
        show_default=True,
        metavar="NAME|FILE",
        help="ablation, paper, another shipped configuration, or a TOML file; it sets everything that the ablation"
        " does not vary.",
    )
    @job_options("detector", "protocol", "cluster", "split", "ground_truth")
    @click.option(
        "--seeds",
        "num_seeds",
        default=3,
        show_default=True,
        type=click.IntRange(1),
        help="Rankers trained for each setting.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print every row as JSON on standard output.")
    def run(settings: tuple[str, ...], num_seeds: int, as_json: bool, **options: Any) -> None:
        from workflows.commands import ablate as command

        rows = command.ablate(make_job(**options), name, settings, num_seeds, show=not as_json)
        if as_json:
            click.echo(json.dumps(rows, indent=2))


_SHARED = """

Each ranker is one task on the cluster; its AP becomes a row in results/ablation/. Running the command again trains
only what is missing, and an interrupted training resumes from its checkpoint. The candidates of the train split and of
the evaluated split must be cached.
"""

_sweep(
    "losses",
    f"""Compare losses (Table 1).

The losses that go beyond the paper are included.{_SHARED}
\b
Example:  crface cache && crface ablate losses
          crface ablate losses rank l2 --seeds 2
          crface ablate losses --data /data/WIDER_FACE --config paper --cluster tcp://10.0.0.1:8786
""",
)
_sweep(
    "pairs",
    f"""Compare numbers of pairs (Table 2).

The pairs are those of the paper's ranking loss.{_SHARED}
\b
Example:  crface cache && crface ablate pairs
          crface ablate pairs 1 10 100
""",
)
