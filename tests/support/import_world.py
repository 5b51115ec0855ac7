"""Four small pictures, and what a detector that ran elsewhere found in them, as text and as COCO results."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from click.testing import Result
from imported_folder import Folder
from wider_folder import Picture

PICTURES = [
    Picture("0--Parade", "a.b", faces=[(2, 3, 10, 11), (18, 9, 9, 12)]),
    Picture("0--Parade", "none"),
    Picture("1--Handshaking", "c", faces=[(6, 4, 14, 12)]),
    Picture("1--Handshaking", "d", faces=[(0, 0, 12, 12), (14, 10, 10, 10)]),
]
"""Of 32 x 24 pixels each."""

Boxes = Mapping[str, list[tuple[float, float, float, float, float]]]
"""Rows x y w h score by path."""

BOXES: Boxes = {
    "0--Parade/a.b.jpg": [(3, 3, 10, 11, 0.4), (18, 9, 9, 12, 0.9), (1, 12, 8, 8, 0.6)],
    "0--Parade/none.jpg": [],
    "1--Handshaking/c.jpg": [(6.5, 4.25, 14, 12, 0.75), (20, 1, 9, 9, 0.8)],
    "1--Handshaking/d.jpg": [(14, 10, 10, 10, 0.03), (1, 0, 12, 12, 0.01)],
}


def write_texts(folder: Path, boxes: Boxes = BOXES) -> Path:
    for path, rows in boxes.items():
        file = folder / Path(path).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [file.stem, str(len(rows)), *(" ".join(f"{value:.9g}" for value in row) for row in rows)]
        file.write_text("".join(f"{line}\n" for line in lines))
    return folder


def write_coco(folder: Path, boxes: Boxes = BOXES) -> tuple[Path, Path]:
    names = list(boxes)
    images = {"images": [{"id": 7 + i, "file_name": name, "width": 32} for i, name in enumerate(names)]}
    found = [
        {"image_id": 7 + i, "category_id": 1, "bbox": row[:4], "score": row[4]}
        for i, name in enumerate(names)
        for row in boxes[name]
    ]
    (folder / "images.json").write_text(json.dumps(images))
    (folder / "found.json").write_text(json.dumps(found))
    return folder / "found.json", folder / "images.json"


def expected(path: str) -> np.ndarray:
    rows = np.array(sorted(BOXES[path], key=lambda row: -row[4]), np.float32).reshape(-1, 5)
    rows[:, 2:4] += rows[:, :2]
    return rows


def coco_import(folder: Folder, items: object, images: object = None, *options: str) -> Result:
    (folder.root / "found.json").write_text(json.dumps(items))
    if images is not None:
        (folder.root / "images.json").write_text(json.dumps(images))
        options = ("--images", str(folder.root / "images.json"), *options)
    return folder.imports(folder.root / "found.json", "--allow-missing", *options)


def item(image_id: object, **more: object) -> dict[str, object]:
    return {"image_id": image_id, "bbox": [1, 2, 9, 9], "score": 0.5, **more}
