"""A tiny embedded data set, and its folder as a stranger would read it."""

import hashlib
from pathlib import Path

from pipeline.config.sections import DatasetConfig

TINY = DatasetConfig(seed=3, train_images=6, val_images=4, long_side_px=96)


def read_labels(root: Path, split: str) -> dict[str, list[list[int]]]:
    """Read the label text as a stranger would: name, count, then as many lines, but one line for a count of 0."""
    lines = iter((root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt").read_text().splitlines())
    labels = {}
    for name in lines:
        count = int(next(lines))
        rows = [[int(number) for number in next(lines).split()] for _ in range(max(1, count))]
        assert all(len(row) == 10 for row in rows)
        if count == 0:
            assert rows == [[0] * 10]
        labels[name] = rows if count else []
    return labels


def tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
