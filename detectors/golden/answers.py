"""A detector's answer to the golden picture, and the answer stored for it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crface.array_shapes import ScoredBoxes
from detectors.base import Detector, identify
from detectors.golden.picture import golden_picture

NUM_STORED = 20
"""The number of candidates of an answer that are stored, the best ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A detector's candidates for the golden picture."""

    alone: np.ndarray
    """The candidates with one image in the call; of whatever shape and values the detector returns."""
    in_batch: np.ndarray
    """The candidates with two other images in the call, one of them of a different size."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenValues:
    """The best candidates for the golden picture on the machine where the weights were made."""

    candidates: ScoredBoxes


def ask(detector: Detector) -> Answer:
    """A detector's answer to the golden picture; whatever it raises is passed on."""
    picture = golden_picture()
    mirrored, part = np.ascontiguousarray(picture[:, ::-1]), np.ascontiguousarray(picture[:96, :80])
    alone = detector.candidates([picture])[0]
    return Answer(np.asarray(alone), np.asarray(detector.candidates([mirrored, picture, part])[1]))


def golden_values(spec: str) -> GoldenValues | None:
    """The values stored for a detector's weights and version; None for weights that do not ship.

    Raises ValueError when there is no such detector or its weights cannot be read.
    """
    identity = identify(spec)
    file = golden_file(str(identity["detector"]), str(identity["weights"]))
    if not file.is_file():
        return None
    stored = json.loads(file.read_text())
    if stored["version"] != identity["version"] or stored["weights"] != identity["weights"]:
        return None
    return GoldenValues(np.array(stored["candidates"], np.float32).reshape(-1, 5))


def golden_file(name: str, weights_sha256: str) -> Path:
    """The file in which the answer of a detector with these weights is stored."""
    return Path(__file__).parent / f"{name}-{weights_sha256[:12]}.json"


def as_json(spec: str, answer: Answer) -> str:
    """An answer as the text that `golden_values` reads."""
    identity = identify(spec)
    rows = [[round(float(value), 5) for value in row] for row in answer.alone[:NUM_STORED]]
    about = {key: identity[key] for key in ("detector", "weights", "version")}
    head = json.dumps(about, indent=2)[:-2]
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    return f'{head},\n  "candidates": [\n    {lines}\n  ]\n}}\n'
