"""The `crface` command: its group, and how errors end it."""

import os
import signal
import sys
from typing import Any

import click

from pipeline.errors import UserError
from workflows.cli import (
    ablate,
    bench,
    dataset,
    detect,
    detector,
    doctor,
    export,
    export_ranker,
    imports,
    protocols,
    resolutions,
    run,
    score,
    weights,
)
from workflows.cli.streams import make_safe

EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
    What would be computed now, and why:        crface plan --data /data/WIDER_FACE

    Add --debug to any command for the traceback of an error.
    """


for command in (
    run.demo,
    run.cache,
    imports.import_candidates,
    run.train,
    run.rank,
    run.evaluate,
    resolutions.evaluate_resolutions,
    protocols.evaluate_protocols,
    run.report,
    run.plan,
    ablate.ablate,
    score.score,
    export.export_detections,
    export_ranker.export_ranker,
    bench.bench,
    dataset.dataset,
    weights.weights,
    detector.list_detectors,
    detector.train_detector,
    detect.detect,
    doctor.doctor,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; never returns: exit status 0, 1 (failed), 2 (bad usage) or 130 (interrupted)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # --debug is understood anywhere on the line, so that a failed command is simply repeated with it at the end
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
    """Run the command line as its own process, and end that process at once when all is said.

    SIGTERM, with which batch systems and containers end a process, is as Ctrl-C, but to one of torchrun's.

    At an ordinary end the interpreter stops daemon threads (Zarr has one, so do the cluster's libraries) wherever
    they are; one that is inside C++ then aborts the process after all of its work is done and told.
    """
    # by default it would leave a lock in an object store behind, and the first process of a container ignores it;
    # one of several that train together may be waiting for the others, where no handler is called
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
