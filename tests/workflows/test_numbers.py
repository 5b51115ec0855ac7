"""A number on the command line or in a configuration is finite, or refused by its name."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.config.toml import load_config
from pipeline.errors import UsageError
from workflows.cli.main import cli
from workflows.cli.numbers import Number


def commands(
    group: click.Group, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


NUMBERS = [
    (*words, parameter.opts[0])
    for words, command in commands(cli)
    for parameter in command.params
    if isinstance(parameter.type, Number)
]


def test_every_fraction_that_a_command_takes_is_checked() -> None:
    others = [
        (*words, parameter.name)
        for words, command in commands(cli)
        for parameter in command.params
        if isinstance(parameter.type, click.types.FloatParamType) and not isinstance(parameter.type, Number)
    ]
    assert not others
    assert ("detect", "--threshold") in NUMBERS


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN"])
@pytest.mark.parametrize("words", NUMBERS, ids=" ".join)
def test_what_is_not_finite_is_refused_by_the_options_name(words: tuple[str, ...], value: str) -> None:
    ended = CliRunner().invoke(cli, [*words[:-1], words[-1], value])
    assert ended.exit_code == 2
    assert f"Invalid value for '{words[-1]}'" in ended.output


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "key", ["cache.max_megapixels", "train.learning_rate", "evaluate.score_threshold", "dataset.difficulty"]
)
def test_what_is_not_finite_is_refused_in_a_configuration(key: str, value: str, tmp_path: Path) -> None:
    section, name = key.split(".")
    file = tmp_path / "own.toml"
    file.write_text(f"[{section}]\n{name} = {value}\n")
    with pytest.raises(UsageError, match=key):
        load_config(str(file))
