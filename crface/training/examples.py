"""The examples of a step of the ranker's training, drawn from (seed, step) (paper 4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from crface.array_shapes import RgbImage
from crface.losses import Targets
from crface.oracle import closest_face
from crface.ranker.inputs import on_square, relative_rows
from crface.ranker.interface import is_box_row
from crface.ranker.opinions import NUM_COLUMNS
from crface.tensor_shapes import SizeBatch
from crface.training.augmentation import draw_transform
from crface.training.batches import batch_images

_DETECTOR, _AUGMENTATION, _UNASKED = 1, 2, 4  # with the seed; 0 draws the order of images, 3 what is held out
_TAIL_ABOVE = 0.01
_UNASKED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Draw:
    """The images of one step, all with the candidates of one detector."""

    detector: int
    images: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One augmented image as input to the network, with the target of each row."""

    picture: UInt8[np.ndarray, "side side 3"]
    rows: Float32[np.ndarray, "row number"]
    oracle: Float32[np.ndarray, " row"]
    face: Int64[np.ndarray, " row"]
    """The face that the oracle confidence is with; -1 for none."""
    size: tuple[int, int]
    """Width and height of what the picture shows, in the upper left corner of its square."""


def draw(seed: int, step: int, num_images: int, num_detectors: int, batch_size: int) -> Draw:
    """The images (see `batch_images`) and the detector of a step; the same again for the same arguments.

    "We [...] randomly pick the output from a single face detector on each iteration": one detector for the whole
    batch. Paper: 4.2.
    """
    return Draw(
        detector=int(np.random.default_rng([seed, _DETECTOR, step]).integers(num_detectors)),
        images=batch_images(seed, step, num_images, batch_size),
    )


def make_example(
    image: RgbImage,
    candidates: Float32[np.ndarray, "candidate number"],
    faces: Float32[np.ndarray, "face 4"],
    seed: tuple[int, int, int],
    num_candidates: int,
    side_px: int,
    is_wide: bool = False,
) -> Example:
    """Augment one image with its candidates (highest confidence first) and faces, all in its pixels.

    Wide: by a wide transform, and where there are more than N candidates a third of the rows are drawn from all that
    follow the first two thirds with a confidence above 0.01: detectors whose confidences have a long tail are met
    where their tail matters.

    `seed` is (seed of the run, step, place in the batch). Candidates whose centre the crop cuts off are gone,
    and those behind them move up to the N rows. The oracle confidence is that of the original boxes with all
    the faces: a box on a face that the crop cuts keeps the target it has in the whole picture.
    """
    run_seed, step, place = seed
    random = np.random.default_rng([run_seed, _AUGMENTATION, step, place])
    transform = draw_transform(random, image.shape[1], image.shape[0], side_px, is_wide)
    kept = candidates[transform.holds(candidates[:, :4])]
    if is_wide:
        kept = _with_tail(random, kept, num_candidates)
    kept = kept[:num_candidates]
    oracle = np.zeros(num_candidates, np.float32)
    face = np.full(num_candidates, -1, np.int64)
    oracle[: len(kept)], face[: len(kept)] = closest_face(
        torch.from_numpy(np.ascontiguousarray(kept[:, :4])), torch.from_numpy(np.ascontiguousarray(faces))
    )
    moved = np.concatenate([transform.boxes(kept[:, :4]), kept[:, 4:]], axis=1)
    picture = transform.picture(image)
    return Example(
        picture=on_square(picture, side_px),
        rows=relative_rows(moved, picture.shape[1], picture.shape[0], num_candidates),
        oracle=oracle,
        face=face,
        size=(picture.shape[1], picture.shape[0]),
    )


def _with_tail(
    random: np.random.Generator, candidates: Float32[np.ndarray, "candidate number"], num_rows: int
) -> Float32[np.ndarray, "row number"]:
    num_first = num_rows * 2 // 3
    tail = num_first + np.flatnonzero(candidates[num_first:, 4] > _TAIL_ABOVE)
    drawn = random.permutation(tail)[: num_rows - num_first]
    return np.concatenate([candidates[:num_first], candidates[np.sort(drawn)]])


def with_some_unasked(
    candidates: Float32[np.ndarray, "candidate number"], seed: tuple[int, int, int]
) -> Float32[np.ndarray, "candidate number"]:
    """Candidates as if each detector whose opinion they carry had not been asked, with a chance of 1/4.

    So that a ranker learns to do without any of them: without the one that is refined, which is not asked about itself.
    `seed` is (seed of the run, step, place in the batch).
    """
    run_seed, step, place = seed
    random = np.random.default_rng([run_seed, _UNASKED, step, place])
    num_opinions = (candidates.shape[1] - 5) // NUM_COLUMNS
    is_asked = random.random(num_opinions) >= _UNASKED_SHARE
    kept = np.concatenate([np.ones(5), np.repeat(is_asked, NUM_COLUMNS)])
    some: np.ndarray = (candidates * kept).astype(np.float32)
    return some


def collated(
    examples: Sequence[Example], device: torch.device
) -> tuple[UInt8[Tensor, "image side side 3"], Float[Tensor, "image row number"], SizeBatch, Targets]:
    """A batch of examples on a device: pictures, rows and picture sizes for the network, and the targets."""

    def stacked(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device)

    rows = stacked([example.rows for example in examples])
    targets = Targets(
        predicted=rows[..., 4],
        oracle=stacked([example.oracle for example in examples]),
        face=stacked([example.face for example in examples]),
        is_box=is_box_row(rows),
    )
    pictures = stacked([example.picture for example in examples])
    sizes = stacked([np.array(example.size, np.float32) for example in examples])
    return pictures, rows, sizes, targets
