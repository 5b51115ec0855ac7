"""WIDER FACE's official `.mat` files: the faces of every image, and which of them a setting keeps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from crface.array_shapes import FaceMask
from crface.text import cropped
from pipeline.errors import UserError
from pipeline.ground_truth.mat5 import read_mat

Faces = Float64[np.ndarray, "face 4"]

# The files are MATLAB cell arrays: variables of [event, 1] cells, each a column of one cell per image.


def read_faces(path: Path) -> tuple[list[str], list[Faces]]:
    """Each image's name, `event/stem`, and its faces x1 y1 x2 y2, from the file of all faces.

    Raises UserError naming the file and what is wrong.
    """
    variables = _read_variables(path, ("event_list", "file_list", "face_bbx_list"))
    names = _read_names(path, variables)
    faces = []
    for name, cell in zip(names, _cells(path, variables, "face_bbx_list"), strict=True):
        try:
            xywh = np.asarray(cell, dtype=np.float64)
            xywh = xywh.reshape(-1, 4) if xywh.size == 0 else xywh
            is_right = xywh.ndim == 2 and xywh.shape[1] == 4 and bool(np.isfinite(xywh).all())
        except (ValueError, TypeError):
            is_right = False
        if not is_right:
            raise _damaged(path, f"the faces of {cropped(name)} are not rows of four numbers x y w h")
        # a negative size is no damage: the official file has one, and that face even counts in hard
        faces.append(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1))
    return names, faces


def read_kept(path: Path, names: Sequence[str], faces: Sequence[Faces]) -> tuple[FaceMask, ...]:
    """Which of `faces` a setting keeps, from its file; `names` and `faces` come from the file of all faces.

    Raises UserError naming the file and what is wrong.
    """
    variables = _read_variables(path, ("event_list", "file_list", "gt_list"))
    if _read_names(path, variables) != names:
        raise _damaged(path, "its images are not those of the file of all faces beside it")
    kept = []
    for name, boxes, cell in zip(names, faces, _cells(path, variables, "gt_list"), strict=True):
        numbers = np.asarray(cell).ravel()
        is_kept = np.zeros(len(boxes), dtype=bool)
        if numbers.size > 0:
            is_right = numbers.dtype.kind in "iuf" and bool(
                ((numbers >= 1) & (numbers <= len(boxes)) & (numbers == np.floor(numbers))).all()
            )
            if not is_right or len(np.unique(numbers)) < len(numbers):
                raise _damaged(
                    path, f"the kept faces of {cropped(name)} are not different numbers 1..{len(boxes)}"
                )
            is_kept[numbers.astype(int) - 1] = True
        kept.append(is_kept)
    return tuple(kept)


def _read_variables(path: Path, wanted: Sequence[str]) -> dict[str, Any]:
    try:
        variables = read_mat(path.read_bytes(), wanted)
    except OSError as error:
        raise UserError(f"cannot read the ground truth {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise _damaged(path, f"it is no readable .mat file ({error})") from error
    for variable in wanted:
        if variable not in variables:
            raise _damaged(path, f"it has no variable {variable}")
    return variables


def _read_names(path: Path, variables: Mapping[str, Any]) -> list[str]:
    try:
        parts = [
            (event, file)
            for event, files in zip(variables["event_list"].flat, variables["file_list"].flat, strict=True)
            for file in files.flat
        ]
        names = ["/".join(part) for part in parts]
    except (ValueError, AttributeError, TypeError) as error:
        raise _damaged(path, f"event_list and file_list are no lists of names ({error})") from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _damaged(path, f"it lists the image {cropped(twice[0])} twice")
    return names


def _cells(path: Path, variables: Mapping[str, Any], variable: str) -> list[Any]:
    try:
        events = [list(event.flat) for event in variables[variable].flat]
        if [len(event) for event in events] == [event.size for event in variables["file_list"].flat]:
            return [cell for event in events for cell in event]
    except AttributeError as error:
        raise _damaged(path, f"{variable} is no list of lists ({error})") from error
    raise _damaged(path, f"{variable} has other numbers of images than file_list")


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"the ground truth {path} is damaged or of another kind: {what}; get it again")
