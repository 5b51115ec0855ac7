"""Weights that a ranker's training starts from: those of a detector or a classifier (paper 4.3)."""

from pathlib import Path

from crface.backbones import load_imagenet
from crface.ranker.interface import Ranker
from crface.weights import check_keys, load_state


def start_from(model: Ranker, path: str | Path) -> str:
    """Load into a ranker what fits of the weights in a file; returns a description of what was taken over.

    A RetinaFace checkpoint (ours or a published one) provides its backbone, for the per-box rankers its pyramid and
    context modules too, and for "second-opinion" also its class heads; a classifier trained on ImageNet provides its
    backbone, but nothing for "second-opinion". Nothing else of the ranker changes: it still leaves every confidence
    as it is.

    Raises ValueError when the file cannot be read, or what is to be taken over is incomplete or has other shapes.
    """
    state = load_state(path)
    if not any(key.startswith("body.") for key in state):
        backbone = model.classifier_part()
        if backbone is None:
            raise ValueError(f"{path} is no RetinaFace: the {model.name} ranker asks a whole detector")
        load_imagenet(backbone, path)
        return "the backbone of a classifier"
    start = model.detector_part(state)
    problems = check_keys(start.module, start.tensors)
    if problems:
        raise ValueError(f"{path} does not fit the trunk of the {model.name} ranker: " + "; ".join(problems))
    start.module.load_state_dict(
        start.tensors, strict=False
    )  # step counters may be absent, as check_keys allows
    return start.words
