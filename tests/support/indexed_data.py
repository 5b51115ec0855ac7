"""A small data set whose files a test changes, and its index as stored."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.dataset.index import Index, IndexUpdate, load_index, update_index
from pipeline.workspace.layout import Workspace


class DataSet:
    """A small data set in WIDER FACE's layout, whose files a test may change."""

    def __init__(self, root: Path, split: str = "val"):
        self.root, self.split = root, split
        self.folder = root / f"WIDER_{split}" / "images"
        self.text = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        self.records: dict[str, list[str]] = {}
        self.text.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, *rows: str, seed: int = 0, size: tuple[int, int] = (24, 32)) -> "DataSet":
        self.draw(name, seed, size)
        return self.list(name, *rows)

    def draw(self, name: str, seed: int = 0, size: tuple[int, int] = (24, 32)) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)

    def list(self, name: str, *rows: str) -> "DataSet":
        self.records[name] = list(rows)
        lines = (line for name, faces in self.records.items() for line in (name, str(len(faces)), *faces))
        self.text.write_text("\n".join(lines) + "\n")
        return self


def three_images(root: Path) -> DataSet:
    """Give a data set with three images, one of them without faces."""
    data = DataSet(root)
    data.add("b/1.jpg", "1 2 3 4 0 0 0 0 0 0", "5 5 0 2 1 0 0 0 0 0", seed=1)
    data.add("a/2.jpg", seed=2, size=(10, 20))
    return data.add("a/3.jpg", "1 1 9 9 2 1 1 1 2 1", seed=3)


def updated(workspace: Workspace, data: DataSet) -> IndexUpdate:
    """Update the index; what is stored is what was returned."""
    update = update_index(workspace, data.root, data.split)
    stored = load_index(workspace, data.split)
    assert (stored.digest, stored.labels_digest) == (update.index.digest, update.index.labels_digest)
    assert facts(stored) == facts(update.index)
    return update


def facts(index: Index) -> list[tuple[object, ...]]:
    """Give all that an index says of each row."""
    return [
        (
            *(r.row, r.path, r.width, r.height, r.sha256, r.size_bytes, r.mtime_ns, r.status, r.reason),
            *(r.faces.tolist(), r.is_valid.tolist(), r.attributes.tolist()),
        )
        for r in index.rows(0, len(index))
    ]


def counts(update: IndexUpdate) -> tuple[int, int, int, int]:
    """Give how many rows were added, changed, relabelled and removed."""
    return update.added, update.changed, update.relabelled, update.removed
