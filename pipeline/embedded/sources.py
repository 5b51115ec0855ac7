"""Real pictures shipped with installed packages: LFW crops, and photographs with and without people."""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.errors import UserError

Photo = UInt8[np.ndarray, "height width 3"]

SCENERY = ("coffee", "rocket", "motorcycle_left", "hubble_deep_field", "ihc")
"""Photographs without a face, for backgrounds and posters."""

_SUFFIXES = {"hubble_deep_field": ".jpg", "rocket": ".jpg"}


@dataclass(frozen=True, slots=True)
class Head:
    """A photographed head: the picture, the outline to cut along, and the face box x1 y1 x2 y2."""

    photo: Photo
    outline: np.ndarray
    face: tuple[float, float, float, float]


def lfw_faces(split: str) -> UInt8[np.ndarray, "crop 25 25"]:
    """Grey face crops of Labeled Faces in the Wild: three quarters of them for train, the rest for val."""
    crops = _lfw()[:100]  # according to the package, the first hundred are faces, the second hundred are not
    is_held_out = np.arange(len(crops)) % 4 == 3
    return np.asarray(crops[~is_held_out if split == "train" else is_held_out])


def lfw_non_faces() -> UInt8[np.ndarray, "crop 25 25"]:
    """Grey crops of the same photographs that are no faces."""
    return _lfw()[100:]


def head(split: str) -> Head:
    """The photographed head of a split: Eileen Collins in train, Grace Hopper in all others."""
    return _collins() if split == "train" else _hopper()


def check_sources() -> None:
    """Check that everything is there before anything is drawn.

    Raises UserError that names what is missing and how to install it.
    """
    _lfw()
    _hopper()
    for name in ("astronaut", "brick", "chelsea", "coins", "grass", "gravel", *SCENERY):
        photo(name)


@functools.cache
def photo(name: str) -> Photo:
    """One of scikit-image's photographs by name, as RGB.

    Raises UserError when scikit-image is missing or does not contain it.
    """
    return _read(_scikit_image_data(), f"{name}{_SUFFIXES.get(name, '.png')}", _imread)


@functools.cache
def _lfw() -> UInt8[np.ndarray, "crop 25 25"]:
    crops = _read(_scikit_image_data(), "lfw_subset.npy", lambda path: np.load(path, allow_pickle=False))
    return np.round(crops * 255).astype(np.uint8)


@functools.cache
def _collins() -> Head:
    outline = [
        (233, 15),
        (268, 27),
        (291, 46),
        (302, 84),
        (295, 115),
        (277, 136),
        (264, 161),
        (256, 190),
        (222, 196),
    ]
    outline += [(187, 190), (184, 140), (172, 126), (157, 103), (153, 69), (168, 46), (195, 27)]
    return Head(photo("astronaut"), np.array(outline, np.float64), (176, 72, 276, 180))


@functools.cache
def _hopper() -> Head:
    outline = [
        (258, 24),
        (322, 40),
        (367, 86),
        (373, 134),
        (375, 193),
        (365, 257),
        (350, 310),
        (310, 345),
        (258, 352),
    ]
    outline += [(205, 345), (170, 310), (152, 257), (153, 203), (156, 145), (153, 102), (177, 59), (215, 32)]
    folder = _package("matplotlib", "matplotlib") / "mpl-data" / "sample_data"
    return Head(
        _read(folder, "grace_hopper.jpg", _imread), np.array(outline, np.float64), (158, 134, 370, 340)
    )


def _scikit_image_data() -> Path:
    # located without importing it, which takes longer than drawing the first picture
    return _package("skimage", "crface[demo]") / "data"


def _package(name: str, install: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"the embedded data set needs the Python package {name}, which is missing: pip install {install}"
        )
    return Path(spec.submodule_search_locations[0])


def _read(folder: Path, name: str, reader: Callable[[Path], np.ndarray]) -> np.ndarray:
    try:
        return reader(folder / name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the embedded data set needs {name}, which {folder} lacks or holds damaged: "
            f"reinstall with pip install --force-reinstall crface[demo]"
        ) from error


def _imread(path: Path) -> Photo:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"cannot read {path}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
