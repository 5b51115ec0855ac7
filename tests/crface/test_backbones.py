"""What detectors and rankers may rely on of the trunks: published names, map sizes, published weights."""

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from crface.backbones import HRNet, MobileNetV1, ResNet, hrnet, load_imagenet, mobilenet_v1, resnet, resnet50
from crface.backbones.blocks import BasicBlock, Bottleneck
from crface.backbones.pointwise import Pointwise

Trunk = HRNet | MobileNetV1 | ResNet


def slim_hrnet() -> HRNet:
    return hrnet(8, stem_channels=16, num_modules=(1, 1, 1), num_blocks=2)


def slim_resnet() -> ResNet:
    return resnet(width=0.125)


def slim_mobilenet() -> MobileNetV1:
    return mobilenet_v1(width=0.25)


TRUNKS: dict[Callable[[], Trunk], tuple[int, ...]] = {
    slim_hrnet: (4, 8, 16, 32),
    slim_resnet: (4, 8, 16, 32),
    slim_mobilenet: (8, 16, 32),
}
"""Small trunks of every kind, with the strides of their maps."""

each_trunk = pytest.mark.parametrize("make", TRUNKS, ids=lambda make: make.__name__)


def shapes(network: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in network.state_dict().items()}


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def filled(network: Trunk) -> Trunk:
    """Weights that any implementation with the same names can be given: each is drawn by its name alone.

    The numbers of `test_maps_are_those_of_other_implementations_...` are what the other ones gave for them: the mean
    and two corners of each map.
    """
    with torch.no_grad():
        for key, value in network.state_dict().items():
            random = np.random.default_rng(zlib.crc32(key.encode()))
            if value.ndim == 4:
                drawn = random.standard_normal(value.shape, np.float32) / math.sqrt(value[0].numel())
            else:
                drawn = random.uniform(0.5, 1.0, value.shape)
            value.copy_(torch.from_numpy(np.asarray(drawn)))
    return network.eval()


def noise(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(7).standard_normal(shape, np.float32))


def test_resnet50_has_the_names_and_shapes_of_published_weights(shared: Path) -> None:
    published = json.loads((shared / "reference" / "retinaface_resnet50_keys.json").read_text())
    body = {key.removeprefix("body."): shape for key, shape in published.items() if key.startswith("body.")}
    with torch.device("meta"):
        assert shapes(resnet50()) == body
        assert shapes(resnet50(finest_level=3)) == body


def test_hrnet_w48_has_the_names_and_shapes_of_the_official_trunk(shared: Path) -> None:
    official = json.loads((shared / "reference" / "hrnet_w48_keys.json").read_text())
    with torch.device("meta"):
        assert shapes(hrnet(width=48)) == official


def test_parameter_counts_are_those_of_the_published_trunks() -> None:
    with torch.device("meta"):
        assert (
            num_parameters(resnet50()) == 25_557_032 - 2_049_000
        )  # torchvision's, less a 2048 x 1000 classifier
        assert num_parameters(hrnet(48)) == 65_325_120
        assert num_parameters(hrnet(32)) == 29_305_536
        assert num_parameters(hrnet(18)) == 9_562_260


def test_the_slim_trunks_are_as_slim_as_their_docstrings_say() -> None:
    with torch.device("meta"):
        assert round(num_parameters(slim_resnet()) / 1e6, 2) == 0.37
        network = slim_hrnet().eval()
        assert round(num_parameters(network) / 1e6, 2) == 0.37
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, 320, 320))
    assert round(counter.get_total_flops() / 2e9, 2) == 0.28


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # torchvision 0.28.0: resnet50, its four layers
        (
            resnet50,
            [
                (1.188919, 0.7496496, 2.994302),
                (1.254533, 1.732588, 1.810896),
                (1.561083, 0.6412733, 3.006945),
                (1.155898, 0.373331, 0.3364745),
            ],
        ),
        # timm 1.0.31: hrnet_w18, its stages
        (
            lambda: hrnet(18),
            [
                (310.2906, 34.79223, 0),
                (315.9718, 162.2672, 1048.615),
                (254.5051, 80.38303, 778.2509),
                (178.5658, 179.9533, 196.7182),
            ],
        ),
    ],
    ids=["torchvision-resnet50", "timm-hrnet-w18"],
)
def test_maps_are_those_of_other_implementations_with_the_same_weights(
    make: Callable[[], Trunk], expected: list[tuple[float, float, float]]
) -> None:
    with torch.inference_mode():
        maps = filled(make())(noise(1, 3, 64, 96))
    found = [(float(x.mean()), float(x[0, 0, 0, 0]), float(x[0, -1, -1, -1])) for x in maps]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@each_trunk
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (33, 5), (65, 97), (64, 128)])
def test_a_side_of_s_pixels_has_s_over_stride_cells_rounded_up(
    make: Callable[[], Trunk], height: int, width: int
) -> None:
    network = make().eval()
    with torch.inference_mode():
        maps = network(noise(2, 3, height, width))
    assert [tuple(x.shape) for x in maps] == [
        (2, depth, -(-height // stride), -(-width // stride))
        for depth, stride in zip(network.channels, TRUNKS[make], strict=True)
    ]
    assert all(x.isfinite().all() for x in maps)


@each_trunk
def test_an_image_has_the_same_maps_alone_and_in_a_batch(make: Callable[[], Trunk]) -> None:
    network, images = filled(make()), noise(3, 3, 50, 70)
    with torch.inference_mode():
        together, alone = network(images), network(images[1:2])
    for x, y in zip(together, alone, strict=True):
        torch.testing.assert_close(x[1:2], y)


@each_trunk
def test_every_parameter_learns(make: Callable[[], Trunk]) -> None:
    torch.manual_seed(0)
    network = make().train()
    sum((x * noise(*x.shape)).sum() for x in network(noise(2, 3, 96, 96))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_finest_level_chooses_maps_and_changes_none() -> None:
    torch.manual_seed(0)
    whole = slim_resnet().eval()
    part = resnet(width=0.125, finest_level=3).eval()
    part.load_state_dict(whole.state_dict())
    with torch.inference_mode():
        c2, *rest = whole(noise(1, 3, 40, 40))
        assert all(torch.equal(x, y) for x, y in zip(rest, part(noise(1, 3, 40, 40)), strict=True))
    assert c2.shape[1] == 32
    assert part.channels == (64, 128, 256) == whole.channels[1:]


def test_a_basic_block_whose_residual_is_zero_gives_its_input() -> None:
    block = BasicBlock(4).eval()
    nn.init.zeros_(block.bn2.weight)
    x = noise(2, 4, 5, 3).abs()
    assert torch.equal(block(x), x)


def test_a_bottleneck_whose_residual_is_zero_gives_its_shortcut() -> None:
    same, halving = Bottleneck(8, 2).eval(), Bottleneck(3, 2, stride=2).eval()
    for block in (same, halving):
        nn.init.zeros_(block.bn3.weight)
    x = noise(2, 8, 5, 3).abs()
    assert torch.equal(same(x), x)
    assert isinstance(halving.downsample, nn.Sequential)
    x = noise(2, 3, 5, 3)
    torch.testing.assert_close(halving(x), halving.downsample(x).relu())
    assert halving(x).shape == (2, 8, 3, 2)


def test_a_coarse_cell_is_laid_over_the_pixels_it_saw_when_sides_are_odd() -> None:
    exchange = hrnet(1, stem_channels=1, num_modules=(1, 1, 1), num_blocks=1).stage3[0].eval()
    for branch in exchange.branches:  # what comes in goes to the exchange as it is
        nn.init.zeros_(branch[0].bn2.weight)
    convolution, normalisation, _ = exchange.fuse_layers[0][2]
    nn.init.constant_(convolution.weight, 0.25)  # the mean of the four channels
    normalisation.eps = 0
    coarse = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 4, 2, 2)
    fine, *_ = exchange([torch.zeros(1, 1, 5, 6), torch.zeros(1, 2, 3, 3), coarse])
    assert fine[0, 0].tolist() == [[1, 1, 1, 1, 2, 2]] * 4 + [[3, 3, 3, 3, 4, 4]]


CLASSIFIERS: dict[Callable[[], Trunk], dict[str, Tensor]] = {
    slim_hrnet: {
        "incre_modules.0.0.conv1.weight": torch.zeros(32, 8, 1, 1),
        "downsamp_modules.0.0.bias": torch.zeros(256),
        "final_layer.0.bias": torch.zeros(2048),
        "classifier.weight": torch.zeros(1000, 2048),
    },
    slim_resnet: {"fc.weight": torch.zeros(1000, 256), "fc.bias": torch.zeros(1000)},
    slim_mobilenet: {"fc.weight": torch.zeros(1000, 256), "fc.bias": torch.zeros(1000)},
}


@each_trunk
@pytest.mark.parametrize("kind", ["plain.pth", "parallel.pth.tar", "converted.safetensors"])
def test_imagenet_weights_load_and_the_classifiers_tensors_are_named(
    make: Callable[[], Trunk], kind: str, tmp_path: Path
) -> None:
    source, path = filled(make()), tmp_path / kind
    state = {**source.state_dict(), **CLASSIFIERS[make]}
    if kind == "plain.pth":
        # files from before PyTorch 0.4.1 count no steps
        torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    elif kind == "parallel.pth.tar":
        torch.save({"epoch": 90, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        save_file(state, path)
    network = make()
    assert load_imagenet(network, path) == sorted(CLASSIFIERS[make])
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, source.get_parameter(name)), name


def test_weights_that_do_not_fit_a_trunk_are_listed_and_change_nothing(tmp_path: Path) -> None:
    path, network = tmp_path / "other.pth", slim_resnet()
    state = dict(resnet(width=0.125).state_dict())
    del state["conv1.weight"]
    state["layer5.weight"] = state["bn1.weight"]
    state["bn1.weight"] = torch.zeros(64)
    torch.save(state, path)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"other\.pth does not fit the trunk ResNet-50 of width 0\.125: 1 missing: conv1\.weight; "
        r"1 unexpected: layer5\.weight; 1 misshapen: bn1\.weight \[64\] instead of \[8\]$",
    ):
        load_imagenet(network, path)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_trunk_that_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"width 0\.01 has no channels"):
        resnet(width=0.01)
    with pytest.raises(ValueError, match="four stages of at least one block each"):
        resnet(blocks=(3, 4, 0, 3))
    with pytest.raises(ValueError, match="cannot begin with level 1"):
        resnet50(finest_level=1)
    with pytest.raises(ValueError, match="width 0, 64 stem channels"):
        hrnet(width=0)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_pointwise_convolution_gives_and_learns_what_a_1_by_1_convolution_does(
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    pointwise = Pointwise(6, 9, bias=True)
    x = torch.randn(2, 6, 5, 7).to(memory_format=layout).requires_grad_()
    found = pointwise(x)
    wanted = F.conv2d(x, pointwise.weight, pointwise.bias)
    torch.testing.assert_close(found, wanted)
    learning = (x, pointwise.weight, pointwise.bias)
    for gradient, wanted_gradient in zip(
        *(torch.autograd.grad(one.square().sum(), learning) for one in (found, wanted)), strict=True
    ):
        torch.testing.assert_close(gradient, wanted_gradient)
