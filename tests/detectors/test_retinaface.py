"""What users may rely on of RetinaFace: the published network, its priors, and candidates in pixels."""

import importlib.util
import itertools
import json
import math
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

import detectors
from crface.backbones import mobilenet_v1
from detectors.adapter import NetworkDetector
from detectors.forward.pixels import to_input
from detectors.networks.priors import decode_boxes, encode_boxes, make_priors
from detectors.networks.retinaface import mobilenet025, retinaface_resnet50


@pytest.fixture(scope="module")
def detector() -> NetworkDetector:
    torch.manual_seed(0)
    network = mobilenet025()
    for (
        module
    ) in network.modules():  # as after training: the statistics of normalisation are not those of the start
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 20.0, 40.0)
    for heads in (network.ClassHead, network.BboxHead):
        for parameter in heads.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return NetworkDetector("retinaface-mobilenet0.25", network)


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _reference_fill(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_fill", shared / "reference" / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_network_has_the_keys_and_shapes_of_the_published_checkpoint(shared: Path) -> None:
    published = json.loads((shared / "reference" / "retinaface_mobilenet0.25_keys.json").read_text())
    ours = {key: list(value.shape) for key, value in mobilenet025().state_dict().items()}
    assert ours == published


def test_resnet50_network_has_the_keys_and_shapes_of_the_published_checkpoint(shared: Path) -> None:
    published = json.loads((shared / "reference" / "retinaface_resnet50_keys.json").read_text())
    ours = {key: list(value.shape) for key, value in retinaface_resnet50().state_dict().items()}
    assert ours == published


def test_network_gives_the_reference_outputs(shared: Path) -> None:
    fill = _reference_fill(shared)
    network = fill.fill(mobilenet025())
    bgr = fill.image(128, 160)
    with torch.no_grad():
        outputs = network(to_input(torch.from_numpy(bgr[None, :, :, ::-1].copy())))
    reference = np.load(shared / "reference" / "retinaface_mobilenet0.25.npz")
    for name, output in zip(("loc", "conf", "landms"), outputs, strict=True):
        expected = reference[name]
        assert np.abs(output.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


def test_priors_are_the_reference_priors(shared: Path) -> None:
    reference = np.load(shared / "reference" / "priors_128x160.npz")["priors"]
    np.testing.assert_allclose(make_priors(128, 160).numpy(), reference, rtol=1e-7)


def test_published_weights_give_the_published_candidates(shared: Path) -> None:
    published = detectors.create(
        f"retinaface-mobilenet0.25@{shared / 'models' / 'retinaface_mobilenet0.25_published.pth'}"
    )
    reference = np.load(shared / "reference" / "retinaface_mobilenet0.25_published_candidates.npz")
    assert len(reference.files) == 2
    for name in reference.files:
        path = shared / "real" / "wider_val_restored" / "WIDER_val" / "images" / f"{name}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        found = published.candidates([image])[0]
        assert len(found) == 5000
        assert np.abs(found[:1000, 4] - reference[name][:, 4]).max() < 1e-5
        # Confidences that differ by a rounding may change places from one processor to another.
        for row in reference[name]:
            near = found[np.abs(found[:, 4] - row[4]) < 1e-5]
            assert np.abs(near[:, :4] - row[:4]).max(axis=1).min() < 0.01


def test_a_one_pixel_image_has_two_priors_for_each_of_three_strides() -> None:
    expected = [[4, 4, side, side] for side in (16, 32)]
    expected += [[8, 8, side, side] for side in (64, 128)]
    expected += [[16, 16, side, side] for side in (256, 512)]
    assert make_priors(1, 1).tolist() == expected


def test_priors_of_an_8k_image_are_complete_and_centred_in_their_cells() -> None:
    priors = make_priors(4320, 7680)
    assert len(priors) == 2 * (540 * 960 + 270 * 480 + 135 * 240) == 1_360_800
    assert priors[2 * 959].tolist() == pytest.approx(
        [959.5 * 8 / 7680, 4 / 4320, 16 / 7680, 16 / 4320], abs=1e-7
    )
    assert priors[-1].tolist() == pytest.approx(
        [239.5 * 32 / 7680, 134.5 * 32 / 4320, 512 / 7680, 512 / 4320], abs=1e-7
    )


def test_sides_not_divisible_by_the_stride_get_a_last_cell_of_their_own() -> None:
    assert len(make_priors(33, 9)) == 2 * (5 * 2 + 3 * 1 + 2 * 1)


def test_offsets_move_a_prior_by_a_tenth_of_its_side_and_scale_it_by_a_fifth_of_the_exponent() -> None:
    prior = torch.tensor([[0.5, 0.5, 0.2, 0.4]])
    offsets = torch.tensor([[1.0, -1.0, 5 * math.log(2), 0.0]])  # centre (0.52, 0.46), width twice 0.2
    assert decode_boxes(offsets, prior)[0].tolist() == pytest.approx([0.32, 0.26, 0.72, 0.66], abs=1e-6)


def test_encoding_is_undone_by_decoding() -> None:
    rng = np.random.default_rng(0)
    priors = make_priors(96, 64)
    corners = rng.uniform(0, 0.5, (len(priors), 2))
    boxes = torch.tensor(
        np.concatenate([corners, corners + rng.uniform(0.05, 0.5, (len(priors), 2))], axis=1)
    ).float()
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, priors), priors), boxes, atol=1e-6, rtol=1e-5)


def test_candidates_are_sorted_and_no_more_than_5000(detector: NetworkDetector) -> None:
    found = detector.candidates([_picture(320, 400)])[0]  # 5300 priors
    assert found.shape == (5000, 5)
    assert found.dtype == np.float32
    assert (np.diff(found[:, 4]) <= 0).all()
    assert found[:, 4].min() > 0


def test_candidates_are_every_prior_decoded_in_pixels_as_a_plain_loop_does_it(
    detector: NetworkDetector,
) -> None:
    height, width = 37, 50
    image = _picture(height, width)
    offsets, probabilities, _ = detector.network(to_input(torch.from_numpy(image[None])))
    rows = []
    for prior, offset, probability in zip(
        make_priors(height, width).tolist(), offsets[0].tolist(), probabilities[0].tolist(), strict=True
    ):
        cx = (prior[0] + 0.1 * offset[0] * prior[2]) * width
        cy = (prior[1] + 0.1 * offset[1] * prior[3]) * height
        w = prior[2] * math.exp(0.2 * offset[2]) * width
        h = prior[3] * math.exp(0.2 * offset[3]) * height
        rows.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, probability[1]])
    expected = np.array(sorted(rows, key=lambda row: -row[4]))
    np.testing.assert_allclose(detector.candidates([image])[0], expected, rtol=1e-5, atol=1e-3)


def test_equal_confidences_stay_in_the_order_of_the_priors() -> None:
    network = mobilenet025()
    for parameter in network.ClassHead.parameters():
        torch.nn.init.zeros_(parameter)
    for parameter in network.BboxHead.parameters():
        torch.nn.init.zeros_(parameter)
    found = NetworkDetector("flat", network).candidates([_picture(64, 64)])[0]
    assert (found[:, 4] == 0.5).all()
    assert found[:3, :4].tolist() == [[-4, -4, 12, 12], [-12, -12, 20, 20], [4, -4, 20, 12]]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (31, 33), (97, 64)])
def test_any_size_from_one_pixel_has_candidates(detector: NetworkDetector, height: int, width: int) -> None:
    found = detector.candidates([_picture(height, width)])[0]
    cells = sum(math.ceil(height / s) * math.ceil(width / s) for s in (8, 16, 32))
    assert found.shape == (2 * cells, 5)
    assert np.isfinite(found).all()


def test_candidates_do_not_depend_on_what_else_is_in_the_batch(detector: NetworkDetector) -> None:
    sizes = [(64, 96), (96, 64), (64, 96), (64, 96), (50, 70), (96, 64)]
    images = [_picture(*size, seed=i) for i, size in enumerate(sizes)]
    together = detector.candidates(images)
    for image, found in zip(images, together, strict=True):
        alone = detector.candidates([image])[0]
        np.testing.assert_array_equal(found, alone)


def test_a_batch_larger_than_the_memory_bound_is_cut_without_changing_the_order(
    detector: NetworkDetector,
) -> None:
    images = [_picture(32, 32, seed=i) for i in range(5)]
    cut = NetworkDetector("cut", detector.network, max_batch_pixels=2 * 32 * 32).candidates(images)
    for whole, part in zip(detector.candidates(images), cut, strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-4)


def test_an_untrained_network_cannot_make_a_box_infinite() -> None:
    box = decode_boxes(torch.tensor([[0.0, 0.0, 1e9, -1e9]]), torch.tensor([[0.5, 0.5, 0.1, 0.1]]))
    torch.testing.assert_close(box, torch.tensor([[-49.5, 0.5, 50.5, 0.5]]))


def test_landmarks_come_with_their_candidates_in_pixels(detector: NetworkDetector) -> None:
    image = _picture(64, 80)
    candidates, landmarks = detector.candidates_with_landmarks([image])[0]
    np.testing.assert_array_equal(candidates, detector.candidates([image])[0])
    with torch.no_grad():
        _, classes, points = detector.network(to_input(torch.from_numpy(image[None])))
    best = int(classes[0, :, 1].argmax())
    prior = make_priors(64, 80)[best].numpy()
    expected = (prior[:2] + points[0, best].numpy().reshape(5, 2) * 0.1 * prior[2:]) * [80, 64]
    np.testing.assert_allclose(landmarks[0], expected, rtol=1e-5, atol=1e-3)


def test_landmarks_of_a_network_without_them_are_refused() -> None:
    detector = detectors.create("hambox-slim", weights=None)
    assert isinstance(detector, NetworkDetector)
    with pytest.raises(ValueError, match="hambox-slim has no landmarks"):
        detector.candidates_with_landmarks([_picture(32, 32)])


def test_no_images_give_no_candidates(detector: NetworkDetector) -> None:
    assert detector.candidates([]) == []


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (5, 5, 4), (5, 5)])
def test_an_image_that_cannot_be_one_is_named(detector: NetworkDetector, shape: tuple[int, ...]) -> None:
    unchecked = type(detector).candidates
    while hasattr(
        unchecked, "__wrapped__"
    ):  # the sentence is for users, who run without the shape checks of tests
        unchecked = unchecked.__wrapped__
    with pytest.raises(ValueError, match=r"image 1 of the batch .* at least one pixel"):
        unchecked(detector, [_picture(8, 8), np.zeros(shape, np.uint8)])


def test_damaged_weights_are_an_error_and_never_nan_candidates() -> None:
    network = mobilenet025()
    with torch.no_grad():
        network.BboxHead[0].conv1x1.bias[2] = math.nan
    with pytest.raises(ValueError, match=r"not finite .* 40 x 24 pixels"):
        NetworkDetector("damaged", network).candidates([_picture(24, 40)])


def test_training_mode_gives_logits_of_the_probabilities() -> None:
    network = mobilenet025()
    x = torch.zeros(2, 3, 64, 64)
    network.train()
    logits = network(x)[1]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    network.eval()
    assert network(x)[1].sum(dim=-1).allclose(torch.ones(1))
    assert (logits.sum(dim=-1) > 4).all()  # log(99) at the start: nothing is a face


def test_the_trunk_has_strides_8_16_32_and_the_promised_channels() -> None:
    for width, (height, breadth) in itertools.product((0.25, 1.0), ((64, 96), (65, 1))):
        body = mobilenet_v1(width).eval()
        maps = body(torch.zeros(1, 3, height, breadth))
        assert body.channels == tuple(int(c * width) for c in (256, 512, 1024))
        for map_, channels, stride in zip(maps, body.channels, (8, 16, 32), strict=True):
            assert map_.shape == (1, channels, math.ceil(height / stride), math.ceil(breadth / stride))


def test_a_trunk_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1/32"):
        mobilenet_v1(0.01)
