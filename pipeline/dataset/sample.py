"""Some images of a split that stand for all of them."""

from collections.abc import Iterable
from itertools import islice, zip_longest

from pipeline.dataset.index import Index


def sampled(index: Index, rows: Iterable[int], most: int) -> list[int]:
    """At most `most` of the rows, ascending, as if drawn at random: those whose image has the smallest hash.

    So the sample depends on the images alone, not on names or order, and a few images more change little of it.
    """
    return sorted(sorted(rows, key=lambda row: (index.row(row).sha256, row))[:most])


def sampled_by_folder(index: Index, rows: Iterable[int], most: int) -> list[int]:
    """At most `most` of the rows, ascending, as equally many of each folder as there are."""
    folders: dict[str, list[int]] = {}
    for row in rows:
        folders.setdefault(folder_of(index, row), []).append(row)
    of_each = [
        sorted(found, key=lambda row: (index.row(row).sha256, row)) for _, found in sorted(folders.items())
    ]
    in_turns = (row for turn in zip_longest(*of_each) for row in turn if row is not None)
    return sorted(islice(in_turns, most))


def folder_of(index: Index, row: int) -> str:
    """The folder of a row's image, relative to the image folder: WIDER FACE's event."""
    return index.row(row).path.rpartition("/")[0]
