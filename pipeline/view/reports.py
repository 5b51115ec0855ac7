"""The files of a workspace's report that the viewer hands out."""

from pathlib import Path
from typing import Final

from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, listed

_SUFFIXES: Final = {".html", ".csv", ".tex", ".svg", ".pdf"}


def report_files(workspace: Workspace) -> dict[str, Place]:
    """The report's files by their names in its folder, with slashes; links are left out, wherever they lead."""
    folder = workspace.report
    found = [*listed(folder, "*"), *listed(folder, "*/*")]
    return {
        _name(folder, place): place
        for place in found
        if place.suffix in _SUFFIXES and not _is_linked(folder, place) and place.is_file()
    }


def _name(folder: Place, place: Place) -> str:
    return place.name if place.parent == folder else f"{place.parent.name}/{place.name}"


def _is_linked(folder: Place, place: Place) -> bool:
    if not isinstance(place, Path):
        return False
    return place.is_symlink() or (place.parent != folder and place.parent.is_symlink())
