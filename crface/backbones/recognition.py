"""Which trunk a state dict belongs to, told from names and shapes alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_PREFIXES = ("", "body.", "trunk.", "backbone.")
"""Where detectors keep their trunk; "" in a file that holds nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedTrunk:
    """A trunk found in a state dict."""

    name: str
    """What people call it: `ResNet-50`, `HRNet-W48`, `MobileNet v1 0.25`."""
    is_bare: bool
    """Whether its names have no prefix: a trunk on its own, or an ImageNet classifier, but no detector."""


def recognise_trunk(state: Mapping[str, Tensor]) -> RecognisedTrunk | None:
    """The trunk in a state dict; None if there is none of a known kind."""
    for prefix in _PREFIXES:
        shapes = {
            key.removeprefix(prefix): tuple(value.shape)
            for key, value in state.items()
            if key.startswith(prefix)
        }
        name = _resnet(shapes) or _hrnet(shapes) or _mobilenet_v1(shapes)
        if name is not None:
            return RecognisedTrunk(name=name, is_bare=prefix == "")
    return None


def _resnet(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    stem = shapes.get("conv1.weight", ())
    if stem[1:] != (3, 7, 7) or "layer4.0.conv1.weight" not in shapes:
        return None
    num_blocks = sum(key.startswith("layer") and key.endswith(".conv1.weight") for key in shapes)
    convolutions_per_block = 3 if "layer1.0.conv3.weight" in shapes else 2
    # the number in its name counts the stem and the classifier too (He et al. 2016, table 1)
    name = f"ResNet-{convolutions_per_block * num_blocks + 2}"
    return name if stem[0] == 64 else f"{name} of width {stem[0] / 64:g}"


def _hrnet(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    finest = shapes.get("stage4.0.branches.0.0.conv1.weight")
    return None if finest is None else f"HRNet-W{finest[0]}"


def _mobilenet_v1(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    stem = shapes.get("stage1.0.0.weight", ())
    return f"MobileNet v1 {stem[0] / 32:g}" if stem[1:] == (3, 3, 3) else None
