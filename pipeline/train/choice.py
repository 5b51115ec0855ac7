"""What is used of a training, as `gate.json` holds it."""

import json
from dataclasses import asdict, dataclass

from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used of a training, and what held-out pictures say about it; AP as `quality`, 0..1."""

    step: int
    """The state: steps done."""
    share: float
    """Of the refinement; 0 where no gain was found."""
    predicted: float
    """AP of the detector's own confidences."""
    ranked: float
    """AP of the state with the share, or, where no gain was found, with the best of the shares."""
    low: float
    """The 95 % interval of the gain, in points of 0..1: its lower end."""
    high: float
    num_images: int
    """The held-out pictures."""
    calibration: tuple[float, float, float]
    """As `crface.ranker.gate.Gate` takes it."""


def write_choice(path: Place, choice: Choice) -> None:
    """Write a choice as JSON."""
    write_atomically(path, json.dumps(asdict(choice), indent=2).encode())


def read_choice(path: Place) -> Choice:
    """The choice that `write_choice` wrote; raises OSError, ValueError, KeyError or TypeError where it is damaged."""
    values = json.loads(path.read_bytes())
    return Choice(**{**values, "calibration": tuple(values["calibration"])})
