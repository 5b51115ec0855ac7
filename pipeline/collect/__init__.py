"""A test set of one's own from photographs and videos, as the paper's 8K set was made (4.1): near-duplicates out.

`gathering` makes the data set: `sources` and `video` are what comes in, `similarity` is the measure, `record` lists
what became of it. `labelling` writes labels from `label_files`, and `heights` counts them in Figure 5's bins.
"""

from pipeline.collect.gathering import Collected, collect
from pipeline.collect.heights import FaceHeights, face_heights
from pipeline.collect.labelling import Labelled, label
from pipeline.collect.video import FrameRule

__all__ = ["Collected", "FaceHeights", "FrameRule", "Labelled", "collect", "face_heights", "label"]
