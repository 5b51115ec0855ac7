"""Loading of a detector in the configured precision."""

from typing import Protocol, runtime_checkable

import detectors
from detectors.base import Precision


@runtime_checkable
class _Autocasting(Protocol):
    """A detector whose precision can be chosen, like this package's own networks."""

    def autocast(self, precision: Precision) -> None:
        """Compute in this precision from now on."""


def load_detector(spec: str, device: str, precision: Precision = "float32") -> detectors.Detector:
    """A detector made by `detectors.create` that computes in `precision`.

    Raises ValueError as `create` does, and for a precision other than float32 if the detector offers no choice.
    """
    detector = detectors.create(spec, device=device)
    if precision != "float32":
        if not isinstance(detector, _Autocasting):
            raise ValueError(
                f"the detector {spec} computes in the precision of its own file or code: leave out "
                f'cache.precision = "{precision}", which is for this package\'s networks'
            )
        detector.autocast(precision)
    return detector
