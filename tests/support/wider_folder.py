"""A small data set in WIDER FACE's layout, with or without official `.mat` files, as tests want it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import scipy.io

Box = tuple[int, int, int, int]
"""x y w h."""


@dataclass
class Picture:
    event: str
    stem: str
    faces: Sequence[Box] = ()
    kept: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Numbers of faces, from 1, a setting; absent: none."""
    invalid: Sequence[int] = ()
    """Numbers of faces that are flagged invalid."""
    ending: str = ".jpg"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width: 24 x 32, more where the faces reach further."""
        reach = [(y + h, x + w) for x, y, w, h in self.faces]
        return max(24, *(height for height, _ in reach), 0), max(32, *(width for _, width in reach), 0)

    @property
    def path(self) -> str:
        return f"{self.event}/{self.stem}{self.ending}"


def write_data_set(root: Path, pictures: Sequence[Picture], split: str = "val") -> Path:
    """Images and annotation text; no `.mat` files."""
    lines = []
    for number, picture in enumerate(pictures):
        path = root / f"WIDER_{split}" / "images" / picture.path
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (*picture.size, 3), dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)
        lines += [picture.path, str(len(picture.faces))]
        for face, box in enumerate(picture.faces, start=1):
            lines.append(" ".join(map(str, (*box, 0, 0, 0, int(face in picture.invalid), 0, 0))))
    text = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text("\n".join(lines) + "\n")
    return root


def mat_variables(pictures: Sequence[Picture], setting: str | None = None) -> dict[str, np.ndarray]:
    """The variables of the file of all faces, or of a setting's file, as MATLAB cells of cells."""
    events = list(dict.fromkeys(picture.event for picture in pictures))
    groups = [[picture for picture in pictures if picture.event == event] for event in events]
    variables = {
        "event_list": cells([np.array([event]) for event in events]),
        "file_list": cells([cells([np.array([p.stem]) for p in group]) for group in groups]),
        "face_bbx_list": cells(
            [cells([np.array(p.faces, np.int32).reshape(-1, 4) for p in group]) for group in groups]
        ),
    }
    if setting is not None:
        numbers = [
            [np.array(p.kept.get(setting, ()), np.uint8).reshape(-1, 1) for p in group] for group in groups
        ]
        variables["gt_list"] = cells([cells(group) for group in numbers])
    return variables


def write_mats(folder: Path, pictures: Sequence[Picture], split: str = "val") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, setting in (("face", None), ("easy", "easy"), ("medium", "medium"), ("hard", "hard")):
        scipy.io.savemat(
            str(folder / f"wider_{part}_{split}.mat"), mat_variables(pictures, setting), do_compression=True
        )
    return folder


def cells(values: Sequence[np.ndarray]) -> np.ndarray:
    column = np.empty((len(values), 1), dtype=object)
    for number, value in enumerate(values):
        column[number, 0] = value
    return column
