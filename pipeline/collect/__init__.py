"""A test set of one's own from photographs and videos, made without near-duplicates like the paper's 8K set (4.1).

`gathering` makes the data set: `sources` and `video` are its input, `similarity` is the measure, and `record` lists
the outcome. `labelling` writes labels from `label_files`, and `heights` counts them in Figure 5's bins. Used by
`crface dataset collect`.
"""

from pipeline.collect.gathering import Collected, collect
from pipeline.collect.heights import FaceHeights, face_heights
from pipeline.collect.labelling import Labelled, label
from pipeline.collect.video import FrameRule

__all__ = ["Collected", "FaceHeights", "FrameRule", "Labelled", "collect", "face_heights", "label"]
