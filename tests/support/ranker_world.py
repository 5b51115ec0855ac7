"""A small data set with stored candidates, for the tests of the stages that use them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.blocks.commit import ComputedRow, compute_block
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import plan_blocks
from pipeline.blocks.store import CandidateStore
from pipeline.config.sections import TrainConfig
from pipeline.dataset.index import Index, update_index
from pipeline.workspace.layout import CandidateKey, Workspace

BLOCK_IMAGES = 4


class World:
    """Images with two faces each, their index, and candidates of a detector that does not exist."""

    def __init__(
        self, root: Path, num_images: int = 6, split: str = "train", size: tuple[int, int] = (40, 56)
    ) -> None:
        self.split, self.size = split, size
        self.data = root / "data"
        self.workspace = Workspace(root / "run")
        self.images = self.data / f"WIDER_{split}" / "images" / "event"
        self.images.mkdir(parents=True)
        (self.data / "wider_face_split").mkdir()
        self.num_images = 0
        self.add_images(num_images)

    def add_images(self, count: int) -> None:
        """Draw more images and list them, each with two faces."""
        for _ in range(count):
            self.draw(self.num_images, seed=self.num_images)
            self.num_images += 1
        lines = [
            line
            for i in range(self.num_images)
            for line in (f"event/{i}.png", "2", "4 4 12 12 0 0 0 0 0 0", "30 20 8 10 0 0 0 0 0 0")
        ]
        annotations = self.data / "wider_face_split" / f"wider_face_{self.split}_bbx_gt.txt"
        annotations.write_text("\n".join(lines) + "\n")

    def draw(self, number: int, seed: int) -> None:
        """Write one image's file, other pixels for another seed."""
        pixels = np.random.default_rng(seed).integers(0, 255, (*self.size, 3), dtype=np.uint8)
        assert cv2.imwrite(str(self.images / f"{number}.png"), pixels)

    def index(self) -> Index:
        """Bring the index up to date."""
        return update_index(self.workspace, self.data, self.split).index

    def key(self, detector: str = "pretended") -> CandidateKey:
        """Name the candidates of a detector."""
        return CandidateKey(self.split, detector, "single", f"{len(detector):016x}")

    def cache(self, detector: str = "pretended", empty_rows: Iterable[int] = ()) -> CandidateKey:
        """Store candidates where there are none, as the cache stage does; none for `empty_rows`."""
        key, index = self.key(detector), self.index()
        path = self.workspace.candidates(key)
        ledger = Ledger(self.workspace.candidates_ledger(key))
        store = CandidateStore.create_or_grow(path, len(index), BLOCK_IMAGES, {})
        empty = set(empty_rows)

        def compute(rows: list[int]) -> list[ComputedRow]:
            digests = index.row_digests
            return [
                ComputedRow(row, None if row in empty else candidates(row, len(detector)), digests[row])
                for row in rows
            ]

        for block in plan_blocks(
            index.row_digests, ledger.read(), store.shard_bytes(), BLOCK_IMAGES, store.num_images
        ):
            compute_block(store, ledger, block, compute, "cpu")
        return key


def candidates(row: int, seed: int = 0) -> np.ndarray:
    """Boxes near the two faces and elsewhere, sorted by confidence."""
    random = np.random.default_rng([row, seed])
    corners = random.uniform(0, [44, 28], (20, 2))
    corners[:8] = np.array([[4, 4]] * 4 + [[30, 20]] * 4) + random.normal(0, 1.5, (8, 2))
    confidences = np.sort(random.uniform(0.01, 0.99, (20, 1)), axis=0)[::-1]
    return np.concatenate([corners, corners + 11, confidences], axis=1).astype(np.float32)


def small_config(**changes: Any) -> TrainConfig:
    """A training of a second."""
    values: dict[str, Any] = {
        "num_candidates": 16, "image_side_px": 64, "num_pairs": 3, "batch_size": 2, "iterations": 6,
        "checkpoint_every": 2, "learning_rate": 1e-3, "final_learning_rate": 1e-5, "gate": False,
        "validation_share": 0.0,
    }  # fmt: skip
    return TrainConfig.model_validate(values | changes)
