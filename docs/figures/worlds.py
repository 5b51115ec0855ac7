"""Draw the pictures of docs/embedded.md.

Run from the repository root: `python docs/figures/worlds.py`. It writes docs/images/worlds.jpg, one picture of the
embedded data set in every world, and docs/images/eight-k.jpg, natively large pictures with their labels.
"""

from pathlib import Path

import cv2
import numpy as np

from pipeline.config.sections import DatasetConfig
from pipeline.embedded.compose import Picture, compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.embedded.eight_k import compose_eight_k
from pipeline.embedded.worlds import WORLDS

IMAGES = Path(__file__).parents[1] / "images"
CELL = (330, 220)


def cell(picture: Picture, title: str, is_labelled: bool) -> np.ndarray:
    """Scale a picture as its file shows it into a cell of the sheet, with a title."""
    image = cv2.imdecode(np.frombuffer(encode_jpeg(picture.degraded), np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    for face in picture.faces if is_labelled else ():
        box = (face.x, face.y, face.w, face.h)
        cv2.rectangle(image, box, (0, 230, 255), max(1, width // 400))
    scale = min(CELL[0] / width, CELL[1] / height)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    sheet = np.full((CELL[1], CELL[0], 3), 255, np.uint8)
    sheet[: small.shape[0], : small.shape[1]] = small
    cv2.putText(sheet, title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.putText(sheet, title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA)
    return sheet


def save(name: str, cells: list[np.ndarray], columns: int) -> None:
    """Write a sheet of cells."""
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    cv2.imwrite(str(IMAGES / name), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    sheet = []
    for world in WORLDS:
        for number in (0, 1, 8):
            title = world if number == 0 else ""
            sheet.append(cell(compose(DatasetConfig(world=world), "val", number), title, is_labelled=False))
    save("worlds.jpg", sheet, 3)
    large = DatasetConfig().model_copy(update={"long_side_px": 7680})
    save("eight-k.jpg", [cell(compose_eight_k(large, "8k", n), "", is_labelled=True) for n in range(6)], 3)
