"""The ranker: what it leaves alone, what it ignores, how large it is."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crface import ranker
from crface.ranker.bpn import BoxProcessingNetwork, nearest_rows
from crface.ranker.inputs import relative_rows, square_picture, to_tensor
from crface.ranker.interface import is_box_row
from crface.ranker.network import ConfidenceRanker

SIZES = torch.tensor([[64.0, 48.0]])


def disturbed(num_candidates: int = 12, image_side_px: int = 64, scale: float = 0.02) -> ConfidenceRanker:
    """A ranker that does change confidences: its zero layers are filled with small numbers."""
    torch.manual_seed(3)
    model = ranker.create("small", num_candidates, image_side_px)
    assert isinstance(model, ConfidenceRanker)
    for module in model.confidence:
        torch.nn.init.normal_(module.linear.weight, std=scale)
        torch.nn.init.normal_(module.linear.bias, std=scale)
    return model.eval()


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def some_candidates(count: int, width: int = 64, height: int = 48) -> np.ndarray:
    random = np.random.default_rng(7)
    corners = random.uniform(0, [width - 9, height - 9], (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(3, 9, (count, 2))], axis=1)
    confidences = np.sort(random.uniform(0.2, 0.8, (count, 1)), axis=0)[::-1]
    return np.concatenate([boxes, confidences], axis=1).astype(np.float32)


def rows_in_full(bpn: BoxProcessingNetwork, rows: Tensor, is_box: Tensor) -> list[Tensor]:
    """The BPN as it is written: every layer on all N x 5 x 64 values; features of each third one."""
    mask = is_box[:, None, :, None]
    x, stages = rows[:, None] * mask, []
    for i, layer in enumerate(bpn.layers):
        y = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, padding=(1, 2)), 0.1)
        x = (y if i == 0 else x + y) * mask
        if i % 3 == 2:
            stages.append(x)
    return stages


@pytest.mark.parametrize("num_boxes", [40, 25, 1, 0])
def test_box_features_are_those_of_the_whole_matrix_resized_by_nearest_neighbour(num_boxes: int) -> None:
    torch.manual_seed(0)
    bpn = BoxProcessingNetwork()
    rows = torch.rand(2, 40, 5)
    is_box = torch.arange(40).expand(2, 40) < num_boxes
    sizes = [(10, 8), (5, 4), (3, 2)]
    found = bpn(rows, is_box, sizes)
    for level, in_full, size in zip(found, rows_in_full(bpn, rows, is_box), sizes, strict=True):
        torch.testing.assert_close(level, F.interpolate(in_full, size=size, mode="nearest"))


@settings(max_examples=50, deadline=None)
@given(num_rows=st.integers(1, 300), num_cells=st.integers(1, 200))
def test_a_cell_reads_the_row_at_its_share_of_the_list_rounded_down(num_rows: int, num_cells: int) -> None:
    assert nearest_rows(num_rows, num_cells).tolist() == [i * num_rows // num_cells for i in range(num_cells)]


def test_an_untrained_ranker_leaves_every_confidence_exactly_as_it_is() -> None:
    candidates = some_candidates(12)
    refined = ranker.create("small", 12, 64).refine(picture(), candidates)
    assert np.array_equal(refined, candidates[:, 4])


@pytest.mark.parametrize("count", [1, 5, 12])
def test_padding_rows_change_no_box_and_get_zero(count: int) -> None:
    model, candidates = disturbed(), some_candidates(count)
    alone = model.refine(picture(), candidates)
    padded = model.refine(picture(), np.concatenate([candidates, np.zeros((12 - count, 5), np.float32)]))
    assert np.array_equal(padded[:count], alone)
    assert not padded[count:].any()
    assert not np.array_equal(alone, candidates[:, 4])  # the network did something


def test_no_gradient_of_a_box_reaches_a_padding_row() -> None:
    model = disturbed()
    rows = torch.from_numpy(relative_rows(some_candidates(6), 64, 48, 12))[None].requires_grad_()
    model(torch.zeros(1, 3, 64, 64), rows, SIZES)[0, :6].sum().backward()
    assert rows.grad is not None
    assert rows.grad[0, :6].any()
    assert not rows.grad[0, 6:].any()


def test_the_range_seen_in_training_becomes_zero_to_one_and_every_order_stays() -> None:
    model, candidates = disturbed(scale=1.0), some_candidates(12)
    rows = torch.from_numpy(relative_rows(candidates, 64, 48, 12))[None]
    square, _ = square_picture(picture(), 64)
    images = to_tensor(torch.from_numpy(square)[None])
    model.train()(images, rows, SIZES)
    raw = model.eval()(images, rows, SIZES)[0].detach().numpy()
    assert raw.max() > 1.0
    assert raw.min() < 0.0
    refined = model.refine(picture(), candidates)
    assert refined.min() >= 0.0
    assert refined.max() <= 1.0
    lowest, highest = float(model.lowest), float(model.highest)
    np.testing.assert_allclose(refined, np.clip((raw - lowest) / (highest - lowest), 0, 1), atol=1e-6)


def test_the_papers_clip_leaves_what_is_within_zero_to_one_as_it_is() -> None:
    model, candidates = disturbed(scale=1.0), some_candidates(12)
    model.output_range = "clipped"
    rows = torch.from_numpy(relative_rows(candidates, 64, 48, 12))[None]
    square, _ = square_picture(picture(), 64)
    images = to_tensor(torch.from_numpy(square)[None])
    model.train()(images, rows, SIZES)  # widens the range, which the clip does not look at
    raw = model.eval()(images, rows, SIZES)[0].detach().numpy()
    assert raw.max() > 1.0
    np.testing.assert_allclose(model.refine(picture(), candidates), np.clip(raw, 0, 1), atol=1e-6)


def test_a_confidence_beyond_the_range_seen_in_training_is_clipped() -> None:
    refined = disturbed(scale=20.0).refine(picture(), some_candidates(12))
    assert refined.min() == 0.0
    assert refined.max() == 1.0


def test_candidates_may_come_in_any_order() -> None:
    model, candidates = disturbed(), some_candidates(12)
    shuffle = np.random.default_rng(1).permutation(12)
    assert np.array_equal(
        model.refine(picture(), candidates[shuffle]), model.refine(picture(), candidates)[shuffle]
    )


def test_candidates_beyond_n_keep_their_confidence_unless_it_would_pass_the_last_refined_one() -> None:
    model, candidates = disturbed(num_candidates=12), some_candidates(20)
    candidates[14:, 4] = 0.001
    refined = model.refine(picture(), candidates)
    assert np.array_equal(refined[:12], model.refine(picture(), candidates[:12]))
    assert refined[12:14].max() <= refined[11]
    assert np.array_equal(refined[14:], candidates[14:, 4])


def test_no_candidates_give_no_confidences() -> None:
    assert ranker.create("small", 12, 64).refine(picture(), np.zeros((0, 5), np.float32)).shape == (0,)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 500), (500, 3), (48, 64)])
def test_images_of_any_shape_are_taken(height: int, width: int) -> None:
    refined = disturbed().refine(picture(height, width), some_candidates(12))
    assert np.isfinite(refined).all()


def test_the_image_matters() -> None:
    model, candidates = disturbed(scale=1.0), some_candidates(12)
    black = np.zeros((48, 64, 3), np.uint8)
    assert not np.array_equal(model.refine(picture(), candidates), model.refine(black, candidates))


@pytest.mark.parametrize(
    ("image", "candidates", "message"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((1, 5), np.float32), r"image is uint8 \[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((1, 5), np.float32), "image is float32"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4), np.float32), r"candidates are \[1, 4\]"),
        (np.zeros((4, 4, 3), np.uint8), np.full((1, 5), np.nan, np.float32), "not finite"),
    ],
)
def test_wrong_input_is_refused_in_words(image: np.ndarray, candidates: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranker.create("small", 12, 64).refine(image, candidates)


def test_refining_leaves_a_network_in_training_as_it_was() -> None:
    model = disturbed().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.refine(picture(), some_candidates(12))
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_small_ranker_is_the_papers_eight_megabytes() -> None:
    model = ranker.create("small")
    num_parameters = sum(p.numel() for p in model.parameters())
    bpn = (15 * 64 + 64) + 8 * (15 * 64 * 64 + 64)
    fpn = sum((depth + 64) * 64 + 64 + 9 * 64 * 64 + 64 for depth in (64, 128, 256))
    confidence = 3 * (9 * 64 * 64 + 64 + 64 * 5000 + 5000)
    assert num_parameters == 213_072 + bpn + fpn + confidence == 1_943_848
    assert 4 * num_parameters / 1e6 == pytest.approx(7.8, abs=0.05)


def test_a_saved_ranker_comes_back_the_same(tmp_path: Path) -> None:
    model = disturbed()
    ranker.save(model, tmp_path / "ranker.safetensors")
    loaded = ranker.load(tmp_path / "ranker.safetensors")
    assert (loaded.name, loaded.num_candidates, loaded.image_side_px) == ("small", 12, 64)
    assert not loaded.training
    candidates = some_candidates(12)
    assert np.array_equal(loaded.refine(picture(), candidates), model.refine(picture(), candidates))


def test_a_ranker_of_other_layers_is_refused_in_a_few_words(tmp_path: Path) -> None:
    model = disturbed()
    model.other = model.fpn
    del model.fpn
    ranker.save(model, tmp_path / "ranker.safetensors")
    with pytest.raises(ValueError, match=r"of this version: .*missing: fpn.* unexpected: other") as refused:
        ranker.load(tmp_path / "ranker.safetensors")
    assert len(str(refused.value)) < 600


def test_what_is_no_ranker_is_refused_in_words(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(ValueError, match=r"cannot read the ranker .*absent"):
        ranker.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(ValueError, match="cannot read the ranker"):
        ranker.load(tmp_path / "text.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not hold a ranker"):
        ranker.load(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="'tiny'; choose one of large, small, small-told, per-box"):
        ranker.create("tiny")
    with pytest.raises(ValueError, match="32 pixels"):
        ranker.create("small", image_side_px=16)
    with pytest.raises(ValueError, match="the per-box ranker has no output_range"):
        ranker.create("per-box", output_range="clipped")


def test_a_picture_is_scaled_into_the_upper_left_corner_of_its_square() -> None:
    square, size = square_picture(np.full((50, 100, 3), 255, np.uint8), 40)
    assert size == (40, 20)
    assert (square[:20] == 255).all()
    assert (square[20:] == np.array([123, 117, 104])).all()
    assert not to_tensor(torch.from_numpy(square)[None])[
        0, :, 20:
    ].any()  # the free part is zero to the network


def test_rows_are_corner_and_size_in_shares_of_the_picture() -> None:
    candidates = np.array([[20, 10, 60, 30, 0.9], [0, 0, 200, 100, 0.4], [0, 0, 1, 1, 0.1]], np.float32)
    rows = relative_rows(candidates, width=200, height=100, num_candidates=2)
    np.testing.assert_allclose(rows, [[0.1, 0.1, 0.2, 0.2, 0.9], [0, 0, 1, 1, 0.4]], rtol=1e-6)
    longer = relative_rows(candidates, width=200, height=100, num_candidates=5)
    assert is_box_row(torch.from_numpy(longer)[None]).tolist() == [[True, True, True, False, False]]


def test_a_batch_that_is_fitted_comes_into_oracle_order() -> None:
    from crface.losses import rank_loss

    torch.manual_seed(0)
    model = ranker.create("small", 6, 64).train()
    rows = torch.from_numpy(relative_rows(some_candidates(6), 64, 48, 6))[None].repeat(2, 1, 1)
    images = torch.randn(2, 3, 64, 64) * 60
    oracle = torch.tensor([[0.1, 0.9, 0.3, 0.8, 0.0, 0.5], [0.9, 0.2, 0.8, 0.1, 0.7, 0.0]])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        refined = model(images, rows, SIZES.expand(2, 2))
        rank_loss(refined, oracle, torch.ones(2, 6, dtype=torch.bool)).backward()
        optimizer.step()
        if torch.equal(refined.argsort(dim=1), oracle.argsort(dim=1)):
            return
    pytest.fail(f"after 60 steps: {refined}")


def told(num_candidates: int = 12) -> ConfidenceRanker:
    """A ranker of the told kind that does change confidences."""
    torch.manual_seed(3)
    model = ranker.create("small-told", num_candidates, 64)
    assert isinstance(model, ConfidenceRanker)
    for module in model.confidence:
        torch.nn.init.normal_(module.linear.weight, std=0.05)
    return model.eval()


def test_a_told_head_moves_two_candidates_of_equal_numbers_alike_and_others_differently() -> None:
    candidates = some_candidates(12)
    candidates[4] = candidates[3]
    candidates[7, 4] = candidates[6, 4]  # elsewhere, with the same confidence
    residual = told().refine(picture(), candidates) - candidates[:, 4]
    assert residual[3] == pytest.approx(residual[4], abs=1e-6)
    assert abs(residual[6] - residual[7]) > 1e-3


def test_a_told_head_is_the_identity_while_untrained() -> None:
    candidates = some_candidates(12)
    refined = ranker.create("small-told", 12, 64).refine(picture(), candidates)
    np.testing.assert_array_equal(refined, candidates[:, 4])
