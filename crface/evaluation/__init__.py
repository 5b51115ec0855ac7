"""Average precision on WIDER FACE (paper 4.1): the official protocol, and one with every score a threshold.

`matching` finds which face each detection hits, `curves` turns hits into precision and recall, `widerface`
puts the two together. Nothing depends on the order in which detections come; the field's evaluator (the
Python port of the official MATLAB tool) takes them to be sorted, and gives nonsense without a word when they
are not. `literal` is that algorithm in its obvious form, for tests and benchmarks.

Odd input is answered as that evaluator does where it has an answer:

- *an image without detections* adds its faces to those that recall is measured against;
- *an image without faces*: its detections are no proposals, but take part in stretching the scores;
- *equal scores* pass a threshold together;
- *scores above 1 or below 0* are stretched as all others; of the range that they are stretched from, the
  lowest is at most 1 and the highest at least 0.

Where it has none: *if all scores are equal*, every detection passes every threshold; *without a detection*
AP is 0; *a setting that keeps no face* has no AP (NaN); a number that is not finite is refused.
"""

from crface.evaluation.curves import (
    Curve,
    OperatingPoint,
    average_precision,
    best_f1,
    exact_curve,
    official_curve,
)
from crface.evaluation.matching import Hits, match
from crface.evaluation.widerface import Evaluation, widerface_ap

__all__ = [
    "Curve",
    "Evaluation",
    "Hits",
    "OperatingPoint",
    "average_precision",
    "best_f1",
    "exact_curve",
    "match",
    "official_curve",
    "widerface_ap",
]
