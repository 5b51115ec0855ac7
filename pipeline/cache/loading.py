"""A detector loaded as the configuration says."""

from typing import Protocol, runtime_checkable

import detectors
from detectors.base import Precision


@runtime_checkable
class _Autocasting(Protocol):
    """A detector whose precision can be chosen, as this package's networks."""

    def autocast(self, precision: Precision) -> None:
        """Compute in this precision from now on."""


def load_detector(spec: str, device: str, precision: Precision = "float32") -> detectors.Detector:
    """Load a detector as `detectors.create` does, to compute in a precision.

    Raises ValueError as it does, and for another precision than float32 with a detector that has none to choose.
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
