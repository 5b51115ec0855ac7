"""Where a trained ranker is at home: its train images, described, and the sizes of its boxes."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from crface.ranker import Home
from crface.ranker.describing import describe
from crface.ranker.home import fitted_home
from pipeline.blocks.store import CandidateStore
from pipeline.dataset.index import Index
from pipeline.dataset.sample import folder_of, sampled_by_folder
from pipeline.images.decode import ImageError

MAX_PICTURES: Final = 500
"""Train images that are described, as equally many of each folder as there are: 8 of each of WIDER FACE's 61."""

_SMALLEST = 0.01
"""Share of the candidates trained on that are smaller than a ranker's smallest box."""


def smallest_side(
    index: Index,
    rows: Sequence[int],
    stores: Sequence[CandidateStore],
    num_candidates: int,
    image_side_px: int,
) -> float:
    """The side (square root of the area) that all but one in a hundred of the candidates trained on have at least.

    In pixels of pictures with a long side of `image_side_px`, over the most confident `num_candidates` of some images;
    0 if there are none.
    """
    sides = [np.zeros(0)]
    for row in sampled_by_folder(index, rows, MAX_PICTURES):
        image = index.row(row)
        scale = image_side_px / max(image.width, image.height)
        for store in stores:
            x1, y1, x2, y2 = store.read(row)[:num_candidates, :4].T.astype(np.float64)
            sides.append(scale * np.sqrt(np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)))
    together = np.concatenate(sides)
    return round(float(np.quantile(together, _SMALLEST)), 2) if len(together) else 0.0


def home_of(index: Index, rows: Sequence[int], stores: Sequence[CandidateStore]) -> Home | None:
    """The home of a ranker trained on these rows with the candidates of these stores; None for too few images.

    Images are read again, rather than taken from the training's memory, which has them reduced: `crface rank` describes
    them as they are. An image that has become unreadable is left out.
    """
    descriptions: list[list[np.ndarray]] = []
    folders: list[str] = []
    for row in sampled_by_folder(index, rows, MAX_PICTURES):
        try:
            image = index.read_image(row)
        except ImageError:
            continue
        descriptions.append([describe(image, store.read(row)) for store in stores])
        folders.append(folder_of(index, row))
    return fitted_home(np.array(descriptions).swapaxes(0, 1), folders) if folders else None
