"""The `crface` command: its subcommands, and the exit status of every error."""

import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from pipeline.errors import UserError
from workflows.cli.streams import make_safe

EXIT_INTERRUPTED = 130


_COMMANDS = {
    "ablate": ("ablate", "ablate", "Compare losses or numbers of pairs."),
    "bench": ("bench", "bench", "Measure speed and cost on this machine."),
    "cache": ("run", "cache", "Store the candidates of every image."),
    "dataset": ("dataset", "dataset", "Make, collect, index or check a data set."),
    "demo": ("run", "demo", "Run the whole job on the embedded data set."),
    "detect": ("detect", "detect", "Draw detected faces on images."),
    "detectors": ("detector", "list_detectors", "List the available detectors."),
    "doctor": ("doctor", "doctor", "Check this machine before a long job."),
    "evaluate": ("run", "evaluate", "Measure AP before and after ranking."),
    "evaluate-protocols": ("protocols", "evaluate_protocols", "Compare protocols and rankers."),
    "evaluate-resolutions": (
        "resolutions",
        "evaluate_resolutions",
        "Measure AP over image height (Figure 2).",
    ),
    "export-detections": ("export", "export_detections", "Export detections for other programs."),
    "export-ranker": ("export_ranker", "export_ranker", "Export a ranker as an ONNX file."),
    "import-candidates": ("imports", "import_candidates", "Import the boxes of a foreign detector."),
    "plan": ("run", "plan", "Show what would be computed, and why."),
    "rank": ("run", "rank", "Refine the cached confidences with a ranker."),
    "report": ("run", "report", "Write the HTML report."),
    "score": ("score", "score", "Score a folder of text results."),
    "train": ("run", "train", "Train the confidence ranker."),
    "train-detector": ("detector", "train_detector", "Train a detector on the train split."),
    "weights": ("weights", "weights", "Import or verify a detector's weights."),
}
"""Module of `workflows.cli`, object in it, and the first sentence of its help, for each command."""


class _Commands(click.Group):
    """The commands of the table, each imported when it is called: `--help` waits for none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"workflows.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, _, sentence) in _COMMANDS.items()])


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="crface")
def cli() -> None:
    """Refine the confidences of any face detector.

    \b
    The whole job on the embedded data set:     crface demo
    On WIDER FACE, stage by stage:              crface cache --data /data/WIDER_FACE
                                                crface train --data /data/WIDER_FACE
                                                crface rank --data /data/WIDER_FACE
                                                crface evaluate --data /data/WIDER_FACE
                                                crface report --data /data/WIDER_FACE
    What would be computed, and why:            crface plan --data /data/WIDER_FACE

    Add --debug to any command to see the traceback of an error.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; never returns: exit status 0, 1 (failed), 2 (bad usage) or 130 (interrupted)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # --debug may stand anywhere on the line, so that a failed command can be repeated with it appended
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status = cli.main(arguments, prog_name="crface", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted; the same command continues where it stopped", debug)
        status = EXIT_INTERRUPTED
    except UserError as error:
        _complain(str(error), debug)
        status = error.exit_status
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _complain(f"{error.strerror or error}{where}", debug)
        status = 1
    except Exception as error:
        _complain(
            f"{type(error).__name__}: {error}; this is a bug: run it again with --debug and report it", debug
        )
        status = 1
    _leave(status)


def run_command() -> None:
    """Run the command line as a process of its own, which exits immediately after its last output.

    SIGTERM, sent by batch systems and containers, has the effect of Ctrl-C, except in processes started by torchrun.

    The process skips the interpreter's usual shutdown, which stops daemon threads (Zarr and the cluster's libraries
    have some) wherever they are: one inside C++ would then abort the process after all of its work is done.
    """
    # by default SIGTERM leaves a lock in an object store behind, and the first process of a container ignores it;
    # a process that trains together with others may be waiting for them, and then no handler is called
    if "WORLD_SIZE" not in os.environ:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = make_safe()
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else os.EX_SOFTWARE
        if out.error is not None:
            _complain(f"cannot write to standard output: {out.error.strerror}; all else is done", debug=False)
            status = status or 1
        sys.stderr.flush()
        os._exit(status)


def _complain(sentence: str, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    click.echo(f"crface: {sentence}", err=True)


def _leave(status: Any) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status if isinstance(status, int) else os.EX_OK)
