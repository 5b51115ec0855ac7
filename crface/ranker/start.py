"""Where a ranker's training begins: random weights, or those of a detector or a classifier (paper 4.3)."""

from pathlib import Path

from torch import nn

from crface.backbones import MobileNetV1, ResNet, load_imagenet
from crface.ranker.interface import Ranker
from crface.ranker.network import ConfidenceRanker
from crface.ranker.per_box import PerBoxRanker
from crface.ranker.per_box.sights import Opinion
from crface.weights import check_keys, load_state

_OTHER_HEADS = ("trunk.BboxHead.", "trunk.LandmarkHead.")


def start_from(model: Ranker, path: str | Path) -> str:
    """Take over what fits of the weights in a file; gives in words what that was.

    A RetinaFace checkpoint (ours or a published one) gives its backbone, to the per-box rankers its pyramid and
    context modules too, and to "second-opinion" also its class heads; a classifier trained on ImageNet gives its
    backbone, but nothing to "second-opinion". Nothing else of the ranker changes: it still leaves every confidence
    as it is.

    Raises ValueError when the file cannot be read, or what is taken is not whole or has other shapes.
    """
    state = load_state(path)
    part: nn.Module
    if not any(key.startswith("body.") for key in state):
        if model.name == "second-opinion":
            raise ValueError(f"{path} is no RetinaFace: the second-opinion ranker asks a whole detector")
        load_imagenet(_backbone(model), path)
        return "the backbone of a classifier"
    if isinstance(model, PerBoxRanker) and isinstance(model.sight, Opinion):
        words = "the whole of a detector but what it says of boxes and landmarks"
        part = model.sight
        taken = {
            key if key.startswith("ClassHead.") else f"trunk.{key}": value for key, value in state.items()
        }
        taken = {key: value for key, value in taken.items() if not key.startswith(_OTHER_HEADS)}
        taken |= {key: value for key, value in part.state_dict().items() if key.startswith("project.")}
    elif isinstance(model, PerBoxRanker):
        part = model.sight.trunk
        words = "the backbone, pyramid and context modules of a detector"
        taken = {key: value for key, value in state.items() if not key.partition(".")[0].endswith("Head")}
    else:
        part, words = _backbone(model), "the backbone of a detector"
        taken = {key.removeprefix("body."): value for key, value in state.items() if key.startswith("body.")}
    problems = check_keys(part, taken)
    if problems:
        raise ValueError(f"{path} does not fit the trunk of the {model.name} ranker: " + "; ".join(problems))
    part.load_state_dict(taken, strict=False)  # step counters may be absent, as check_keys allows
    return words


def _backbone(model: Ranker) -> MobileNetV1 | ResNet:
    assert isinstance(model, ConfidenceRanker | PerBoxRanker)
    return model.sight.trunk.body if isinstance(model, PerBoxRanker) else model.backbone
