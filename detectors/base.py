"""The interface of a detector, and how one is found by name.

Detectors are entry points of the group `crface.detectors`, so that other packages can add theirs; one that is
not registered is named `package.module:NAME`. Either kind of name points to a `DetectorEntry`, or to a class with
an integer `version` that is called with a weights file (or None) and a device to make a `Detector`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from crface.array_shapes import ScoredBoxes

MAX_CANDIDATES: Final = 5000
"""The most candidates kept of one image (paper 4.2); every store has room for as many."""
SHIPPED: Final = "shipped"
"""Stands for the weights that come with this package."""
Precision = Literal["float32", "bfloat16", "float16"]
"""The number format of a network's convolutions."""
_GROUP = "crface.detectors"


@runtime_checkable
class Detector(Protocol):
    """The interface that the pipeline needs of a detector."""

    @property
    def name(self) -> str:
        """The name that the detector's candidates are filed under."""

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[ScoredBoxes]:
        """Rows `x1 y1 x2 y2 confidence` for each RGB image, in its pixels, best first; 0 to 5000 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorEntry:
    """A detector that can be created by name; an entry point or `package.module:NAME` points to one."""

    description: str
    """One line shown by `crface detectors`."""
    version: int
    """A number that is raised whenever a code change alters candidates; part of their fingerprint."""
    create: Callable[[Path | None, str], Detector]
    """Creates the detector from a weights file (None: random weights, or none needed) on a device."""
    shipped_weights: Path | None = None
    """The weights file that comes with the package; None if there is none or the detector needs none."""
    needs_weights: bool = False
    """Whether the detector is useless without weights; if so and none are shipped, the user must name some."""
    identity: Callable[[Path | None], Mapping[str, Any]] | None = None
    """Returns what decides candidates besides the version, as JSON values, if that is more than one weights file.

    Called like `create`, without the device. The result has at least `weights`, a SHA-256 of all files that are
    read, and may have `detector`, another name to file candidates under.
    """


def available() -> dict[str, str]:
    """The name and description of every registered detector, sorted by name; a broken one's says why."""
    descriptions = {}
    for name, value in sorted(_registered().items()):
        try:
            descriptions[name] = _loaded(name, value).description
        except ValueError as error:
            descriptions[name] = f"unusable: {error}"
    return descriptions


def create(spec: str, weights: str | Path | None = SHIPPED, device: str = "cpu") -> Detector:
    """The detector named `NAME`, `NAME@WEIGHTS` or `package.module:NAME`, ready to use.

    WEIGHTS, or `weights`, is a safetensors file or a published checkpoint; `weights=None` means random weights.

    Raises ValueError when the name is unknown, weights are given twice, the detector needs weights but none are
    given or shipped, or their file is missing or does not fit.
    """
    name, entry, path = _resolved(spec, weights)
    if weights == SHIPPED and path is not None and not path.is_file():
        raise ValueError(
            f"the weights {path} of {name} are not there: check the path, or name others with {name}@WEIGHTS"
        )
    return entry.create(path, device)


def identify(spec: str) -> dict[str, Any]:
    """Everything that decides the bytes of a detector's candidates, as JSON values, without creating it.

    `detector` is the name that the candidates are filed under, `weights` a SHA-256 of every file that is read.

    Raises ValueError as `create` does.
    """
    name, entry, path = _resolved(spec, SHIPPED)
    if entry.identity is not None:
        decisive = entry.identity(path)
    else:
        decisive = {"weights": "none" if path is None else file_sha256(path)}
    return {"detector": name, "version": entry.version, "max_candidates": MAX_CANDIDATES, **decisive}


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a weights file, 64 hexadecimal digits.

    Raises ValueError when the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"the weights file {path} cannot be read: {error.strerror}") from error


def _resolved(spec: str, weights: str | Path | None) -> tuple[str, DetectorEntry, Path | None]:
    name, at, in_spec = spec.partition("@")
    if at and not in_spec:
        raise ValueError(
            f"{spec} names no weights after the @: write NAME, or NAME@WEIGHTS with the path of a file"
        )
    if at and weights != SHIPPED:
        raise ValueError(f"weights are given twice, in {spec} and as {weights}: give them once")
    entry = _entry(name)
    if at:
        return name, entry, Path(in_spec)
    if weights == SHIPPED:
        if entry.needs_weights and entry.shipped_weights is None:
            raise ValueError(
                f"{name} comes without weights: name yours with {name}@WEIGHTS, made by `crface train-detector` or "
                "`crface weights import`"
            )
        return name, entry, entry.shipped_weights
    return name, entry, None if weights is None else Path(weights)


def _registered() -> dict[str, str]:
    # Dask's backport of importlib.metadata returns objects of its own class: only their strings are used
    return {point.name: point.value for point in entry_points(group=_GROUP)}


def _entry(name: str) -> DetectorEntry:
    registered = _registered()
    if name not in registered and ":" not in name:
        raise ValueError(
            f"there is no detector {name}: choose {', '.join(sorted(registered))}, or package.module:NAME"
        )
    return _loaded(name, registered.get(name, name))


def _loaded(name: str, value: str) -> DetectorEntry:
    module, _, attribute = value.partition(":")
    try:
        found: object = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "" if name != value else "; a module of yours must be installed, or its folder in PYTHONPATH"
        raise ValueError(f"the detector {name} cannot be loaded from {value}: {error}{hint}") from error
    if isinstance(found, DetectorEntry):
        return found
    version = getattr(found, "version", None)
    if not isinstance(found, type) or not isinstance(version, int):
        raise ValueError(
            f"{value} is no detector: it must be a DetectorEntry, or a class with an integer `version`"
        )
    description = (found.__doc__ or value).strip().splitlines()[0]
    return DetectorEntry(description=description, version=version, create=found)
