"""`crface ablate`: the paper's ablations as resumable sweeps."""

import json
from typing import Any

import click

from pipeline.studies.ablation import Sweep
from workflows.cli.options import job_options, make_job


@click.group()
def ablate() -> None:
    """Train rankers that differ in one setting, from several seeds each, and compare their AP (paper 5.1)."""


def _sweep(name: Sweep, help_text: str) -> None:
    @ablate.command(name, help=help_text)
    @click.argument("settings", nargs=-1, metavar="[SETTING]...")
    @job_options("data", "out")
    @click.option(
        "--config",
        default="ablation",
        show_default=True,
        metavar="NAME|FILE",
        help="ablation, paper, another shipped configuration, or a TOML file: what the settings do not vary.",
    )
    @job_options("detector", "protocol", "cluster", "split", "ground_truth")
    @click.option(
        "--seeds",
        "num_seeds",
        default=3,
        show_default=True,
        type=click.IntRange(1),
        help="Rankers of each setting.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print every row as JSON on standard output.")
    def run(settings: tuple[str, ...], num_seeds: int, as_json: bool, **options: Any) -> None:
        from workflows.commands import ablate as command

        rows = command.ablate(make_job(**options), name, settings, num_seeds, show=not as_json)
        if as_json:
            click.echo(json.dumps(rows, indent=2))


_SHARED = """

Each ranker is a task of the cluster, its AP a row in results/ablation/. The same command again trains only what is
missing; a training that was cut off goes on from its checkpoint. Candidates of the train split and of the one that AP
is measured on have to be cached.
"""

_sweep(
    "losses",
    f"""Compare losses (Table 1, and the losses beyond the paper).{_SHARED}
\b
Example:  crface cache && crface ablate losses
          crface ablate losses rank l2 --seeds 2
          crface ablate losses --data /data/WIDER_FACE --config paper --cluster tcp://10.0.0.1:8786
""",
)
_sweep(
    "pairs",
    f"""Compare numbers of pairs in the paper's ranking loss (Table 2).{_SHARED}
\b
Example:  crface cache && crface ablate pairs
          crface ablate pairs 1 10 100
""",
)
