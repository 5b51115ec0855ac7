"""A batch norm for few channels: PyTorch's numbers, forward and back, and its statistics."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from crface.backbones.narrow_norm import NarrowBatchNorm2d, batch_norm

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 15), st.integers(1, 9), st.integers(1, 9)).filter(
    lambda shape: shape[0] * shape[2] * shape[3] > 1
)


def filled(channels: int) -> NarrowBatchNorm2d:
    norm = NarrowBatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.uniform_(-1, 2)
        norm.bias.uniform_(-1, 1)
    return norm


def plain(norm: nn.BatchNorm2d, dtype: torch.dtype) -> nn.BatchNorm2d:
    twin = nn.BatchNorm2d(norm.num_features)
    twin.load_state_dict(norm.state_dict())
    return twin.to(dtype)


def passed(norm: nn.BatchNorm2d, maps: Tensor, gradient: Tensor) -> list[Tensor]:
    """The result, the gradients of maps, weight and bias, and the statistics afterwards."""
    maps = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    normalised = norm(maps)
    # as in the networks, where an activation follows in place
    nn.functional.leaky_relu(normalised, 0.1, inplace=True).backward(gradient)
    gradients = [maps.grad, norm.weight.grad, norm.bias.grad]
    return [normalised.detach(), *gradients, norm.running_mean, norm.running_var]  # type: ignore[list-item]


@given(SHAPES, st.booleans(), st.integers(0, 99))
def test_it_is_pytorchs_batch_norm_to_a_rounding(
    shape: tuple[int, int, int, int], is_channels_last: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    maps = (3 * torch.randn(shape) + torch.randn(shape[1])[:, None, None]).contiguous(memory_format=layout)
    gradient, norm = torch.randn(shape), filled(shape[1])
    exact = passed(plain(norm, torch.float64), maps.double(), gradient.double())
    for found, expected in zip(passed(norm, maps, gradient), exact, strict=True):
        scale = max(1.0, float(expected.abs().max()))
        assert torch.allclose(found.double() / scale, expected / scale, atol=2e-4)
    assert norm.num_batches_tracked == 1


def test_maps_as_large_as_in_training_have_the_same_gradients() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 8, 128, 96).contiguous(memory_format=torch.channels_last)
    gradient, norm = torch.randn(maps.shape), filled(8)
    exact = passed(plain(norm, torch.float64), maps.double(), gradient.double())
    for found, expected in zip(passed(norm, maps, gradient), exact, strict=True):
        assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_evaluated_it_is_pytorchs_to_the_bit() -> None:
    norm = filled(8).eval()
    maps = torch.randn(2, 8, 5, 7).contiguous(memory_format=torch.channels_last)
    assert torch.equal(norm(maps), plain(norm, torch.float32).eval()(maps))


@pytest.mark.parametrize(
    ("channels", "is_narrow"), [(1, True), (8, True), (15, True), (16, False), (256, False)]
)
def test_only_narrow_maps_have_it(channels: int, is_narrow: bool) -> None:
    assert isinstance(batch_norm(channels), NarrowBatchNorm2d) == is_narrow
    assert batch_norm(channels).state_dict().keys() == nn.BatchNorm2d(channels).state_dict().keys()
