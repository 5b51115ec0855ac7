"""What `--help` says, and that it says it at once."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from workflows.cli.main import cli

LONGEST = (
    44  # columns that are left beside the longest name when the list is 80 columns wide, with some to spare
)


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command and group below a group, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in commands()])
def test_the_help_of_a_command_begins_with_a_short_sentence(command: click.Command) -> None:
    sentence = command.get_short_help_str(1000)
    assert len(sentence) <= LONGEST
    assert sentence.endswith(".")


def test_the_list_of_commands_has_the_first_sentence_of_each_uncut_in_80_columns() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.partition("Commands:\n")[2]
    listed = dict(line.strip().split(maxsplit=1) for line in shown.splitlines())
    assert listed == {
        name: command.get_short_help_str(1000) for name, command in commands() if " " not in name
    }


def test_every_option_is_explained() -> None:
    unexplained = [
        (name, parameter.name)
        for name, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert unexplained == []


def test_the_list_of_commands_waits_for_no_library() -> None:
    program = (
        "import sys; from workflows.cli.main import cli; cli.main(['--help'], standalone_mode=False); "
        "print(sorted({'dask', 'numpy', 'pydantic', 'torch', 'zarr'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
