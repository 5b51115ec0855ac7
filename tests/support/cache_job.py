"""A cache job on tiny images that the fake detector answers for, and what it stored."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.blocks.commit import BlockReport
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.store import CandidateStore
from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import Index, update_index
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place

DETECTOR = "fake_detector:ENTRY"


class Job:
    """A plain folder of tiny images, whose first pixel tells the fake detector what to find, and a workspace."""

    def __init__(self, root: Path):
        self.photos = root / "photos"
        self.workspace = Workspace(root / "run")
        self.log = root / "log"
        self.photos.mkdir()

    def draw(self, number: int, red: int, green: int = 0, blue: int = 0) -> Path:
        path = self.photos / f"{number:03d}.png"
        pixels = np.full((4, 4, 3), (blue, green, red), np.uint8)
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        return path

    def draw_many(self, num: int, green: int = 0) -> None:
        """Draw images 0 to `num` - 1, image i with i + 1 candidates."""
        for number in range(num):
            self.draw(number, red=number + 1, green=green)

    def index(self) -> Index:
        return update_index(self.workspace, self.photos, "images").index

    def plan(self, detector: str = DETECTOR, block_images: int = 4) -> CachePlan:
        return plan_cache(self.workspace, self.index(), detector, CacheConfig(block_images=block_images))

    def run(self, detector: str = DETECTOR, block_images: int = 4) -> tuple[CachePlan, list[BlockReport]]:
        """What was planned and done, as by the command but without a cluster."""
        self.log.unlink(missing_ok=True)
        plan = self.plan(detector, block_images)
        prepare_cache(plan)
        reports = [cache_block(plan.spec, block) for block in plan.blocks]
        finish_cache(plan)
        return plan, reports

    @property
    def forwarded(self) -> list[int]:
        """The red of every image that the detector saw in the last run."""
        return (
            [int(line.split()[0]) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        )

    @property
    def store(self) -> CandidateStore:
        return CandidateStore.open(self.workspace.candidates(self.plan().key))

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.workspace.candidates_ledger(self.plan().key))

    def stored_files(self) -> dict[str, bytes]:
        """The bytes of every file below `candidates.zarr`, by relative path."""
        store = self.workspace.root / "candidates.zarr"
        return {
            str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()
        }

    def undisturbed(self, folder: Path, block_images: int = 4) -> dict[str, bytes]:
        """The stored files that one run without trouble makes of the same images, in a workspace below `folder`."""
        folder.mkdir()
        other = Job(folder)
        other.photos, other.workspace = self.photos, Workspace(folder / "run")
        other.run(block_images=block_images)
        return other.stored_files()


def compute(photos: Path, root: Place) -> None:
    """Do what `crface cache` does, in blocks of two images."""
    workspace = Workspace(root)
    index = update_index(workspace, photos, "images").index
    plan = plan_cache(workspace, index, DETECTOR, CacheConfig(block_images=2))
    prepare_cache(plan)
    for block in plan.blocks:
        cache_block(plan.spec, block)
    finish_cache(plan)
