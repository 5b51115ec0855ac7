"""A forward in bounded memory: the estimate, the cut into tiles, and outputs that do not tell that it was cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.adapter import NetworkDetector
from detectors.forward.bounded import BoundedForward, Steps
from detectors.forward.footprint import MAX_ELEMENTS, footprint
from detectors.forward.receptive_field import margin_px
from detectors.forward.tiles import Tile, plan_tiles
from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.by_name import NETWORKS
from detectors.protocols import resized

CPU = torch.device("cpu")


def trained_like(name: str) -> AnchorNetwork:
    """Make a network whose answers differ from place to place, as after training."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


def seen_pixels(tile: Tile) -> int:
    rows, columns = tile.rows, tile.columns
    return (rows.seen_stop - rows.seen_start) * (columns.seen_stop - columns.seen_start)


def picture(height: int, width: int) -> np.ndarray:
    """Make soft blotches, on which a network has something to say everywhere."""
    coarse = np.random.default_rng(0).integers(
        0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8
    )
    return resized(coarse, height, width)


@pytest.mark.parametrize(
    ("name", "height", "width", "max_bytes"),
    [
        ("retinaface-mobilenet0.25", 907, 1301, 40 << 20),
        ("hambox-slim", 301, 2000, 32 << 20),
        ("hrnet-slim", 1901, 300, 40 << 20),
    ],
)
def test_a_forward_in_tiles_gives_the_boxes_of_the_whole_forward(
    name: str, height: int, width: int, max_bytes: int
) -> None:
    network = trained_like(name)
    whole = NetworkDetector(name, network, max_bytes=1 << 40)
    tiled = NetworkDetector(name, network, max_bytes=max_bytes)
    steps = BoundedForward(network, CPU).plan(1, height, width, max_bytes)
    assert len(steps.tiles) > 1
    image = picture(height, width)
    (expected,), (found,) = whole.candidates([image]), tiled.candidates([image])
    np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=1e-5)
    # boxes of nearly equal confidence may change places: what is compared is the boxes, not their order
    np.testing.assert_allclose(
        np.sort(found[:, :4], axis=0), np.sort(expected[:, :4], axis=0), atol=0.01, rtol=1e-4
    )


def test_tiles_without_the_margin_would_answer_otherwise() -> None:
    network = trained_like("retinaface-mobilenet0.25")
    image = torch.from_numpy(picture(256, 512)[None])
    with torch.inference_mode():
        whole = BoundedForward(network, CPU, 1 << 40)(image)
        narrow = BoundedForward(network, CPU, 1 << 20)
        narrow.__dict__["_margin"] = 32
        cut = narrow(image)
    assert (whole[0] - cut[0]).abs().max() > 1e-3


def test_margins_are_what_the_networks_see() -> None:
    # the heads of RetinaFace see 5 cells of stride 32 beyond their own through context and merges, and each
    # of those what the trunk makes of it
    assert margin_px(NETWORKS["retinaface-mobilenet0.25"]()) == 256
    assert margin_px(NETWORKS["hambox-slim"]()) == 640


def test_a_pixel_beyond_the_margin_decides_nothing_and_one_within_does() -> None:
    network = trained_like("retinaface-mobilenet0.25")
    margin = margin_px(network)
    image = torch.from_numpy(picture(32, 1024)[None])
    with torch.inference_mode():
        before = BoundedForward(network, CPU)(image)[0]
        beyond, within = image.clone(), image.clone()
        beyond[:, :, : 512 - margin] = 0
        within[:, :, : 512 - margin + 32] = 0
        coarsest = 2 * (4 * 128 + 2 * 64) + 2 * (
            512 // 32
        )  # the first of that stride's priors from pixel 512 on
        assert torch.equal(BoundedForward(network, CPU)(beyond)[0][:, coarsest:], before[:, coarsest:])
        assert not torch.equal(BoundedForward(network, CPU)(within)[0][:, coarsest:], before[:, coarsest:])


@given(
    st.integers(1, 5000),
    st.integers(1, 8000),
    st.sampled_from([32, 128]),
    st.integers(0, 5),
    st.integers(1, 1 << 24),
)
@settings(max_examples=40, deadline=None)
def test_tiles_are_the_image_each_pixel_once_at_no_more_than_four_times_the_cost(
    height: int, width: int, stride: int, margin_strides: int, max_pixels: int
) -> None:
    margin = margin_strides * stride
    tiles = plan_tiles(height, width, stride, margin, max_pixels)
    times = np.zeros((-(-height // stride), -(-width // stride)), int)
    for tile in tiles:
        for span, side in ((tile.rows, height), (tile.columns, width)):
            assert span.start % stride == 0
            assert span.stop % stride == 0 or span.stop == side
            assert (span.seen_start, span.seen_stop) == (
                max(0, span.start - margin),
                min(side, span.seen_stop),
            )
            assert span.seen_stop == side or span.seen_stop >= span.stop + margin
        times[tile.rows.start // stride : -(-tile.rows.stop // stride)][
            :, tile.columns.start // stride : -(-tile.columns.stop // stride)
        ] += 1
    assert (times == 1).all()
    computed = sum(seen_pixels(tile) for tile in tiles)
    assert computed <= 4 * height * width
    if height * width <= max_pixels:
        assert computed == height * width
    if margin == 0:
        assert max(seen_pixels(tile) for tile in tiles) <= max(max_pixels, stride**2)


def test_the_estimate_has_a_term_for_input_layers_and_answers() -> None:
    found = footprint(NETWORKS["retinaface-mobilenet0.25"](), 64, 64)
    assert found.input_bytes == 3 * 64 * 64 * 4
    # where the second layer's 16 channels at half the size are normalised: those of before and after, and
    # the 8 of the block's input, which is still held
    assert found.activation_bytes == (8 + 16 + 16) * 32 * 32 * 4
    assert found.largest_elements == 16 * 32 * 32
    # 168 priors: 4 offsets, 2 classes, 10 landmarks, 4 of the prior, the confidence sorted, 8 bytes of order
    assert found.answer_bytes == 168 * ((4 + 2 + 10 + 4 + 1) * 4 + 8)
    assert found.total_bytes == found.input_bytes + found.activation_bytes + found.answer_bytes


def test_no_tensor_reaches_two_to_the_31_elements() -> None:
    # the 64 channels at half of 7680 x 4320 are 0.247 * 2^31 elements
    network = NETWORKS["retinaface-resnet50"]()
    assert MAX_ELEMENTS // footprint(network, 4320, 7680).largest_elements == 4
    assert BoundedForward(network, CPU).plan(5, 4320, 7680, 1 << 50).batch == 4
    assert BoundedForward(network, CPU).plan(3, 4320, 7680, 1 << 50) == Steps(3)


def test_an_image_whose_maps_would_reach_two_to_the_31_elements_is_cut_whatever_memory_there_is() -> None:
    forward = BoundedForward(NETWORKS["retinaface-mobilenet0.25"](), CPU)
    edge = 23_168  # 4 elements a pixel: 23168^2 * 4 is just below 2^31, 32 pixels more are above
    assert 4 * edge**2 <= MAX_ELEMENTS < 4 * (edge + 32) ** 2
    assert forward.plan(1, edge, edge, 1 << 50) == Steps(1)
    tiles = forward.plan(1, edge + 32, edge + 32, 1 << 50).tiles
    assert len(tiles) == 2
    assert all(4 * seen_pixels(tile) <= MAX_ELEMENTS for tile in tiles)


def test_images_are_forwarded_together_as_far_as_memory_goes() -> None:
    network = trained_like("retinaface-mobilenet0.25")
    forward = BoundedForward(network, CPU)
    one = footprint(network, 64, 96).total_bytes * 1.25
    assert forward.plan(10, 64, 96, int(3.5 * one)).batch == 3
    images = torch.from_numpy(np.stack([picture(64, 96) + i for i in range(4)]))
    with torch.inference_mode():
        together = BoundedForward(network, CPU, 1 << 40)(images)
        apart = BoundedForward(network, CPU, int(1.5 * one))(images)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_what_a_device_refuses_for_want_of_memory_is_cut_until_it_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = trained_like("retinaface-mobilenet0.25")
    images = torch.from_numpy(np.stack([picture(640, 700), picture(640, 700)]))
    forward = BoundedForward(network, CPU, 1 << 40)
    asked: list[int] = []
    compute = forward._forward

    def refuse_large(part: torch.Tensor) -> tuple[torch.Tensor, ...]:
        asked.append(part.shape[0] * part.shape[1] * part.shape[2])
        if asked[-1] > 420_000:
            raise torch.OutOfMemoryError("CUDA out of memory (so says the test)")
        return compute(part)

    monkeypatch.setattr(forward, "_forward", refuse_large)
    with torch.inference_mode():
        found = forward(images)
        expected = BoundedForward(network, CPU, 1 << 40)(images)
    assert asked[:2] == [2 * 640 * 700, 640 * 700]  # first fewer images, then tiles
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)

    def refuse_all(part: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise torch.OutOfMemoryError("CUDA out of memory (so says the test)")

    monkeypatch.setattr(forward, "_forward", refuse_all)
    with pytest.raises(torch.OutOfMemoryError), torch.inference_mode():
        forward(images)


def test_a_network_s_detector_enlarges_as_opencv_does() -> None:
    detector = NetworkDetector("slim", trained_like("retinaface-mobilenet0.25"))
    images = [picture(40, 60), picture(60, 40), picture(40, 60)[::-1].copy()]
    resident = [
        detector.candidates_resized([image], 3 * image.shape[0], 3 * image.shape[1])[0] for image in images
    ]
    for image, found in zip(images, resident, strict=True):
        (by_opencv,) = detector.candidates([resized(image, 3 * image.shape[0], 3 * image.shape[1])])
        np.testing.assert_allclose(found[:, 4], by_opencv[:, 4], atol=2e-3)
        np.testing.assert_allclose(
            np.sort(found[:, :4], axis=0), np.sort(by_opencv[:, :4], axis=0), atol=0.2, rtol=0.01
        )
    together = detector.candidates_resized(images, 120, 180)
    np.testing.assert_allclose(
        np.sort(together[0], axis=0), np.sort(resident[0], axis=0), atol=1e-3, rtol=1e-4
    )
    assert detector.candidates_resized([], 10, 10) == []


@pytest.mark.slow
def test_at_8k_a_forward_in_tiles_gives_the_boxes_of_the_whole_forward() -> None:
    whole = detectors.create("retinaface-mobilenet0.25")
    assert isinstance(whole, NetworkDetector)
    tiled = NetworkDetector("tiled", whole.network, max_bytes=1 << 30)
    image = picture(720, 1280)
    (expected,) = whole.candidates_resized([image], 4320, 7680)
    (found,) = tiled.candidates_resized([image], 4320, 7680)
    assert len(BoundedForward(whole.network, CPU).plan(1, 4320, 7680, 1 << 30).tiles) > 1
    np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=1e-5)
    np.testing.assert_allclose(
        np.sort(found[:, :4], axis=0), np.sort(expected[:, :4], axis=0), atol=0.05, rtol=1e-4
    )
