"""`collected.csv`: what became of every photograph and frame that was looked at."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from pipeline.errors import UserError
from pipeline.workspace.writing import write_atomically

Outcome = Literal["kept", "near-duplicate", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A photograph, a frame, or a file that cannot be read (or not to its end)."""

    source: str
    """The file's absolute path."""
    frame: int | None = None
    """The frame's number, from 0; None for a photograph."""
    outcome: Outcome
    image: str = ""
    """The actual or would-be name in the data set, `event/name.jpg`; empty if it cannot be read."""
    width: int | None = None
    height: int | None = None
    like: str = ""
    """The most similar kept image, for a near-duplicate."""
    similarity: float | None = None
    """The similarity to that image."""
    reason: str = ""
    """Why it cannot be read."""


def write_record(path: Path, entries: Sequence[Entry]) -> None:
    """Write the list as CSV with one line of column names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Entry)], lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        values = asdict(entry)
        if entry.similarity is not None:
            values["similarity"] = f"{entry.similarity:.4f}"
        writer.writerow(values)
    write_atomically(path, text.getvalue().encode(errors="surrogateescape"))


def kept_before(path: Path) -> list[str]:
    """The images that an earlier list records as kept; none if there is no list.

    Raises UserError if it is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        return [
            row["image"] for row in csv.DictReader(io.StringIO(text, newline="")) if row["outcome"] == "kept"
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(
            f"the list {path} is damaged ({error}): remove it, and run the command again"
        ) from error
