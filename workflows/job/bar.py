"""A bar of one line on a terminal."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text


def one_line_bar(words: Callable[[], str]) -> Progress:
    """A bar on standard error, between a task's description and `words` asked for anew; it leaves nothing behind."""
    name = TextColumn("{task.description}", table_column=_one_line())
    bar = BarColumn(bar_width=10, table_column=Column(width=10, no_wrap=True))
    return Progress(name, bar, _Words(words), console=Console(stderr=True), transient=True)


class _Words(ProgressColumn):
    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__(table_column=_one_line())
        self._words = words

    def render(self, task: Task) -> Text:
        return Text(self._words())


def _one_line() -> Column:
    return Column(no_wrap=True, overflow="ellipsis")
