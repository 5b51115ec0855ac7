"""A network's form for inference: the network's values, whatever the picture's size, and in bands the same bits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from crface.backbones import hrnet, mobilenet_v1, resnet
from crface.backbones.fused import fused


def worn(network: nn.Module) -> nn.Module:
    """A network whose batch norms have statistics and weights of their own, as after a training."""
    random = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values, lowest in ((module.running_mean, -0.5), (module.bias, -0.5), (module.weight, 0.5)):
                values.data = torch.rand(values.shape, generator=random) + lowest
            module.running_var.data = torch.rand(module.running_var.shape, generator=random) + 0.5
    return network.eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mobilenet": lambda: mobilenet_v1(0.25),
    "resnet": lambda: resnet(width=0.125),
    "hrnet": lambda: hrnet(8, stem_channels=16, num_modules=(1, 1, 1), num_blocks=2),
}


def picture(height: int, width: int) -> Tensor:
    pixels = torch.randint(-120, 140, (1, height, width, 3), generator=torch.Generator().manual_seed(0))
    return pixels.float().permute(0, 3, 1, 2)


@pytest.mark.parametrize("has_onednn", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (33, 70), (100, 63)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_fused_form_gives_the_networks_maps(
    name: str, size: tuple[int, int], has_onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_onednn:
        monkeypatch.setattr("crface.backbones.fused_convolution._HAS_ONEDNN", False)
    torch.manual_seed(0)
    network = worn(NETWORKS[name]())
    with torch.inference_mode():
        for found, wanted in zip(fused(network)(picture(*size)), network(picture(*size)), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("rows", [1, 2, 7, 16])
@pytest.mark.parametrize("height", [64, 37, 50])
def test_in_bands_of_any_height_each_number_is_that_of_the_whole_picture(
    height: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = fused(worn(mobilenet_v1(0.25)))
    with torch.inference_mode():
        whole = network(picture(height, 30))
        monkeypatch.setattr("crface.backbones.streamed._BAND_VALUES", 30 * 3 * rows)
        for found, wanted in zip(network(picture(height, 30)), whole, strict=True):
            assert torch.equal(found, wanted)


def test_fusing_changes_nothing_in_the_network() -> None:
    torch.manual_seed(0)
    network = worn(mobilenet_v1(0.25))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused(network)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
