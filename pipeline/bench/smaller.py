"""What it would save, and cost in AP, to keep candidates in fewer bytes; nothing of this is an option of the store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32

import detectors
from crface.array_shapes import ScoredBoxes
from crface.detections import detections_of
from crface.evaluation import widerface_ap
from crface.oracle import oracle_confidence
from pipeline.config.sections import DatasetConfig, EvaluateConfig
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.images.decode import decode_image

LEAST_CONFIDENCE: Final = 1e-4
_LEAST_HEIGHT_PX: Final = {"easy": 50, "medium": 30, "hard": 10}


@dataclass(frozen=True, slots=True)
class Source:
    """An image's candidates, its faces `x1 y1 x2 y2`, and its size."""

    candidates: ScoredBoxes
    faces: Float32[np.ndarray, "face 4"]
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """One way to keep candidates."""

    name: str
    image_bytes: float
    """Compressed as in the store: zstd, level 3, an image at a time."""
    largest_move_px: float
    """The farthest that a corner moves."""
    predicted: dict[str, float]
    """AP of the detections, by setting."""
    oracle: dict[str, float]
    """AP with the oracle's confidence, from all candidates that are left."""


def sources(detector: str, num_images: int, long_side_px: int) -> list[Source]:
    """A detector's candidates of pictures of the embedded data set's val split."""
    model, config = detectors.create(detector), DatasetConfig(long_side_px=long_side_px)
    found = []
    for number in range(num_images):
        picture = compose(config, "val", number)
        pixels = decode_image(encode_jpeg(picture.degraded), Path("picture.jpg"))
        faces = np.array(
            [[face.x, face.y, face.x + face.w, face.y + face.h] for face in picture.faces], np.float32
        )
        (candidates,) = model.candidates([pixels])
        found.append(Source(candidates, faces.reshape(-1, 4), pixels.shape[1], pixels.shape[0]))
    return found


def variants(images: Sequence[Source]) -> tuple[Smaller, ...]:
    """The ways, the store's own first."""
    ways: tuple[tuple[str, Callable[[Source], tuple[bytes, ScoredBoxes]]], ...] = (
        ("float32, as stored", lambda image: (image.candidates.tobytes(), image.candidates)),
        ("bytes in planes", lambda image: (_planes(image.candidates), image.candidates)),
        ("float16 of the image", _halved),
        (f"from {LEAST_CONFIDENCE:g} up", _cut),
    )
    return tuple(_measured(name, images, [way(image) for image in images]) for name, way in ways)


def _measured(name: str, images: Sequence[Source], kept: Sequence[tuple[bytes, ScoredBoxes]]) -> Smaller:
    codec = pa.Codec("zstd", compression_level=3)
    moves = [
        float(np.abs(rows[:, :4] - image.candidates[: len(rows), :4]).max(initial=0))
        for image, (_, rows) in zip(images, kept, strict=True)
    ]
    boxes = [torch.from_numpy(np.ascontiguousarray(rows)) for _, rows in kept]
    oracle = [
        oracle_confidence(rows[:, :4], torch.from_numpy(image.faces))
        for rows, image in zip(boxes, images, strict=True)
    ]
    return Smaller(
        name=name,
        image_bytes=float(np.mean([len(codec.compress(content)) for content, _ in kept])),
        largest_move_px=max(moves),
        predicted=_ap(images, boxes, [None] * len(boxes), EvaluateConfig().score_threshold),
        oracle=_ap(images, boxes, oracle, -np.inf),
    )


def _ap(
    images: Sequence[Source],
    boxes: Sequence[torch.Tensor],
    scores: Sequence[torch.Tensor | None],
    threshold: float,
) -> dict[str, float]:
    found = [
        detections_of(rows, own, score_threshold=threshold, nms_iou=EvaluateConfig().nms_iou).double().numpy()
        for rows, own in zip(boxes, scores, strict=True)
    ]
    faces = [image.faces.astype(np.float64) for image in images]
    kept = {
        setting: [one[:, 3] - one[:, 1] >= least for one in faces]
        for setting, least in _LEAST_HEIGHT_PX.items()
    }
    return dict(widerface_ap(found, faces, kept))


def _halved(image: Source) -> tuple[bytes, ScoredBoxes]:
    """Corners as shares of the image in half precision; confidences as they are."""
    sides = np.array([image.width, image.height] * 2, np.float32)
    half = (image.candidates[:, :4] / sides).astype(np.float16)
    rows = np.column_stack([half.astype(np.float32) * sides, image.candidates[:, 4]])
    return half.tobytes() + image.candidates[:, 4].tobytes(), rows


def _cut(image: Source) -> tuple[bytes, ScoredBoxes]:
    rows = image.candidates[image.candidates[:, 4] >= LEAST_CONFIDENCE]
    return rows.tobytes(), rows


def _planes(rows: ScoredBoxes) -> bytes:
    """All first bytes of a column's numbers, then all second ones: the same numbers, which zstd packs better."""
    by_byte = np.ascontiguousarray(rows.T).view(np.uint8).reshape(5, -1, 4)
    return by_byte.transpose(0, 2, 1).tobytes()
