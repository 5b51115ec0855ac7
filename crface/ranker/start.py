"""Where a ranker's training begins: random weights, or those of a detector or a classifier (paper 4.3)."""

from pathlib import Path

from torch import nn

from crface.backbones import MobileNetV1, ResNet, load_imagenet
from crface.ranker.interface import Ranker
from crface.ranker.network import ConfidenceRanker
from crface.ranker.per_box import PerBoxRanker
from crface.weights import check_keys, load_state


def start_from(model: Ranker, path: str | Path) -> str:
    """Take over what fits of the weights in a file; gives in words what that was.

    A RetinaFace checkpoint (ours or a published one) gives its backbone, and to the per-box ranker its pyramid and
    context modules too; a classifier trained on ImageNet gives its backbone. Nothing else of the ranker
    changes: it still leaves every confidence as it is.

    Raises ValueError when the file cannot be read, or what is taken is not whole or has other shapes.
    """
    state = load_state(path)
    part: nn.Module
    if not any(key.startswith("body.") for key in state):
        load_imagenet(_backbone(model), path)
        return "the backbone of a classifier"
    if isinstance(model, PerBoxRanker):
        part, taken = model.trunk, state
        words = "the backbone, pyramid and context modules of a detector"
    else:
        part, words = _backbone(model), "the backbone of a detector"
        taken = {key.removeprefix("body."): value for key, value in state.items() if key.startswith("body.")}
    taken = {key: value for key, value in taken.items() if not key.partition(".")[0].endswith("Head")}
    problems = check_keys(part, taken)
    if problems:
        raise ValueError(f"{path} does not fit the trunk of the {model.name} ranker: " + "; ".join(problems))
    part.load_state_dict(taken, strict=False)  # step counters may be absent, as check_keys allows
    return words


def _backbone(model: Ranker) -> MobileNetV1 | ResNet:
    assert isinstance(model, ConfidenceRanker | PerBoxRanker)
    return model.trunk.body if isinstance(model, PerBoxRanker) else model.backbone
