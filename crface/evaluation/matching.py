"""Which face each detection hits, by WIDER FACE's rule (paper 4.1), for many images at once.

Each detection goes to the one face of its image that it overlaps most (the first of equals); if that overlap
reaches the wanted IoU, the detection is a *hit* of that face. Overlaps are measured on pixels, where every
box is one pixel wider and higher than its coordinates say.

Two boxes can only reach an IoU of t if their centres are close: both are at least t times as wide as the
other, and share t of the wider one, so that the centres differ by at most `(1 - t) * max(1, 1 / 2t)` widths
of the face; likewise in height. A net of cells over each image holds the faces that a detection centred in
the cell can hit; overlaps are computed for these pairs alone, in double precision, as if for all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

_ROWS = 1 << 17
"""Detections matched at a time (an image is never cut): bounds the memory at some tens of MiB."""

_PAIRS = 1 << 18
"""Pairs of a detection and a face at work at a time: a few arrays of 2 MiB, which caches hold."""

_MAX_CELLS_A_SIDE = 128

_REACHED_A_SIDE = 3
"""Cells that a face reaches along either axis, on average: more of them cost more than the pairs that they spare."""

_SLACK = 1e-9
"""Relative; far above the rounding of double precision, so that no pair at the very IoU is lost."""

Detections = Sequence[Float[np.ndarray, "_ 5"]]
Faces = Sequence[Float[np.ndarray, "_ 4"] | Int[np.ndarray, "_ 4"]]


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Detections without their boxes: all that any curve needs to know of them."""

    scores: Float[np.ndarray, " detection"]
    """In the order given, one image after the other; single precision stays as it is."""
    face: Int[np.ndarray, " detection"]
    """Which face is hit, counted through all images; -1 for none."""
    finder: Int[np.ndarray, " face"]
    """Per face, the detection with the highest score among its hits (the first of equals); -1 for none."""
    num_detections: Int[np.ndarray, " image"]
    """Per image."""
    num_faces: Int[np.ndarray, " image"]
    """Per image."""
    ascending_scores: Float[np.ndarray, " detection_beside_faces"]
    """Those of detections in images with faces, lowest first; the others propose nothing."""
    score_range: tuple[float, float]
    """Lowest and highest score of all detections, for the normalisation: the lowest is at most 1, the highest
    at least 0, as in the field's evaluator; (0, 1) without detections."""

    @property
    def image(self) -> Int[np.ndarray, " detection"]:
        """The image of each detection."""
        image: np.ndarray = np.repeat(np.arange(len(self.num_detections)), self.num_detections)
        return image

    @property
    def face_image(self) -> Int[np.ndarray, " face"]:
        """The image of each face."""
        image: np.ndarray = np.repeat(np.arange(len(self.num_faces)), self.num_faces)
        return image

    @property
    def is_beside_faces(self) -> Bool[np.ndarray, " detection"]:
        """Which detections are in an image with faces."""
        is_beside: np.ndarray = np.repeat(self.num_faces > 0, self.num_detections)
        return is_beside


def match(detections: Detections, faces: Faces, iou: float = 0.5) -> Hits:
    """Find which face each detection hits; see the module for the rule.

    One item an image: detections `x1 y1 x2 y2 score` in any order, faces `x1 y1 x2 y2`; pixels, `x2 = x1 +
    width`. A box with `x2 <= x1 - 1` or `y2 <= y1 - 1` overlaps nothing.

    Raises ValueError if the numbers of images differ, if `iou` is not above 0 and at most 1, and, naming the
    image by its position, if a number is not finite.
    """
    if len(faces) != len(detections):
        raise ValueError(f"{len(faces)} images in `faces`, but {len(detections)} in the detections")
    if not 0 < iou <= 1:
        raise ValueError(f"an IoU of {iou} cannot make a hit: it must be above 0 and at most 1")
    num_detections = np.array([len(rows) for rows in detections], dtype=np.int64)
    num_faces = np.array([len(boxes) for boxes in faces], dtype=np.int64)
    precision = np.result_type(np.float32, *{rows.dtype for rows in detections})
    scores = np.empty(num_detections.sum(), dtype=precision)
    face = np.full(len(scores), -1, dtype=np.int64 if num_faces.sum() > np.iinfo(np.int32).max else np.int32)
    row, first_face = 0, 0
    for images in _chunks(num_detections):
        rows = np.concatenate(detections[images])
        boxes = np.concatenate(faces[images]).astype(np.float64)
        _check_finite(rows, num_detections[images], images.start)
        _check_finite(boxes, num_faces[images], images.start)
        scores[row : row + len(rows)] = rows[:, 4]
        box_of_row = np.ascontiguousarray(rows[:, :4].T, dtype=np.float64)
        hitting, hit = _hits(box_of_row, num_detections[images], boxes.T.copy(), num_faces[images], iou)
        face[row + hitting] = hit + first_face
        row += len(rows)
        first_face += len(boxes)
    beside_faces = scores if (num_faces > 0).all() else scores[np.repeat(num_faces > 0, num_detections)]
    return Hits(
        scores=scores,
        face=face,
        finder=_finders(scores, face, int(num_faces.sum())),
        num_detections=num_detections,
        num_faces=num_faces,
        ascending_scores=np.sort(beside_faces),
        score_range=score_range(scores),
    )


def score_range(scores: Float[np.ndarray, " detection"]) -> tuple[float, float]:
    """Lowest and highest score as `Hits` has them, from which scores are stretched."""
    return (min(1.0, float(scores.min())), max(0.0, float(scores.max()))) if len(scores) else (0.0, 1.0)


def _chunks(num_detections: Int[np.ndarray, " image"]) -> Iterator[slice]:
    """Cut the images into runs of at most _ROWS detections, or one image."""
    ends = num_detections.cumsum()
    start = 0
    while start < len(ends):
        before = ends[start] - num_detections[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _ROWS, side="right")))
        yield slice(start, stop)
        start = stop


def _check_finite(
    rows: Shaped[np.ndarray, "row column"], counts: Int[np.ndarray, " image"], first_image: int
) -> None:
    is_finite = np.isfinite(rows)
    if not is_finite.all():
        bad_row = int(np.argmin(is_finite.all(axis=1)))
        image = first_image + int(np.searchsorted(counts.cumsum(), bad_row, side="right"))
        raise ValueError(f"image {image}: a coordinate or score is not a finite number")


def _finders(
    scores: Float[np.ndarray, " detection"], face: Int[np.ndarray, " detection"], num_faces: int
) -> Int[np.ndarray, " face"]:
    hitting = np.flatnonzero(face >= 0)
    best = np.full(num_faces, -np.inf)
    np.maximum.at(best, face[hitting], scores[hitting])
    first = hitting[scores[hitting] == best[face[hitting]]][::-1]
    finder = np.full(num_faces, -1)
    finder[face[first]] = first  # from the last to the first of equals, which stays
    return finder


def _hits(
    rows: Float[np.ndarray, "4 detection"],
    num_rows: Int[np.ndarray, " image"],
    faces: Float[np.ndarray, "4 face"],
    num_faces: Int[np.ndarray, " image"],
    iou: float,
) -> tuple[Int[np.ndarray, " hit"], Int[np.ndarray, " hit"]]:
    """Detections that hit a face, ascending, and the face of each."""
    if rows.shape[1] == 0 or faces.shape[1] == 0:  # a net that nobody asks costs as much as any other
        none = np.zeros(0, np.int64)
        return none, none
    net = _Net.over(faces, num_faces, iou)
    near, first, count = net.faces_near(rows, num_rows)
    ends = count.cumsum()
    hitting, hit = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    start = 0
    while start < len(near):
        before = int(ends[start] - count[start])
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
        row, entry = _expanded(near[start:stop], first[start:stop], count[start:stop])
        row, face = _best(rows, row, faces, net.faces[entry], iou)
        hitting.append(row)
        hit.append(face)
        start = stop
    return np.concatenate(hitting), np.concatenate(hit)


def _expanded(
    item: Int[np.ndarray, " item"], first: Int[np.ndarray, " item"], count: Int[np.ndarray, " item"]
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Pair each item with `first`, `first + 1`, ... : `count` pairs an item."""
    ends = count.cumsum()
    number = np.arange(ends[-1] if len(ends) else 0)
    return np.repeat(item, count), number + np.repeat(first - ends + count, count)


def _best(
    rows: Float[np.ndarray, "4 detection"],
    row: Int[np.ndarray, " pair"],
    faces: Float[np.ndarray, "4 face"],
    face: Int[np.ndarray, " pair"],
    iou: float,
) -> tuple[Int[np.ndarray, " hit"], Int[np.ndarray, " hit"]]:
    """Among pairs in the order of detections, then faces: each detection's best face, if it reaches `iou`."""
    for low, high in ((0, 2), (1, 3)):  # the width, then the height: one often shows that it is no hit
        shared = _shared(rows, row, faces, face, low, high)
        is_enough = shared >= (iou * (1 - _SLACK)) * (faces[high] - faces[low] + 1)[face]
        row, face = row[is_enough & (shared > 0)], face[is_enough & (shared > 0)]
    overlap = _pixel_iou(rows, row, faces, face)
    is_hit = overlap >= iou
    row, face, overlap = row[is_hit], face[is_hit], overlap[is_hit]
    if len(row) == 0:
        return row, face
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    best = np.maximum.reduceat(overlap, starts)
    is_best = overlap == np.repeat(best, np.diff(starts, append=len(row)))
    row, face = row[is_best], face[is_best]
    is_first = np.diff(row, prepend=-1) > 0
    return row[is_first], face[is_first]


def _shared(
    rows: Float[np.ndarray, "4 detection"],
    row: Int[np.ndarray, " pair"],
    faces: Float[np.ndarray, "4 face"],
    face: Int[np.ndarray, " pair"],
    low: int,
    high: int,
) -> Float[np.ndarray, " pair"]:
    """Pixels that the boxes of each pair share along one axis; not above 0 where they do not meet."""
    shared: np.ndarray = np.minimum(rows[high][row], faces[high][face])
    shared -= np.maximum(rows[low][row], faces[low][face])
    shared += 1
    return shared


def _pixel_iou(
    rows: Float[np.ndarray, "4 detection"],
    row: Int[np.ndarray, " pair"],
    faces: Float[np.ndarray, "4 face"],
    face: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, " pair"]:
    """IoU by the protocol, which counts pixels from `x1` to `x2` inclusive, of boxes that meet."""
    intersection = _shared(rows, row, faces, face, 0, 2) * _shared(rows, row, faces, face, 1, 3)
    union = _pixel_area(rows)[row] + _pixel_area(faces)[face] - intersection
    overlap: np.ndarray = intersection / union
    return overlap


def _pixel_area(boxes: Float[np.ndarray, "4 box"]) -> Float[np.ndarray, " box"]:
    area: np.ndarray = (boxes[2] - boxes[0] + 1) * (boxes[3] - boxes[1] + 1)
    return area


@dataclass(frozen=True, slots=True, eq=False)
class _Net:
    """Cells over each image's faces, and for each cell the faces that a box centred in it can hit."""

    low: Float[np.ndarray, "2 image"]
    """Left and upper edge, in twice the coordinates (the sum of two edges is twice the centre)."""
    cells_per_px: Float[np.ndarray, "2 image"]
    side: Int[np.ndarray, " image"]
    """Cells along either axis; 0 in an image without faces."""
    first_cell: Int[np.ndarray, " image"]
    start: Int[np.ndarray, " cell_and_end"]
    faces: Int[np.ndarray, " entry"]
    """Those of cell c, ascending, are `faces[start[c]:start[c + 1]]`."""

    @classmethod
    def over(
        cls, faces: Float[np.ndarray, "4 face"], num_faces: Int[np.ndarray, " image"], iou: float
    ) -> "_Net":
        """Lay about four cells a face over what the faces of each image can reach; fewer where each reaches far."""
        image = np.repeat(np.arange(len(num_faces)), num_faces)
        centre = faces[:2] + faces[2:]
        size = np.maximum(faces[2:] - faces[:2] + 1, 0)
        reach = 2 * (1 - iou) * max(1, 1 / (2 * iou)) * size
        reach += _SLACK * (np.abs(faces[:2]) + np.abs(faces[2:]) + size)
        low, high = np.zeros((2, len(num_faces))), np.zeros((2, len(num_faces)))
        has_faces = num_faces > 0
        starts = (num_faces.cumsum() - num_faces)[has_faces]
        if len(starts):
            low[:, has_faces] = np.minimum.reduceat(centre - reach, starts, axis=1)
            high[:, has_faces] = np.maximum.reduceat(centre + reach, starts, axis=1)
        side = np.minimum(np.ceil(2 * np.sqrt(num_faces)), _MAX_CELLS_A_SIDE)
        extent = np.maximum(high - low, np.finfo(np.float64).tiny ** 0.5)
        area = np.bincount(image, (2 * reach / extent[:, image]).prod(axis=0), minlength=len(num_faces))
        # at a low IoU each of a thousand faces reaches a sixth of all cells: a net of as many cells costs more than
        # the pairs that it spares
        reached = np.sqrt(area / np.maximum(num_faces, 1))
        side = np.minimum(side, np.ceil(_REACHED_A_SIDE / np.maximum(reached, 1e-9))).astype(np.int64)
        cells_per_px = side / extent
        first_cell = (side**2).cumsum() - side**2

        def cell(position: Float[np.ndarray, "2 face"]) -> Int[np.ndarray, "2 face"]:
            inside = (position - low[:, image]) * cells_per_px[:, image]
            cells: np.ndarray = np.minimum(inside.astype(np.int64), side[image] - 1)
            return cells

        (left, top), (right, bottom) = cell(centre - reach), cell(centre + reach)
        width = right - left + 1
        face, number = _expanded(np.arange(faces.shape[1]), np.zeros_like(width), width * (bottom - top + 1))
        column, line = left[face] + number % width[face], top[face] + number // width[face]
        cells = first_cell[image][face] + line * side[image][face] + column
        order = np.argsort(cells, kind="stable")
        num_cells = int((side**2).sum())
        start = np.append(0, np.bincount(cells, minlength=num_cells).cumsum())
        return cls(low, cells_per_px, side, first_cell, start, face[order])

    def faces_near(
        self, rows: Float[np.ndarray, "4 detection"], num_rows: Int[np.ndarray, " image"]
    ) -> tuple[Int[np.ndarray, " near"], Int[np.ndarray, " near"], Int[np.ndarray, " near"]]:
        """Detections with faces in their cell; where these begin in `faces`, and how many there are."""
        side = np.repeat(self.side, num_rows)
        is_inside = side > 0
        place = []
        for axis in (0, 1):
            position = rows[axis] + rows[axis + 2]
            position -= np.repeat(self.low[axis], num_rows)
            position *= np.repeat(self.cells_per_px[axis], num_rows)
            is_inside &= (position >= 0) & (position < side + 1)  # one more for the rounding at the far edge
            place.append(position)
        near = np.flatnonzero(is_inside)
        side = side[near]
        column, line = (np.minimum(position[near].astype(np.int64), side - 1) for position in place)
        cell = np.repeat(self.first_cell, num_rows)[near] + line * side + column
        first = self.start[cell]
        count = self.start[cell + 1] - first
        has_faces = count > 0
        return near[has_faces], first[has_faces], count[has_faces]
