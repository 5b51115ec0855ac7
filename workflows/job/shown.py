"""Text on a terminal: tables as a pipe gets them, with colours, and sentences in lines."""

import sys
import textwrap
from typing import Final

import click

_COLOURS: Final = (
    (r"\+\d+\.\d \([^)]*\) \*", "green"),  # a gain that is told from chance
    (r"-\d+\.\d \([^)]*\) \*", "red"),
    (r"(?m)^(?=.*\S  +\S)[^\d\n]+$", "bold"),  # a heading: words in columns, and no figure
)


_WIDTH: Final = 80


def wrapped(sentence: str) -> str:
    """A sentence in lines of at most 80 columns, longer words (paths) excepted."""
    return textwrap.fill(
        sentence, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def show_table(text: str) -> None:
    """Print a text with its tables; coloured on a terminal, unless NO_COLOR is set, and plain elsewhere.

    Colours say nothing that the text does not say.
    """
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console  # which no pipe waits for
    from rich.text import Text

    coloured = Text(text)
    for pattern, colour in _COLOURS:
        coloured.highlight_regex(pattern, colour)
    Console(file=sys.stdout).print(coloured, soft_wrap=True)
