"""A labelled photograph, cut, scaled, mirrored and recoloured into one training sample.

RetinaFace (Deng et al. 2019), section 4.3: random square crops, horizontal flip, photometric distortion.
The scale is drawn so that faces of all sizes that the priors cover appear: half of the crops bring a random
face to a random size (data-anchor-sampling, PyramidBox, Tang et al. 2018, section 3.3).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from crface.array_shapes import FaceMask, RgbImage

_PADDING_RGB = (123, 117, 104)
_SMALLEST_TARGET_PX = 10.0
_MIN_VISIBLE = 0.4
_FACE_SHARE = 0.85  # of the crops hold a face chosen at random; the others lie anywhere
_SIZED_SHARE = 0.6  # of those bring it to a size chosen at random


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A photograph, its faces xyxy in pixels, and which of them teach (the others are ignored)."""

    image: RgbImage
    faces: Float32[np.ndarray, "face 4"]
    is_valid: FaceMask
    landmarks: Float32[np.ndarray, "face 5 2"] | None = None
    """Eyes, nose, corners of the mouth (x, y), left before right as seen; NaN for a face without them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A square RGB image, the faces to find in it, and the regions that teach nothing, xyxy in its pixels."""

    image: UInt8[np.ndarray, "side side 3"]
    faces: Float32[np.ndarray, "face 4"]
    ignored: Float32[np.ndarray, "ignored 4"]
    landmarks: Float32[np.ndarray, "face 5 2"] | None = None
    """Those of `faces`, as in `LabelledImage`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """How much a photograph is scaled for training, and which faces are then too small to learn from."""

    smallest: float
    largest: float
    min_face_px: float


def augment(source: LabelledImage, side_px: int, scales: Scales, rng: np.random.Generator) -> Sample:
    """One random training sample; the same generator state draws the same bytes.

    A face stays if its centre and two fifths of its area are inside the crop, and is clipped to it; other
    faces that reach in, invalid faces and faces smaller than `scales.min_face_px` (square root of the area)
    become ignored regions.
    """
    scale, corner = _draw_crop(source, side_px, scales, rng)
    image = _cut(source.image, corner, side_px, scale, rng)
    is_mirrored = rng.random() < 0.5
    if is_mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
    exact_scale = side_px / round(side_px / scale)  # crops are whole pixels
    faces, ignored, is_learned = _move_faces(
        source, corner, side_px, exact_scale, scales.min_face_px, is_mirrored
    )
    landmarks = None
    if source.landmarks is not None:
        landmarks = _move_points(source.landmarks[is_learned], corner, side_px, exact_scale, is_mirrored)
    return Sample(_recolour(image, rng), faces, ignored, landmarks)


def _draw_crop(
    source: LabelledImage, side_px: int, scales: Scales, rng: np.random.Generator
) -> tuple[float, tuple[int, int]]:
    """A random scale, and the crop's top left corner in pixels of the photograph."""
    height, width = source.image.shape[:2]
    faces = source.faces[source.is_valid]
    scale = float(np.exp(rng.uniform(np.log(scales.smallest), np.log(scales.largest))))
    centre = rng.uniform((0, 0), (width, height))
    if len(faces) and rng.random() < _FACE_SHARE:
        x1, y1, x2, y2 = faces[rng.integers(len(faces))].astype(float)
        if rng.random() < _SIZED_SHARE:
            target = np.exp(rng.uniform(np.log(_SMALLEST_TARGET_PX), np.log(0.9 * side_px)))
            scale = float(np.clip(target / np.sqrt((x2 - x1) * (y2 - y1)), scales.smallest, scales.largest))
        reach = max(0.0, side_px / scale - max(x2 - x1, y2 - y1)) / 2
        centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + rng.uniform(-reach, reach, 2)
    crop = side_px / scale
    # A crop larger than the photograph holds all of it; a smaller one does not look beyond the border.
    slack = np.array([width - crop, height - crop])
    corner = np.clip(centre - crop / 2, np.minimum(0, slack), np.maximum(0, slack))
    return scale, (int(np.floor(corner[0])), int(np.floor(corner[1])))


def _cut(
    image: RgbImage,
    corner: tuple[int, int],
    side_px: int,
    scale: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "side side 3"]:
    left, top = corner
    crop = round(side_px / scale)
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(top + crop, height), max(left, 0) : min(left + crop, width)]
    if inside.shape[:2] != (crop, crop):
        canvas = np.empty((crop, crop, 3), np.uint8)
        canvas[:] = _PADDING_RGB
        y, x = max(-top, 0), max(-left, 0)
        canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        inside = canvas
    enlarging = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(2))]
    shrinking = (cv2.INTER_AREA, cv2.INTER_LINEAR)[int(rng.random() < 0.2)]
    interpolation = shrinking if crop > side_px else enlarging
    return np.asarray(cv2.resize(inside, (side_px, side_px), interpolation=interpolation), dtype=np.uint8)


def _move_faces(
    source: LabelledImage,
    corner: tuple[int, int],
    side_px: int,
    scale: float,
    min_face_px: float,
    is_mirrored: bool,
) -> tuple[Float32[np.ndarray, "face 4"], Float32[np.ndarray, "ignored 4"], Bool[np.ndarray, " labelled"]]:
    """The faces to learn, the regions to ignore, and which of the photograph's faces are learned."""
    faces = (source.faces - np.array([*corner, *corner], np.float32)) * np.float32(scale)
    centres = (faces[:, :2] + faces[:, 2:]) / 2
    is_centred = ((centres > 0) & (centres < side_px)).all(axis=1)
    whole_areas = (faces[:, 2:] - faces[:, :2]).prod(axis=1)
    faces = np.clip(faces, 0, side_px)
    if is_mirrored:
        faces = np.stack([side_px - faces[:, 2], faces[:, 1], side_px - faces[:, 0], faces[:, 3]], axis=1)
    sizes = faces[:, 2:] - faces[:, :2]
    is_visible = (sizes > 0).all(axis=1)
    areas = sizes.prod(axis=1)
    is_shown = is_visible & is_centred & (areas >= _MIN_VISIBLE * whole_areas)
    is_learned = source.is_valid & is_shown & (areas >= min_face_px**2)
    ignored = faces[is_visible & ~is_learned]
    return faces[is_learned].astype(np.float32), ignored.astype(np.float32), is_learned


def _move_points(
    points: Float32[np.ndarray, "face 5 2"],
    corner: tuple[int, int],
    side_px: int,
    scale: float,
    is_mirrored: bool,
) -> Float32[np.ndarray, "face 5 2"]:
    moved = (points - np.array(corner, np.float32)) * np.float32(scale)
    if is_mirrored:
        moved[..., 0] = side_px - moved[..., 0]
        moved = moved[:, [1, 0, 2, 4, 3]]  # what was on the left is on the right
    return moved.astype(np.float32)


def _recolour(
    image: UInt8[np.ndarray, "side side 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "side side 3"]:
    """Vary light, contrast, colour, sharpness and compression, as cameras and web pages do."""
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hues = ((np.arange(256) + rng.integers(-12, 13)) % 180).astype(np.uint8)
        saturations = np.clip(np.arange(256) * rng.uniform(0.4, 1.5), 0, 255).astype(np.uint8)
        unchanged = np.arange(256, dtype=np.uint8)
        hsv = cv2.LUT(hsv, np.stack([hues, saturations, unchanged], axis=-1)[None])
        image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
    if rng.random() < 0.1:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.7:
        levels = np.arange(256)[:, None] / 255
        gains = rng.uniform(0.6, 1.4) * rng.uniform(0.9, 1.1, 3)  # contrast, and the light's colour
        curve = (levels ** rng.uniform(0.7, 1.4) - 0.5) * gains + 0.5 + rng.uniform(-0.12, 0.12)
        image = cv2.LUT(image, np.clip(curve * 255, 0, 255).astype(np.uint8)[None])
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.1:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape[:2])[..., None]
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
        image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)
    return np.asarray(image, dtype=np.uint8)
