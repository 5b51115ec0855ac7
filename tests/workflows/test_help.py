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
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    lists = shown.partition("The job:\n")[2].splitlines()
    listed = dict(line.split(maxsplit=1) for line in lists if line.startswith("  "))
    assert listed == {
        name: command.get_short_help_str(1000) for name, command in commands() if " " not in name
    }


def test_every_command_is_in_one_group_of_the_list() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    titles = [line for line in shown.partition("Options:\n")[2].splitlines() if line[:1].isalpha()]
    assert titles == [
        "The job:",
        "Data:",
        "Detectors and rankers:",
        "Looking:",
        "Measuring:",
        "The machine:",
    ]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("cache", ["--data", "--out", "--detector"]),
        ("train", ["--data", "--out", "--config"]),
        ("rank", ["--data", "--out", "--ranker"]),
        ("export-detections", ["--out", "--format", "--confidence"]),
        ("import-candidates", ["--name", "--data", "--out"]),
    ],
)
def test_the_help_of_a_stage_begins_with_the_three_options_that_matter(
    command: str, options: list[str]
) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"], terminal_width=80).output
    first, more = shown.partition("\nOptions:\n")[2].split("\nMore options:\n")
    assert [line.split()[0] for line in first.splitlines() if line.startswith("  -")] == options
    assert "--help" in more


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
