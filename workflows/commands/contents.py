"""The pieces of a job's workspace, and who refers to each: what `crface status` shows and `crface clean` decides by."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import UserError
from pipeline.workspace.inventory import Inventory, Piece, take_inventory
from workflows.commands.references import References, of_configuration, of_kept, of_results
from workflows.job.job import Job

State = Literal["current", "used by results", "unused"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a workspace, by who refers to it."""

    inventory: Inventory
    configured: References
    """What the configuration refers to, and what that was made from."""
    kept: References
    """These, and what the stored results and imports refer to."""

    def state(self, piece: Piece) -> State:
        """Who refers to a piece."""
        if self.configured.has(piece):
            return "current"
        return "used by results" if self.kept.has(piece) else "unused"

    @property
    def unused(self) -> list[Piece]:
        """The pieces that nothing refers to."""
        return [piece for piece in self.inventory.pieces if self.state(piece) == "unused"]

    @property
    def is_of_configuration(self) -> bool:
        """Whether anything that took work is of this configuration, if there is anything."""
        worked = [
            piece for piece in self.inventory.pieces if piece.kind in ("candidates", "scores", "ranker")
        ]
        return not worked or any(self.configured.has(piece) for piece in worked)


def contents_of(job: Job) -> Contents:
    """What is in the job's workspace; nothing is written, and no image is looked at.

    Raises UserError when there is no such workspace, or it is damaged so that not all references are known.
    """
    workspace = job.workspace
    if not workspace.root.exists():
        raise UserError(f"there is no workspace {workspace.root}: choose another with --out")
    inventory = take_inventory(workspace)
    configured = of_configuration(job)
    configured |= of_kept(workspace, inventory, configured)
    kept = configured | of_results(workspace, inventory)
    return Contents(inventory, configured, kept | of_kept(workspace, inventory, kept))


def in_order(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces in the order of the job."""
    order = ("index", "imports", "candidates", "ranker", "scores", "results")
    return sorted(pieces, key=lambda piece: (int(piece.subset or 0), order.index(piece.kind), piece))
