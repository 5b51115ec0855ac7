"""The rankers beyond the paper: each box is judged by its own pixels and by the boxes around it.

The paper's head gives output k to "the k-th best box" of a picture (see `crface.ranker.confidence_module`).
Here the same small network looks at every box: at features of the picture sampled inside the box and around
it, at its geometry and confidence, and at the boxes that overlap it most. So the result does not depend on how
many candidates there are or in which order they come. Two differ in what they see of the picture
(`crface.ranker.per_box.sights`).
"""

from crface.ranker.per_box.network import PerBoxRanker, per_box_ranker, second_opinion_ranker

__all__ = ["PerBoxRanker", "per_box_ranker", "second_opinion_ranker"]
