"""The workspaces of a comparison, under names that tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.workspace.layout import Workspace


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A workspace under the name that the page has for it."""

    name: str
    workspace: Workspace


def named_runs(workspaces: Sequence[Workspace]) -> list[NamedRun]:
    """The workspaces under the names of their folders, with those above them where these are the same.

    Raises UsageError for fewer than two workspaces, and for one that is given twice.
    """
    if len(workspaces) < 2:
        raise UsageError(
            f"a comparison needs at least two workspaces, and {len(workspaces)} is given: "
            "`crface report --compare runs/a runs/b`"
        )
    roots = [_parts_of(workspace) for workspace in workspaces]
    for number, workspace in enumerate(workspaces):
        if roots[number] in roots[:number]:
            raise UsageError(f"the workspace {workspace.root} is given twice: each is compared once")
    depth = 1
    while len({tuple(parts[-depth:]) for parts in roots}) < len(roots):
        depth += 1
    return [
        NamedRun("/".join(parts[-depth:]), workspace)
        for parts, workspace in zip(roots, workspaces, strict=True)
    ]


def _parts_of(workspace: Workspace) -> list[str]:
    return [part for part in str(workspace.root).split("/") if part]
