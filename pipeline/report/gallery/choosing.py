"""Which images a page shows: those that changed, the most changed of every detector first."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest

from pipeline.report.gallery.survey import Line


def most_changed(surveys: Sequence[Sequence[Line]]) -> Iterator[int]:
    """The rows of all changed images, each once: in turn what helped and what hurt most, detector by detector.

    Images with as many gains as losses come last. Equals come in the order of their rows.
    """
    queues: list[list[int]] = []
    undecided: list[int] = []
    for lines in surveys:
        changed = [line for line in lines if line.is_changed]
        queues.append(
            [line.row for line in sorted(changed, key=lambda line: -line.change) if line.change > 0]
        )
        queues.append([line.row for line in sorted(changed, key=lambda line: line.change) if line.change < 0])
        undecided += [line.row for line in changed if line.change == 0]
    in_turn = (row for turn in zip_longest(*queues) for row in turn if row is not None)
    yield from dict.fromkeys(chain(in_turn, sorted(undecided)))


def within_budget(rows: Iterator[int], size_bytes: Callable[[int], int], budget_bytes: int) -> list[int]:
    """The first of the rows, as long as their sizes fit; a row of size 0 is left out."""
    chosen = []
    for row in rows:
        size = size_bytes(row)
        if size > budget_bytes:
            break
        if size > 0:
            budget_bytes -= size
            chosen.append(row)
    return chosen
