"""A protocol shows images to any detector as it says, and brings the boxes home to the image's own pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crface.boxes import box_voting
from detectors.protocols import (
    PRESETS,
    DetectionProtocol,
    Fusion,
    View,
    fuse,
    named,
    of_view,
    protocol_candidates,
    resized,
    view_candidates,
)
from pipeline.cache.protocols import limit_note, load_protocol, protocol_for
from pipeline.config.sections import CacheConfig
from pipeline.errors import UsageError


class WhiteSpotFinder:
    """A detector of somebody else's: one box around everything white, its confidence told by the image's size."""

    name = "white-spot"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.shapes += [image.shape for image in images]
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(image[..., 0] > 127)
        if len(rows) == 0:
            return np.zeros((0, 5), np.float32)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, max(image.shape) / 10_000]
        return np.array([box], np.float32)


class EnlargingFinder(WhiteSpotFinder):
    """One that enlarges on its own device."""

    def __init__(self) -> None:
        super().__init__()
        self.enlarged: list[tuple[int, int, int]] = []

    def candidates_resized(self, images: Sequence[np.ndarray], height: int, width: int) -> list[np.ndarray]:
        self.enlarged += [(len(images), height, width)]
        return [self._one(resized(image, height, width)) for image in images]


def spot(height: int, width: int, x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    return image


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("single", (683, 1024)),
        ("vga", (427, 640)),  # 683 * 640 / 1024 = 426.9
        ("resized", (1434, 2150)),  # 1600 for the short side would make the long one 2399
        ("8k", (5122, 7680)),
        ("height-480", (480, 720)),
        ("short-500", (500, 750)),
        ("long-2048", (1366, 2048)),
        ("original-max-512", (342, 512)),
        ("height-480-max-600-mirrored", (400, 600)),
    ],
)
def test_a_protocol_of_one_view_shows_an_image_of_wider_face_at_its_size(
    name: str, shown: tuple[int, int]
) -> None:
    (view,) = named(name).views
    assert view.size(683, 1024) == shown
    assert named(name).fusion is None


def test_multi_is_five_short_sides_each_also_mirrored_fused_by_box_voting() -> None:
    multi = named("multi")
    assert [(view.size(683, 1024)[0], view.is_mirrored) for view in multi.views] == [
        (short, flip) for short in (500, 800, 1100, 1400, 1700) for flip in (False, True)
    ]
    assert (multi.fusion.method, multi.fusion.iou_threshold) == ("box voting", 0.4)  # type: ignore[union-attr]
    assert multi.views[0].size(1024, 683) == (750, 500)


def test_8k_multi_is_three_long_sides_each_also_mirrored() -> None:
    assert [(view.size(1080, 1920)[1], view.is_mirrored) for view in named("8k-multi").views] == [
        (long, flip) for long in (7680, 5760, 4096) for flip in (False, True)
    ]


def test_every_protocol_says_its_numbers() -> None:
    assert {name: protocol.words for name, protocol in PRESETS.items()} == {
        "single": "original",
        "multi": "short side 500, 800, 1100, 1400, 1700, each also mirrored, box voting 0.4 above 0.02",
        "8k": "long side 7680",
        "8k-multi": "long side 7680, 5760, 4096, each also mirrored, box voting 0.4 above 0.02",
        "8k-and-1024": "long side 7680, 1024, box voting 0.4 above 0.02",
        "vga": "long side 640",
        "resized": "short side 1600, long at most 2150",
    }
    mixed = DetectionProtocol(
        name="mixed",
        views=(View(), View(side="height", px=480, long_at_most_px=600), View(is_mirrored=True)),
        fusion=Fusion(method="soft-nms"),
    )
    assert mixed.words == (
        "original; height 480, long at most 600 and mirrored original, soft-nms 0.5 above 0.02"
    )


def test_an_image_is_never_smaller_than_one_pixel() -> None:
    assert View(side="long", px=10).size(1, 5000) == (1, 10)


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60)])
@pytest.mark.parametrize("name", ["single", "original-mirrored", "long-45", "long-360", "short-180-mirrored"])
def test_boxes_come_home_from_every_view(name: str, height: int, width: int) -> None:
    image = spot(height, width, 12, 20, 24, 36)
    (view,) = named(name).views
    (found,) = view_candidates(WhiteSpotFinder(), view, [image])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :4], [12, 20, 24, 36], atol=0.6)


def test_the_original_view_gives_what_the_detector_gives() -> None:
    images = [spot(10, 10, 1, 2, 3, 4), spot(20, 10, 0, 0, 0, 0)]
    found = protocol_candidates(WhiteSpotFinder(), named("single"), images)
    assert [one.tolist() for one in found] == [one.tolist() for one in WhiteSpotFinder().candidates(images)]


def test_a_detector_that_enlarges_gets_images_at_their_own_size_and_shrunk_ones_ready() -> None:
    detector = EnlargingFinder()
    images = [spot(40, 60, 6, 6, 18, 18), spot(400, 600, 60, 60, 180, 180), spot(40, 60, 6, 6, 18, 18)]
    found = view_candidates(detector, View(side="long", px=120), images)
    assert detector.enlarged == [(2, 80, 120)]
    assert detector.shapes == [(80, 120, 3)]
    plain = view_candidates(WhiteSpotFinder(), View(side="long", px=120), images)
    for ours, theirs in zip(found, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_images_have_no_candidates() -> None:
    assert protocol_candidates(WhiteSpotFinder(), named("multi"), []) == []


def test_views_are_fused_in_the_pixels_of_the_image() -> None:
    image = spot(60, 90, 12, 20, 24, 36)
    protocol = DetectionProtocol(
        name="two",
        views=(View(side="long", px=900), View(side="long", px=900, is_mirrored=True)),
        fusion=Fusion(),
    )
    (found,) = protocol_candidates(WhiteSpotFinder(), protocol, [image])
    assert found.shape == (1, 5)
    np.testing.assert_allclose(found[0], [12, 20, 24, 36, 0.09], atol=0.1)


def test_box_voting_takes_candidates_above_the_floor_of_all_views() -> None:
    first = np.array([[0, 0, 10, 10, 0.5], [50, 50, 60, 60, 0.02]], np.float32)
    second = np.array([[1, 0, 11, 10, 0.25], [80, 80, 90, 90, 0.03]], np.float32)
    fused = fuse([first, second], Fusion())
    np.testing.assert_allclose(fused, [[1 / 3, 0, 10 + 1 / 3, 10, 0.5], [80, 80, 90, 90, 0.03]], atol=1e-5)


def test_the_other_fusions_keep_boxes_as_they_are() -> None:
    first = np.array([[0, 0, 10, 10, 0.5]], np.float32)
    second = np.array([[5, 0, 15, 10, 0.25], [0, 0, 10, 9, 0.2]], np.float32)
    assert fuse([first, second], Fusion(method="nms")).tolist() == [first[0].tolist(), second[0].tolist()]
    soft = fuse([first, second], Fusion(method="soft-nms"))
    assert soft[:, :4].tolist() == [row[:4].tolist() for row in (*first, *second)]
    # the IoUs 1/3 and 9/10 with the first, and 95 / 185 of the last two: 45 / (100 + 90 - 45)
    lowered = [0.25 * np.exp(-2 / 9), 0.2 * np.exp(-2 * 0.81) * np.exp(-2 * (45 / 145) ** 2)]
    np.testing.assert_allclose(soft[1:, 4], lowered, rtol=1e-5)


def test_nothing_to_fuse_is_nothing_found() -> None:
    for method in ("box voting", "nms", "soft-nms"):
        found = fuse([np.zeros((0, 5), np.float32)] * 2, Fusion(method=method))
        assert (found.shape, found.dtype) == ((0, 5), np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_fused_detections_are_sorted_and_those_of_box_voting_over_all_views(
    seed: int, num_views: int
) -> None:
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(num_views):
        corners = rng.integers(0, 40, (rng.integers(0, 30), 2)).astype(np.float32)
        scores = np.sort(rng.random((len(corners), 1), np.float32), axis=0)[::-1]
        views.append(np.concatenate([corners, corners + 10, scores], axis=1))
    fused = fuse(views, Fusion(min_confidence=0.5))
    assert (np.diff(fused[:, 4]) <= 0).all()
    rows = torch.from_numpy(np.concatenate(views))
    rows = rows[rows[:, 4] > 0.5]
    boxes, scores_left = box_voting(rows[:, :4], rows[:, 4], 0.4)
    np.testing.assert_array_equal(fused, torch.column_stack([boxes, scores_left]).numpy())


def test_more_than_5000_detections_are_cut_to_the_best() -> None:
    corners = np.stack(np.meshgrid(np.arange(80) * 20.0, np.arange(80) * 20.0), axis=-1).reshape(-1, 2)
    confidences = np.linspace(1, 0.1, 6400)[:, None]
    many = np.concatenate([corners, corners + 10, confidences], axis=1).astype(np.float32)
    np.testing.assert_array_equal(fuse([many[::2], many[1::2]], Fusion()), many[:5000])


def test_an_image_enlarged_by_opencv_and_by_torch_differs_by_one_grey_level() -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    ours = resized(image, 62 * 3, 47 * 6)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    theirs = torch.nn.functional.interpolate(planes, size=(62 * 3, 47 * 6), mode="bilinear")
    difference = theirs[0].permute(1, 2, 0).numpy() - ours.astype(np.float32)
    assert np.abs(difference).max() <= 1


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 252
    assert (resized(stripes, 16, 16) == 63).all()  # a quarter of 252; bilinear falls between the stripes


@pytest.mark.parametrize("name", [*PRESETS, "height-1", "long-7680-max-4096-mirrored"])
def test_the_views_of_every_protocol_can_be_named_alone(name: str) -> None:
    for view in named(name).views:
        assert named(of_view(view).name).views == (view,)


def test_a_view_shares_its_preset_s_name_and_so_what_is_stored() -> None:
    assert of_view(View(side="long", px=7680)).name == "8k"
    assert of_view(named("8k-multi").views[0]) is PRESETS["8k"]
    assert of_view(View()).name == "single"


@pytest.mark.parametrize(
    "name", ["sideways", "", "height-", "height-0", "long-99999", "8k-max-100", "short-5-mirror"]
)
def test_a_name_without_a_protocol_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(UsageError, match=r"protocol|px"):
        load_protocol(name)


def test_a_limit_makes_a_protocol_of_another_name_that_says_so() -> None:
    limited = named("8k-multi").limited(5000)
    assert limited.name == "8k-multi-max-5000"
    assert limited.words == "long side 5000, 4096, each also mirrored, box voting 0.4 above 0.02"
    assert named("8k").limited(4096).words == "long side 4096"
    assert named("single").limited(2000).views[0].size(3000, 4000) == (1500, 2000)
    assert named("multi").limited(1000).views[-1].size(683, 1024) == (667, 1000)
    assert named("vga").limited(640) is named("vga")


def test_a_detector_s_limit_is_told_with_the_images_that_it_concerns() -> None:
    config = CacheConfig(protocol="short-800", max_side_px={"small-eyed": 1000})
    sizes = [(100, 100), (100, 130), (200, 100)]
    assert protocol_for("other", config).name == "short-800"
    assert limit_note("other", config, sizes) == ""
    assert protocol_for("small-eyed", config).name == "short-800-max-1000"
    assert limit_note("small-eyed", config, sizes) == (
        "small-eyed takes at most 1000 px a side: under short-800, 2 of 3 images are shown smaller; "
        "filed as short-800-max-1000"
    )


def test_a_protocol_of_one_s_own_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tall.toml"
    file.write_text(
        """
[[views]]
side = "height"
px = [480, 960]
also_mirrored = true

[[views]]
long_at_most_px = 3000

[fusion]
method = "nms"
iou_threshold = 0.5
"""
    )
    protocol = load_protocol(str(file))
    assert protocol.name == "tall"
    assert [view.name for view in protocol.views] == [
        "height-480",
        "height-480-mirrored",
        "height-960",
        "height-960-mirrored",
        "original-max-3000",
    ]
    assert protocol.fusion == Fusion(method="nms", iou_threshold=0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[views]]\nsize = 3\n", "there is no key views.0.size"),
        ("views = []\n", "views"),
        ('[[views]]\nside = "wide"\n', "views.0.side = 'wide'"),
        ('[[views]]\nside = "long"\n', "px = None"),
        ("[[views]]\npx = [0]\n", "views.0.px.0 = 0"),
        ("[[views]]\n[[views]]\n", "each of them once"),
        ("[[views]]\nalso_mirrored = true\n[fusion]\niou_threshold = 2.0\n", "fusion.iou_threshold = 2.0"),
        ("[[views]\n", "not valid TOML"),
    ],
)
def test_a_mistake_in_a_protocol_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        load_protocol(str(file))
    assert str(file) in str(error.value)
    assert words in str(error.value)


def test_a_protocol_file_cannot_take_a_preset_s_name(tmp_path: Path) -> None:
    (tmp_path / "multi.toml").write_text("[[views]]\n")
    with pytest.raises(UsageError, match="no other protocol has"):
        load_protocol(str(tmp_path / "multi.toml"))
    with pytest.raises(UsageError, match="there is no protocol file"):
        load_protocol("absent.toml")
