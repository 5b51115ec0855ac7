"""The `crface` command: its subcommands, and the exit status of every error."""

import os
import signal
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from pipeline.errors import UserError
from workflows.cli.groups import COMMANDS, GROUPS
from workflows.cli.streams import make_safe

EXIT_INTERRUPTED = 130


class _Commands(click.Group):
    """The commands of the table, each imported when it is called: `--help` and completion wait for none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        entry = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"workflows.cli.{entry.module}"), entry.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(
            map(len, COMMANDS)
        )  # the same in all groups, so that the sentences stand below each other
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), entry.sentence) for name, entry in commands.items()], width + 2
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=entry.sentence)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="crface")
@click.pass_context
def cli(context: click.Context) -> None:
    """Refine the confidences of any face detector.

    \b
    The whole job on the embedded data set:     crface demo
    On WIDER FACE, stage by stage:              crface cache --data /data/WIDER_FACE
                                                crface train --data /data/WIDER_FACE
                                                crface rank --data /data/WIDER_FACE
                                                crface evaluate --data /data/WIDER_FACE
                                                crface report --data /data/WIDER_FACE
    What would be computed, and why:            crface plan --data /data/WIDER_FACE
    What to do next in this folder:             crface

    Add --debug to any command to see the traceback of an error.
    """
    if context.invoked_subcommand is None:
        from workflows.cli.alone import (
            say_what_is_next,
        )  # which reads workspaces; --help need not wait for it

        say_what_is_next()


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
