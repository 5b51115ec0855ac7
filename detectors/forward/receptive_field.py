"""The receptive field of an anchor network: the margin that a tile needs around the part that is used."""

import copy

import torch
from torch import nn

from detectors.networks.anchor_network import AnchorNetwork

_MAX_PX = 1 << 13  # wider than the field of any of this package's networks, both sides together


def margin_px(network: AnchorNetwork) -> int:
    """How many pixels beyond a block of cells influence its outputs.

    The block is as wide as the coarsest stride, of which the result is a multiple. It is found from the gradient
    of a row of pixels, in a copy of the network whose every convolution is a plain mean: there no two paths cancel
    and no activation is off. Kernels are square, so what holds along a row holds along a column.

    Raises ValueError for a network that sees more than about 4096 pixels to one side.
    """
    stride = max(network.layout.strides_px)
    start = _MAX_PX // 2 // stride * stride
    with torch.inference_mode(mode=False), torch.enable_grad():  # whatever mode the caller is in
        row = torch.ones(1, 3, 1, _MAX_PX, dtype=torch.float64, requires_grad=True)
        offsets = _mean_network(network)(row)[0]
        total, first = torch.zeros((), dtype=torch.float64), 0
        for level_stride in network.layout.strides_px:
            count = -(-_MAX_PX // level_stride) * network.layout.priors_per_cell
            per_px = network.layout.priors_per_cell / level_stride
            inside = slice(first + round(start * per_px), first + round((start + stride) * per_px))
            total = total + offsets[:, inside].sum()
            first += count
        (gradient,) = torch.autograd.grad(total, row)
    seen = gradient.sum(dim=(0, 1, 2)).nonzero()[:, 0]
    reach = max(start - int(seen[0]), int(seen[-1]) + 1 - (start + stride))
    if reach >= start:
        raise ValueError(f"a network that sees more than {start} px to one side cannot be run in tiles")
    return -(-reach // stride) * stride


def _mean_network(network: AnchorNetwork) -> AnchorNetwork:
    # double: at the edge of a deep network's field, a hundred factors of a third are multiplied
    means = copy.deepcopy(network).cpu().double().eval()
    with torch.no_grad():
        for module in means.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1 / module.weight[0].numel())
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                for statistic in (module.running_mean, module.bias):
                    if statistic is not None:
                        statistic.zero_()
                for statistic in (module.running_var, module.weight):
                    if statistic is not None:
                        statistic.fill_(1)
    return means
