"""Residual blocks (He et al. 2016, figure 5) with the key names that published ResNet and HRNet weights have."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones.narrow_norm import batch_norm


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions added to their input; depth, height and width stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.bn1 = batch_norm(channels)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = batch_norm(channels)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch _ _ _"]:
        """relu(x + residual): relu(x) itself when the last normalisation's weights are zero."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + x, inplace=True)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions added to a shortcut; `EXPANSION * planes` channels come out.

    The stride is that of the 3 x 3 convolution, as in torchvision ("ResNet v1.5"), not of the first 1 x 1 as in
    the paper: published PyTorch weights are of this form. The shortcut is a 1 x 1 convolution (`downsample`)
    where depth or stride change, otherwise the input.
    """

    EXPANSION = 4

    def __init__(self, num_in: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        num_out = planes * self.EXPANSION
        self.conv1 = nn.Conv2d(num_in, planes, 1, bias=False)
        self.bn1 = batch_norm(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = batch_norm(planes)
        self.conv3 = nn.Conv2d(planes, num_out, 1, bias=False)
        self.bn3 = batch_norm(num_out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or num_in != num_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, stride, bias=False), batch_norm(num_out)
            )

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch _ _ _"]:
        """relu(shortcut + residual); a side of s cells then has ceil(s / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x), inplace=True)


def bottlenecks(num_in: int, planes: int, num_blocks: int, stride: int = 1) -> nn.Sequential:
    """A row of bottlenecks, the first with the stride."""
    first = Bottleneck(num_in, planes, stride)
    rest = (Bottleneck(planes * Bottleneck.EXPANSION, planes) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *rest)


def conv3x3(num_in: int, num_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution without bias; a side of s cells has ceil(s / stride) after it."""
    return nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)


def initialise(trunk: nn.Module) -> None:
    """Draw the convolutions' weights anew, so that signals keep their variance on the way back (He et al. 2015)."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
