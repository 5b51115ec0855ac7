"""The per-box ranker: what it leaves alone, what it looks at, and that it learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from crface import losses, ranker
from crface.boxes import nms
from crface.evaluation import widerface_ap
from crface.losses import Targets
from crface.ranker import PerBoxRanker
from crface.ranker.inputs import relative_rows, scaled_picture, to_tensor
from crface.ranker.per_box import overlaps as overlap_module
from crface.ranker.per_box.network import LARGEST_RESIDUAL, logit_of, moved
from crface.ranker.per_box.overlaps import find_overlaps, pair_features
from crface.ranker.per_box.samples import grid_points, read_boxes, read_points
from crface.ranker.per_box.trunk import STRIDES, Trunk


def disturbed(seed: int = 3, image_side_px: int = 96, num_candidates: int = 100) -> PerBoxRanker:
    """A per-box ranker that does change confidences."""
    torch.manual_seed(seed)
    model = ranker.create("per-box", num_candidates, image_side_px)
    assert isinstance(model, PerBoxRanker)
    torch.nn.init.normal_(model.residual.weight, std=1.0)
    return model.eval()


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def some_candidates(count: int, seed: int = 7) -> np.ndarray:
    """Boxes in a crowd of 64 x 48 pixels: many overlap."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [48, 32], (count, 2))
    confidences = np.sort(random.uniform(0.02, 0.98, (count, 1)), axis=0)[::-1]
    return np.concatenate([corners, corners + random.uniform(5, 16, (count, 2)), confidences], axis=1).astype(
        np.float32
    )


def rows_of(candidates: np.ndarray) -> Tensor:
    return torch.from_numpy(relative_rows(candidates, 64, 48, len(candidates)))[None]


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_untrained_it_leaves_every_confidence_exactly_as_it_is(count: int) -> None:
    candidates = some_candidates(count)
    candidates[:1, 4], candidates[1:2, 4] = 1.0, np.float32(0.99999994)
    refined = ranker.create("per-box", 16, 96).refine(picture(), candidates)
    assert np.array_equal(refined, candidates[:, 4])


def test_untrained_it_leaves_ap_exactly_as_it_was() -> None:
    model = ranker.create("per-box", 16, 96)
    aps = []
    for is_refined in (False, True):
        detections, faces = [], []
        for image in range(4):
            rows = some_candidates(30, seed=image)
            faces.append(rows[::3, :4] + np.float32(0.5))
            if is_refined:
                rows[:, 4] = model.refine(picture(), rows)
            kept = nms(torch.from_numpy(rows[:, :4].copy()), torch.from_numpy(rows[:, 4].copy()))
            detections.append(rows[kept.numpy()])
        masks = [np.ones(len(boxes), bool) for boxes in faces]
        found = widerface_ap(detections, faces, {"all": masks})
        aps.append((found.ap["all"], found.exact_ap["all"]))
    assert aps[0] == aps[1]
    assert 0 < aps[0][0] < 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40))
def test_a_permutation_of_the_rows_permutes_the_confidences_bit_for_bit(seed: int, count: int) -> None:
    model, candidates = disturbed(), some_candidates(count, seed)
    candidates[count // 2 :, 4] = candidates[-1, 4]  # equal confidences too
    shuffle = np.random.default_rng(seed).permutation(count)
    refined = model.refine(picture(), candidates)
    assert np.array_equal(model.refine(picture(), candidates[shuffle]), refined[shuffle])
    assert not np.array_equal(refined, candidates[:, 4])


def test_padding_changes_no_box_and_gets_zero() -> None:
    model, candidates = disturbed(), some_candidates(20)
    padded = model.refine(picture(), np.concatenate([candidates, np.zeros((12, 5), np.float32)]))
    np.testing.assert_allclose(padded[:20], model.refine(picture(), candidates), atol=1e-6)
    assert not padded[20:].any()


def test_no_gradient_of_a_box_reaches_a_padding_row() -> None:
    rows = torch.cat([rows_of(some_candidates(6)), torch.zeros(1, 4, 5)], dim=1).requires_grad_()
    disturbed()(torch.zeros(1, 3, 64, 64), rows, torch.tensor([[64.0, 48.0]]))[0, :6].sum().backward()
    assert rows.grad is not None
    assert rows.grad[0, :6].any()
    assert not rows.grad[0, 6:].any()


def test_a_box_far_from_all_others_is_judged_as_if_it_were_alone() -> None:
    model = disturbed()
    alone = np.array([[2, 2, 14, 16, 0.6]], np.float32)
    others = some_candidates(12)
    others[:, [0, 2]] += 30
    with_others = model.refine(picture(48, 100), np.concatenate([others, alone]))
    np.testing.assert_allclose(with_others[-1:], model.refine(picture(48, 100), alone), atol=1e-6)


def test_a_box_is_judged_by_its_own_pixels_and_by_its_neighbours() -> None:
    model, candidates = disturbed(), some_candidates(12)
    refined = model.refine(picture(), candidates)
    assert not np.array_equal(refined, model.refine(np.zeros_like(picture()), candidates))
    neighbour = candidates[:1] + np.array([[1, 1, 1, 1, 0]], np.float32)
    crowded = model.refine(picture(), np.concatenate([candidates, neighbour]))
    assert crowded[0] != refined[0]


@pytest.mark.parametrize("max_pairs", [1 << 21, 140])
def test_boxes_behind_the_n_most_confident_are_judged_and_heard_by_nobody(
    max_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap_module, "_MAX_PAIRS", max_pairs)  # 140: in blocks of 7 boxes
    model, candidates = disturbed(num_candidates=20), some_candidates(50)
    refined = model.refine(picture(), candidates)
    np.testing.assert_allclose(refined[:20], model.refine(picture(), candidates[:20]), atol=1e-6)
    assert not np.isclose(refined[20:], candidates[20:, 4], atol=1e-6).any()
    np.testing.assert_allclose(
        refined[30:31], model.refine(picture(), candidates[[*range(20), 30]])[20:], atol=1e-6
    )


def test_many_boxes_in_blocks_are_judged_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, candidates = disturbed(), some_candidates(50)
    at_once = model.refine(picture(), candidates)
    monkeypatch.setattr("crface.ranker.per_box.network._BLOCK", 7)
    monkeypatch.setattr("crface.ranker.per_box.attention._BLOCK", 9)
    monkeypatch.setattr(overlap_module, "_MAX_PAIRS", 550)
    np.testing.assert_allclose(model.refine(picture(), candidates), at_once, atol=1e-6)


def test_half_of_the_share_moves_every_logit_by_half() -> None:
    model, candidates = disturbed(), some_candidates(12)
    whole = model.refine(picture(), candidates)
    model.share.fill_(0.5)
    half = model.refine(picture(), candidates)

    def shift(refined: np.ndarray) -> np.ndarray:
        before, after = candidates[:, 4].astype(float), refined.astype(float)
        return np.asarray(np.log(after / (1 - after)) - np.log(before / (1 - before)))

    np.testing.assert_allclose(shift(half), shift(whole) / 2, atol=1e-4)
    model.share.fill_(0.0)
    assert np.array_equal(model.refine(picture(), candidates), candidates[:, 4])


def test_a_residual_of_log_two_doubles_the_odds() -> None:
    refined = moved(np.array([0.5, 0.2, 0.7], np.float32), np.array([np.log(2), -np.log(2), 0], np.float32))
    np.testing.assert_allclose(refined, [2 / 3, 1 / 9, 0.7], rtol=1e-6)
    assert refined[2] == np.float32(0.7)


def test_certain_confidences_can_be_moved_and_none_is_moved_without_bound() -> None:
    refined = moved(
        np.array([1.0, 0.0], np.float32), np.array([-LARGEST_RESIDUAL, LARGEST_RESIDUAL], np.float32)
    )
    assert 0 < refined[1] < refined[0] < 1
    model = disturbed()
    torch.nn.init.constant_(model.residual.bias, 100.0)
    residuals = model.residuals(
        torch.zeros(1, 3, 64, 64), rows_of(some_candidates(3)), torch.tensor([[64.0, 48.0]])
    )
    assert float(residuals.detach().max()) <= LARGEST_RESIDUAL


def test_without_gradients_the_trunk_gives_the_same_maps_also_after_its_weights_have_changed() -> None:
    torch.manual_seed(0)
    trunk, images = Trunk().eval(), to_tensor(torch.randint(0, 256, (2, 40, 72, 3), dtype=torch.uint8))
    for _ in range(2):
        wanted = trunk(images)
        with torch.no_grad():
            for found, level in zip(trunk(images), wanted, strict=True):
                torch.testing.assert_close(found, level, rtol=1e-4, atol=1e-4)
            trunk.body.stage1[0][1].running_var.mul_(0.5)
            trunk.ssh2.conv3X3[0].weight.mul_(2)


def test_a_grid_lies_in_the_cells_of_the_box_and_of_twice_the_box() -> None:
    points = grid_points(torch.tensor([[[10.0, 20.0, 30.0, 60.0]]]))[0, 0]
    assert len(points) == 25 + 9
    inside, around = points[:25], points[25:]
    assert inside[0].tolist() == pytest.approx([13, 26])  # the middle of the first of 5 x 5 cells of 6 x 12
    assert inside[24].tolist() == pytest.approx([37, 74])
    assert inside[12].tolist() == around[4].tolist() == pytest.approx([25, 50])
    assert around[0].tolist() == pytest.approx(
        [5, 10]
    )  # of 3 x 3 cells of 20 x 40, the box being twice itself


def test_a_map_is_read_between_the_centres_of_its_cells_and_is_zero_outside() -> None:
    level = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])  # stride 8: centres at 4 and 12 pixels
    points = torch.tensor([[[[4.0, 4.0], [12.0, 12.0], [8.0, 4.0], [8.0, 8.0], [100.0, 4.0]]]])
    assert read_points(level, points, stride=8).flatten().tolist() == pytest.approx([1, 4, 1.5, 2.5, 0])


def test_boxes_are_read_from_all_maps_at_once_as_point_by_point_gradients_too() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, 5, -(-48 // stride), -(-64 // stride), requires_grad=True) for stride in STRIDES]
    boxes = (
        torch.rand(2, 40, 4) * torch.tensor([80.0, 60.0, 40.0, 40.0]) - 10
    )  # some outside, some inside out
    boxes[0, 0] = torch.tensor([1e9, -1e9, 1e6, 5.0])
    points = grid_points(boxes)
    wanted = torch.cat(
        [read_points(one, points, side) for one, side in zip(maps, STRIDES, strict=True)], dim=2
    )
    found = read_boxes(maps, boxes)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    weights = torch.randn_like(found)
    pairs = zip(*(torch.autograd.grad(one, maps, weights) for one in (found, wanted)), strict=True)
    for gradient, wanted_gradient in pairs:
        torch.testing.assert_close(gradient, wanted_gradient, atol=1e-4, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 30))
def test_what_overlaps_a_box_is_what_the_double_loop_over_boxes_finds(seed: int, count: int) -> None:
    rows = rows_of(some_candidates(count, seed)).double()
    logit = logit_of(rows[..., 4])
    found = find_overlaps(rows, logit, num_heard=30)
    for i in range(count):
        one = [float(v) for v in rows[0, i]]
        overlaps = []
        for j in range(count):
            other = [float(v) for v in rows[0, j]]
            width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
            height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
            shared = max(0, width) * max(0, height)
            overlaps.append(0.0 if i == j else shared / (one[2] * one[3] + other[2] * other[3] - shared))
        confidence = rows[0, :, 4].tolist()
        lead = [float(logit[0, j] - logit[0, i]) for j in range(count)]
        expected = [
            max(o if lead[j] > 0 else 0 for j, o in enumerate(overlaps)),
            max(max(0, lead[j]) if o > 0.4 else 0 for j, o in enumerate(overlaps)) / 4,
            np.log1p(sum(c for c, o in zip(confidence, overlaps, strict=True) if o > 0.4)),
            np.log1p(sum(c * o for c, o in zip(confidence, overlaps, strict=True))),
        ]
        np.testing.assert_allclose(found.features[0, i], expected, atol=1e-6)
        np.testing.assert_allclose(found.overlap[0, i], sorted(overlaps, reverse=True)[:16], atol=1e-6)
        assert found.is_neighbour[0, i].sum() == min(16, sum(o > 0 for o in overlaps))
        picked = [overlaps[j] for j in found.neighbour[0, i].tolist()]
        np.testing.assert_allclose(picked, found.overlap[0, i], atol=1e-6)


def test_a_neighbour_is_described_in_the_sides_of_the_box() -> None:
    rows = torch.tensor([[[0.1, 0.1, 0.2, 0.2, 0.5], [0.2, 0.1, 0.4, 0.2, 0.8]]])
    logit = logit_of(rows[..., 4])
    pairs = pair_features(rows, logit, find_overlaps(rows, logit, num_heard=2))[0, 0, 0].tolist()
    # IoU 1/5; centre one whole width to the right; twice as wide, as high; log(4) ahead
    expected = [0.2, 1.0, 0.0, np.log(2), 0.0, np.log(4) / 4, 1.0]
    assert pairs == pytest.approx(expected, abs=1e-6)


def test_a_picture_is_filled_up_to_whole_cells_with_mean_colour() -> None:
    filled, size = scaled_picture(np.full((50, 100, 3), 255, np.uint8), 100, multiple_of=32)
    assert (filled.shape, size) == ((64, 128, 3), (100, 50))
    assert not to_tensor(torch.from_numpy(filled)[None])[0, :, 50:].any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 500), (500, 3)])
def test_images_of_any_shape_are_taken(height: int, width: int) -> None:
    assert np.isfinite(disturbed().refine(picture(height, width), some_candidates(5))).all()


def test_boxes_without_area_or_outside_of_the_picture_get_a_confidence() -> None:
    odd = np.array([[5, 5, 5, 9, 0.9], [9, 9, 2, 2, 0.5], [-900, -900, -800, -850, 0.4]], np.float32)
    refined = disturbed().refine(picture(), odd)
    assert ((refined > 0) & (refined < 1)).all()


def test_it_has_one_million_parameters() -> None:
    model = ranker.create("per-box")
    trunk = sum(p.numel() for p in model.sight.trunk.parameters())
    samples = 3 * (64 * 32 + 32) + (3 * 34 * 32 * 128 + 128) + 2 * 128
    about = (12 * 128 + 128) + (256 * 128 + 128)
    attention = 2 * (2 * 128 + 3 * 128 * 128 + 2 * 128 + 7 * 128 + 128)
    head = 2 * 128 + (128 * 64 + 64) + 65
    assert sum(p.numel() for p in model.parameters()) == trunk + samples + about + attention + head == 989_297


def test_a_saved_ranker_comes_back_the_same_with_its_share(tmp_path: Path) -> None:
    model, candidates = disturbed(), some_candidates(12)
    model.share.fill_(0.25)
    ranker.save(model, tmp_path / "ranker.safetensors")
    loaded = ranker.load(tmp_path / "ranker.safetensors")
    assert loaded.name == "per-box"
    assert float(loaded.share) == 0.25
    assert np.array_equal(loaded.refine(picture(), candidates), model.refine(picture(), candidates))


@pytest.mark.parametrize("output_range", ["clipped", "scaled"])
def test_a_file_from_when_it_took_an_output_range_is_read(output_range: str, tmp_path: Path) -> None:
    model = disturbed()
    about = {"name": "per-box", "num_candidates": 100, "image_side_px": 96, "output_range": output_range}
    save_file(model.state_dict(), tmp_path / "old.safetensors", {"ranker": json.dumps(about)})
    candidates = some_candidates(12)
    loaded = ranker.load(tmp_path / "old.safetensors")
    assert np.array_equal(loaded.refine(picture(), candidates), model.refine(picture(), candidates))


@pytest.mark.parametrize("name", losses.names())
def test_a_batch_that_is_fitted_puts_faces_before_background(name: str) -> None:
    torch.manual_seed(0)
    model = ranker.create("per-box", 8, 64).train()
    candidates = [some_candidates(8, seed) for seed in (1, 2)]
    rows = torch.cat([rows_of(one) for one in candidates])
    rows[..., 4] = torch.linspace(0.6, 0.4, 8)  # undecided: a sigmoid far from 0 and 1 has a steep slope
    images = torch.randn(2, 3, 64, 64) * 60
    oracle = torch.tensor(
        [[0.0, 0.9, 0.1, 0.8, 0.0, 0.2, 0.7, 0.0], [0.1, 0.0, 0.8, 0.0, 0.9, 0.7, 0.0, 0.1]]
    )
    targets = Targets(
        predicted=rows[..., 4],
        oracle=oracle,
        face=torch.arange(8).expand(2, 8),
        is_box=torch.ones(2, 8, dtype=torch.bool),
    )
    loss = losses.create(name, 10, model.scale)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # faster, l1 runs into the residual's bound
    is_face = oracle > 0.5
    for _ in range(60):
        optimizer.zero_grad()
        score = model(images, rows, torch.tensor([[64.0, 48.0]] * 2))
        loss(score, targets).backward()
        optimizer.step()
        is_fitted = [bool(score[i][is_face[i]].min() > score[i][~is_face[i]].max()) for i in range(2)]
        if name not in ("rank", "rank-margin"):  # which say nothing about two images together
            is_fitted.append(bool(score[is_face].min() > score[~is_face].max()))
        if all(is_fitted):
            return
    pytest.fail(f"after 60 steps {name} has not brought the faces before the background: {score}")
