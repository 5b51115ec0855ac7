"""What users may rely on in the HAMBox and HRNet detectors: anchors, sizes, training of every part."""

import pytest
import torch

import detectors
from detectors.adapter import NetworkDetector
from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.by_name import NETWORKS
from detectors.networks.hambox import hambox_slim, hrnet_slim
from detectors.networks.priors import HAMBOX_LAYOUT, make_priors

SLIM = {"hambox-slim": hambox_slim, "hrnet-slim": hrnet_slim}


def test_every_cell_of_six_maps_has_one_square_anchor() -> None:
    priors = make_priors(128, 256, HAMBOX_LAYOUT)
    assert len(priors) == sum((128 // stride) * (256 // stride) for stride in (4, 8, 16, 32, 64, 128))
    sides = priors[:, 2:] * torch.tensor([256.0, 128.0])
    assert (sides[:, 0] == sides[:, 1]).all()
    assert sides[:, 0].unique().tolist() == [16, 32, 64, 128, 256, 512]
    assert priors[0].tolist() == [2 / 256, 2 / 128, 16 / 256, 16 / 128]
    assert priors[-1].tolist() == [192 / 256, 64 / 128, 512 / 256, 512 / 128]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (129, 33), (64, 65)])
def test_there_is_an_answer_for_each_anchor_at_any_size(height: int, width: int) -> None:
    for make in SLIM.values():
        network = make().eval()
        with torch.no_grad():
            boxes, classes = network(torch.zeros(1, 3, height, width))
        assert boxes.shape == (1, len(make_priors(height, width, HAMBOX_LAYOUT)), 4)
        torch.testing.assert_close(classes.sum(dim=-1), torch.ones(classes.shape[:2]))


@pytest.mark.parametrize("name", SLIM)
def test_a_slim_detector_is_at_most_four_megabytes(name: str) -> None:
    state = NETWORKS[name]().state_dict()
    assert sum(value.numel() * value.element_size() for value in state.values()) <= 4_000_000


@pytest.mark.parametrize("make", SLIM.values())
def test_every_weight_learns(make: type[AnchorNetwork]) -> None:
    network = make().train()
    boxes, classes = network(torch.randn(2, 3, 128, 128))
    (boxes.square().sum() + classes.square().sum()).backward()
    silent = [
        name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


def test_a_new_network_finds_no_face() -> None:
    torch.manual_seed(0)
    network = hambox_slim().eval()
    with torch.no_grad():
        _, classes = network(torch.randn(1, 3, 96, 96))
    assert classes[..., 1].mean() == pytest.approx(0.01, abs=0.01)


@pytest.mark.parametrize("name", ["hambox-resnet50", "hrnet-w18"])
def test_the_large_networks_give_candidates_of_an_image(name: str) -> None:
    detector = detectors.create(name, weights=None)
    assert isinstance(detector, NetworkDetector)
    image = torch.randint(0, 256, (50, 70, 3), dtype=torch.uint8).numpy()
    assert detector.candidates([image])[0].shape == (len(make_priors(50, 70, HAMBOX_LAYOUT)), 5)


@pytest.mark.parametrize("name", ["retinaface-resnet50", "hambox-resnet50", "hrnet-w48"])
def test_a_detector_without_shipped_weights_asks_for_them(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} comes without weights: name yours with {name}@WEIGHTS"):
        detectors.create(name)
