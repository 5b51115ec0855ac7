"""A network's form for inference on a CPU: convolutions with their batch norms and activations in one step each."""

import copy
from typing import TypeVar

from torch import Tensor, nn

from crface.backbones.blocks import BasicBlock, Bottleneck
from crface.backbones.fused_convolution import FusedConvolution
from crface.backbones.mobilenet_v1 import MobileNetV1
from crface.backbones.streamed import Streamed

Network = TypeVar("Network", bound=nn.Module)


def fused(network: Network) -> Network:
    """A copy of a network in evaluation mode that gives the same values to a rounding, and gives them sooner.

    For single precision on a CPU, without gradients, and one image at a time. Batch norms become part of the
    convolutions before them, and activations and the sums of residual blocks the last step of these, which oneDNN
    takes while the numbers are in the processor. The finer stages of a MobileNet are computed band by band
    (`crface.backbones.streamed`).
    """
    form = copy.deepcopy(network).eval()
    _fuse(form)
    return form


class _FusedBasicBlock(nn.Module):
    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.conv1 = FusedConvolution(block.conv1, block.bn1, 0.0)
        self.conv2 = FusedConvolution(block.conv2, block.bn2, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x), plus=x)
        return out


class _FusedBottleneck(nn.Module):
    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.conv1 = FusedConvolution(block.conv1, block.bn1, 0.0)
        self.conv2 = FusedConvolution(block.conv2, block.bn2, 0.0)
        self.conv3 = FusedConvolution(block.conv3, block.bn3, 0.0)
        self.downsample = block.downsample
        _fuse(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(self.conv2(self.conv1(x)), plus=self.downsample(x))
        return out


def _fuse(module: nn.Module) -> None:
    """Replace, within a module, what can be computed in one step."""
    for name, child in list(module.named_children()):
        if isinstance(child, BasicBlock):
            setattr(module, name, _FusedBasicBlock(child))
        elif isinstance(child, Bottleneck):
            setattr(module, name, _FusedBottleneck(child))
        elif isinstance(child, nn.Sequential):
            layers = _fused_layers(list(child))
            setattr(module, name, nn.Sequential(*layers))
        elif isinstance(child, nn.Conv2d):
            norm_name = name.replace(
                "conv", "bn"
            )  # conv1 and bn1, conv2 and bn2, ... of a trunk's first layers
            norm = getattr(module, norm_name, None) if norm_name != name else None
            setattr(module, name, FusedConvolution(child, norm))
            if isinstance(norm, nn.BatchNorm2d):
                setattr(module, norm_name, nn.Identity())
    for child in module.children():
        if not isinstance(child, FusedConvolution):
            _fuse(child)
    if isinstance(module, MobileNetV1):
        for stage in ("stage1", "stage2"):
            parts = getattr(module, stage).modules()
            setattr(module, stage, Streamed([part for part in parts if isinstance(part, FusedConvolution)]))


def _fused_layers(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers of a sequence, with each convolution, batch norm and activation in a row as one."""
    found: list[nn.Module] = []
    while layers:
        layer = layers.pop(0)
        if isinstance(layer, nn.Conv2d):
            norm = layers.pop(0) if layers and isinstance(layers[0], nn.BatchNorm2d) else None
            slope = _slope(layers[0]) if layers else None
            if slope is not None:
                layers.pop(0)
            layer = FusedConvolution(layer, norm, slope)
        found.append(layer)
    return found


def _slope(layer: nn.Module) -> float | None:
    """What an activation leaves of negative values; None for a layer that is none."""
    if isinstance(layer, nn.LeakyReLU):
        return float(layer.negative_slope)
    return 0.0 if isinstance(layer, nn.ReLU) else None
