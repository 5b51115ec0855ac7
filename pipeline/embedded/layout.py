"""WIDER FACE's layout: where images lie, the label text with its quirks, and the `.mat` files.

A face counts in a setting under these conditions, each of which includes the one before:

- hard: at least 10 px high, not flagged invalid;
- medium: hard, at least 30 px high, and not both heavily covered and heavily blurred;
- easy: medium, at least 50 px high, and neither heavily covered nor heavily blurred.

WIDER FACE's own settings reflect how well a proposal method found the faces; the lowest faces they keep are 9, 16
and 34 px high, and nearly all are above 10, 30 and 50.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import scipy.io
from jaxtyping import Shaped

from pipeline.embedded.events import event_folder, event_of, image_name
from pipeline.embedded.labels import Face
from pipeline.workspace.writing import write_atomically

Cells = Shaped[np.ndarray, "cell 1"]
"""A MATLAB cell column: an object array whose entries are arrays."""

_ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
_BOX = ("x", "y", "w", "h")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture of a split, by its number, with its labels."""

    number: int
    faces: Sequence[Face]
    split: str = "train"

    @property
    def event(self) -> int:
        """The number of the picture's event."""
        return event_of(self.number, self.split)

    @property
    def name(self) -> str:
        """The picture's file name."""
        return image_name(self.number, self.split)


def is_hard(face: Face) -> bool:
    """Whether a face counts in the hard setting."""
    return face.h >= 10 and face.w > 0 and not face.invalid


def is_medium(face: Face) -> bool:
    """Whether a face counts in the medium setting."""
    return is_hard(face) and face.h >= 30 and not (face.occlusion == 2 and face.blur == 2)


def is_easy(face: Face) -> bool:
    """Whether a face counts in the easy setting."""
    return is_medium(face) and face.h >= 50 and face.occlusion < 2 and face.blur < 2


SETTINGS: dict[str, Callable[[Face], bool]] = {"easy": is_easy, "medium": is_medium, "hard": is_hard}
"""The condition of each setting, the strictest first; each implies the next."""


def image_path(split: str, number: int) -> Path:
    """The path of a picture, relative to the data set's root."""
    return Path(f"WIDER_{split}", "images", event_folder(event_of(number, split)), image_name(number, split))


def write_labels(root: Path, split: str, pictures: Iterable[Labelled]) -> None:
    """Write the label text and `.mat` file of a split, and for val also the settings' ground truth."""
    ordered = sorted(pictures, key=lambda picture: (picture.event, picture.number))
    folder = root / "wider_face_split"
    write_atomically(folder / f"wider_face_{split}_bbx_gt.txt", label_text(ordered).encode())
    everything = label_cells(ordered)
    write_atomically(folder / f"wider_face_{split}.mat", _mat(everything))
    if split == "val":
        truth = root / "ground_truth"
        write_atomically(truth / "wider_face_val.mat", _mat(everything))
        for setting, holds in SETTINGS.items():
            write_atomically(
                truth / f"wider_{setting}_val.mat", _mat(everything | {"gt_list": _kept(ordered, holds)})
            )


def label_text(pictures: Sequence[Labelled]) -> str:
    """The label text: name, number of faces, and one line per face; a line of zeros if there is none."""
    lines = []
    for picture in pictures:
        lines += [
            f"{event_folder(picture.event)}/{picture.name}",
            str(len(picture.faces)),
        ]
        lines += [" ".join(map(str, astuple(face))) + " " for face in picture.faces or [_NO_FACE]]
    return "\n".join(lines) + "\n"


def label_cells(pictures: Sequence[Labelled]) -> dict[str, Cells]:
    """The variables of `wider_face_<split>.mat`: a cell per event, each with a cell per picture."""
    names = [[np.array([Path(p.name).stem]) for p in group] for group in _by_event(pictures)]
    variables = {"file_list": _cells(map(_cells, names))}
    variables["event_list"] = _cells(
        np.array([event_folder(group[0].event)]) for group in _by_event(pictures)
    )
    variables["face_bbx_list"] = _table(pictures, _BOX, np.int32)
    for attribute in _ATTRIBUTES:
        variables[f"{attribute}_label_list"] = _table(pictures, (attribute,), np.uint8)
    return variables


_NO_FACE = Face(0, 0, 0, 0)  # the official files' entry for a picture without faces


def _by_event(pictures: Sequence[Labelled]) -> list[list[Labelled]]:
    groups: dict[int, list[Labelled]] = {}
    for picture in pictures:
        groups.setdefault(picture.event, []).append(picture)
    return list(groups.values())


def _table(pictures: Sequence[Labelled], columns: Sequence[str], dtype: type[np.generic]) -> Cells:
    def rows(picture: Labelled) -> np.ndarray:
        return np.array(
            [[getattr(face, name) for name in columns] for face in picture.faces or [_NO_FACE]], dtype
        )

    return _cells(_cells(map(rows, group)) for group in _by_event(pictures))


def _kept(pictures: Sequence[Labelled], holds: Callable[[Face], bool]) -> Cells:
    def numbers(picture: Labelled) -> np.ndarray:
        kept = [index for index, face in enumerate(picture.faces, start=1) if holds(face)]
        # as in the official files: the smallest type that holds them, and 0 x 0 if there is no face at all
        dtype = np.uint8 if max(kept, default=0) < 256 else np.uint16
        return np.array(kept, dtype).reshape((len(kept), 1) if picture.faces else (0, 0))

    return _cells(_cells(map(numbers, group)) for group in _by_event(pictures))


def _cells(values: Iterable[np.ndarray]) -> Cells:
    listed = list(values)
    cells = np.empty((len(listed), 1), object)
    for index, value in enumerate(listed):
        cells[index, 0] = value
    return cells


def _mat(variables: dict[str, Cells]) -> bytes:
    file = io.BytesIO()
    # SciPy writes to any binary file, but its stubs allow only names
    scipy.io.savemat(file, dict(sorted(variables.items())), do_compression=True)  # type: ignore[arg-type]
    # the header contains the time of writing, but the same data must make the same bytes
    return b"MATLAB 5.0 MAT-file, embedded data set".ljust(116) + file.getvalue()[116:]
