"""What a detector is to the rest of the project: a protocol, found by its name.

Detectors are entry points of the group `crface.detectors`, so that other packages can add theirs; one that
is not registered is named `package.module:NAME`. Either points to a `DetectorEntry` or to a class with an
integer `version` that is called with a weights file (or None) and a device, and then is a `Detector`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from detectors.weights import file_sha256

MAX_CANDIDATES: Final = 5000
"""Candidates kept of one image (paper 4.2)."""
SHIPPED: Final = "shipped"
"""The weights that come with this package."""
_GROUP = "crface.detectors"


@runtime_checkable
class Detector(Protocol):
    """What the pipeline needs of a detector."""

    @property
    def name(self) -> str:
        """The name that its candidates are filed under."""

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Float32[np.ndarray, "_ 5"]]:
        """Give each RGB image's rows `x1 y1 x2 y2 confidence` in its pixels, best first; none to 5000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorEntry:
    """A detector that can be created by name: what an entry point, or `package.module:NAME`, points to."""

    description: str
    """One line for `crface detectors`."""
    version: int
    """Raised whenever code changes in a way that changes candidates: part of their fingerprint."""
    create: Callable[[Path | None, str], Detector]
    """Make the detector from a weights file (None: random weights, or none needed) on a device."""
    shipped_weights: Path | None = None
    """The weights that come with the package; None if there are none, or the detector needs none."""


def available() -> dict[str, str]:
    """Give every registered detector's name and description, in order of name; a broken one says why."""
    descriptions = {}
    for point in sorted(entry_points(group=_GROUP), key=lambda point: point.name):
        try:
            descriptions[point.name] = _loaded(point).description
        except ValueError as error:
            descriptions[point.name] = f"unusable: {error}"
    return descriptions


def create(spec: str, weights: str | Path | None = SHIPPED, device: str = "cpu") -> Detector:
    """Make the detector named `NAME`, `NAME@WEIGHTS` or `package.module:NAME`, ready to be called.

    WEIGHTS, or `weights`, is a safetensors file or a published checkpoint; `weights=None` gives random
    ones.

    Raises ValueError when the name is unknown, weights are named twice, or their file is missing or does
    not fit.
    """
    name, entry, path = _resolved(spec, weights)
    if weights == SHIPPED and path is not None and not path.is_file():
        raise ValueError(
            f"the weights {path} of {name} are not there: check the path, or name others with {name}@WEIGHTS"
        )
    return entry.create(path, device)


def identify(spec: str) -> dict[str, str | int | float]:
    """Give all that decides the bytes of a detector's candidates, as JSON values, without creating it.

    Raises ValueError as `create` does.
    """
    name, entry, path = _resolved(spec, SHIPPED)
    sha256 = "none" if path is None else file_sha256(path)
    return {"detector": name, "weights": sha256, "version": entry.version, "max_candidates": MAX_CANDIDATES}


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
        return name, entry, entry.shipped_weights
    return name, entry, None if weights is None else Path(weights)


def _entry(name: str) -> DetectorEntry:
    registered = {point.name: point for point in entry_points(group=_GROUP)}
    if name in registered:
        return _loaded(registered[name])
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"there is no detector {name}: choose {', '.join(sorted(registered))}, or package.module:NAME"
        )
    return _loaded(EntryPoint(name=name, value=f"{module}:{attribute}", group=_GROUP))


def _loaded(point: EntryPoint) -> DetectorEntry:
    try:
        found: object = import_module(point.module)
        for part in point.attr.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the detector {point.name} cannot be loaded from {point.value}: {error}") from error
    if isinstance(found, DetectorEntry):
        return found
    version = getattr(found, "version", None)
    if not isinstance(found, type) or not isinstance(version, int):
        raise ValueError(
            f"{point.value} is no detector: it must be a DetectorEntry, or a class with an integer `version`"
        )
    description = (found.__doc__ or point.value).strip().splitlines()[0]
    return DetectorEntry(description=description, version=version, create=found)
