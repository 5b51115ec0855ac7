"""A check that a detector works on this machine: it is shown a drawn picture, and its answer is judged.

For shipped weights, the answer is compared with the one stored beside the code; for others, with what every
detector must do. `python -m detectors.golden NAME` stores the answer of a detector's shipped weights.
"""

from detectors.golden.answers import Answer, GoldenValues, ask, golden_file, golden_values
from detectors.golden.judgement import Finding, judge
from detectors.golden.picture import golden_picture

__all__ = [
    "Answer",
    "Finding",
    "GoldenValues",
    "ask",
    "golden_file",
    "golden_picture",
    "golden_values",
    "judge",
]
