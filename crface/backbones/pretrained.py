"""ImageNet weights for a trunk, from the files that their authors publish."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from crface.backbones.hrnet import HRNet
from crface.backbones.mobilenet_v1 import MobileNetV1
from crface.backbones.recognition import recognise_trunk
from crface.backbones.resnet import ResNet
from crface.weights import check_keys, load_state


def load_imagenet(trunk: MobileNetV1 | ResNet | HRNet, path: str | Path) -> list[str]:
    """Load a classifier's weights into its trunk; gives the names of the classifier's tensors, which are left out.

    `path` is torchvision's ResNet-50, an official HRNet-Wx-C, the MobileNet 0.25 of the PyTorch RetinaFace, or any
    file with their names (`.pth` or safetensors). All but the classifier is strict: every tensor of the trunk is in
    the file and fits, and the file holds no other. Nothing is loaded otherwise.

    The weights were trained on images of their own scale (torchvision and HRNet: RGB, 0..1, minus the mean over
    the standard deviation); batch normalisation adapts a trunk to another scale as it is trained.

    Raises ValueError when the file cannot be read or does not fit, naming the trunk it holds if that is another
    one, otherwise every kind of difference.
    """

    def trunk_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: value for key, value in state.items() if not key.startswith(trunk.classifier_keys)}

    state = load_state(path, lambda state: not check_keys(trunk, trunk_of(state)))
    kept = trunk_of(state)
    left_out = sorted(state.keys() - kept.keys())
    problems = check_keys(trunk, kept)
    if problems:
        found, own = recognise_trunk(state), recognise_trunk(trunk.state_dict())
        assert own is not None
        if found is not None and found.name != own.name:
            raise ValueError(f"{path} holds weights on {found.name}, not the trunk {own.name}")
        raise ValueError(f"{path} does not fit the trunk {own.name}: " + "; ".join(problems))
    trunk.load_state_dict(kept, strict=False)  # step counters may be absent, as check_keys allows
    return left_out
