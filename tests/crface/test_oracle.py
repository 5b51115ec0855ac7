"""Oracle confidence: how well each box lies on a face."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.oracle import closest_face, oracle_confidence

_BOX = st.tuples(*[st.integers(0, 20)] * 4).map(lambda box: tuple(map(float, box)))


def test_a_box_on_a_face_scores_one_and_a_box_on_half_of_it_one_half() -> None:
    faces = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    on_it, on_half, beside = [10.0, 10.0, 20.0, 20.0], [10.0, 10.0, 20.0, 15.0], [20.0, 10.0, 30.0, 20.0]
    assert oracle_confidence(torch.tensor([on_it, on_half, beside]), faces).tolist() == [1.0, 0.5, 0.0]


def test_the_face_that_is_overlapped_most_counts() -> None:
    faces = torch.tensor([[0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 8.0], [50.0, 50.0, 60.0, 60.0]])
    assert oracle_confidence(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), faces).allclose(torch.tensor([0.8]))


def test_image_without_faces_scores_every_box_zero() -> None:
    assert oracle_confidence(torch.rand(3, 4), torch.zeros(0, 4)).tolist() == [0.0, 0.0, 0.0]


def test_image_without_boxes_has_no_scores() -> None:
    assert oracle_confidence(torch.zeros(0, 4), torch.ones(2, 4)).shape == (0,)
    assert oracle_confidence(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_a_face_of_size_zero_gives_zero_even_to_the_box_upon_it() -> None:
    point = torch.tensor([[5.0, 5.0, 5.0, 5.0]])
    assert oracle_confidence(torch.cat([point, torch.tensor([[0.0, 0.0, 10.0, 10.0]])]), point).tolist() == [
        0.0,
        0.0,
    ]


@given(st.lists(_BOX, max_size=8), st.lists(_BOX, max_size=8))
@settings(max_examples=100, deadline=None)
def test_it_is_the_greatest_overlap_that_a_plain_loop_finds(
    boxes: list[tuple[float, ...]], faces: list[tuple[float, ...]]
) -> None:
    def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        def area(box: tuple[float, ...]) -> float:
            return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

        shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
        return shared / (area(a) + area(b) - shared) if shared else 0.0

    expected = [max((overlap(box, face) for face in faces), default=0.0) for box in boxes]
    scores = oracle_confidence(torch.tensor(boxes).reshape(-1, 4), torch.tensor(faces).reshape(-1, 4))
    assert scores.allclose(torch.tensor(expected))


def test_each_box_is_told_the_first_of_the_faces_that_it_overlaps_most_or_none() -> None:
    faces = torch.tensor([[0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 8.0], [0.0, 0.0, 10.0, 8.0]])
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0], [50.0, 50.0, 60.0, 60.0]])
    overlap, face = closest_face(boxes, faces)
    assert overlap.allclose(torch.tensor([0.8, 1.0, 0.0]))
    assert face.tolist() == [1, 0, -1]
    assert [values.tolist() for values in closest_face(boxes, faces[:0])] == [[0.0] * 3, [-1] * 3]
