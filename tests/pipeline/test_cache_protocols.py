"""Candidates under a protocol: each view is forwarded once and kept, and fusing them anew forwards nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fake_detector import expected

from crface import ranker
from detectors.protocols import Fusion, fuse, named
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.cache.fuse import FuseSpec, fuse_block
from pipeline.cache.plan import CachePlan, CacheSpec, plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import Index, update_index
from pipeline.images.decode import read_image
from pipeline.rank.plan import plan_rank
from pipeline.rank.work import finish_rank, prepare_rank, rank_block
from pipeline.workspace.layout import Workspace

DETECTOR = "fake_detector:ENTRY"
TWO_VIEWS = """
[[views]]
side = "height"
px = [8]
also_mirrored = true

[fusion]
method = "{method}"
min_confidence = 0.1
"""


class Job:
    """Six images of 4 x 4 pixels in two blocks, and a protocol of twice their size, also mirrored."""

    def __init__(self, root: Path) -> None:
        self.photos = root / "photos"
        self.photos.mkdir()
        self.workspace = Workspace(root / "run")
        self.log = root / "log"
        self.protocol = root / "twice.toml"
        self.fuse_by("box voting")
        for number in range(6):
            self.draw(number, red=number + 2)

    def fuse_by(self, method: str) -> None:
        self.protocol.write_text(TWO_VIEWS.format(method=method))

    def draw(self, number: int, red: int) -> Path:
        path = self.photos / f"{number}.png"
        pixels = np.full((4, 4, 3), (0, 0, red), np.uint8)
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        return path

    def index(self) -> Index:
        return update_index(self.workspace, self.photos, "images").index

    def plan(self, protocol: str = "", detector: str = DETECTOR, block_images: int = 4) -> CachePlan:
        config = CacheConfig(protocol=protocol or str(self.protocol), block_images=block_images)
        return plan_cache(self.workspace, self.index(), detector, config)

    def run(self, protocol: str = "") -> list[str]:
        """Do what the command does, without a cluster; give what it has to say of images."""
        self.log.unlink(missing_ok=True)
        return [error for part in parts(self.plan(protocol)) for error in done(part)]

    @property
    def num_forwarded(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def store(self, plan: CachePlan) -> CandidateStore:
        return CandidateStore.open(self.workspace.candidates(plan.key))


def parts(plan: CachePlan) -> list[CachePlan]:
    return [*plan.views, plan]


def done(plan: CachePlan) -> list[str]:
    prepare_cache(plan)
    errors: list[str] = []
    for block in plan.blocks:
        if isinstance(plan.spec, FuseSpec):
            errors += fuse_block(plan.spec, block).errors
        else:
            errors += cache_block(plan.spec, block).errors
    finish_cache(plan)
    return errors


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job(tmp_path)
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(job.log))
    return job


def fused(red: int, method: str = "box voting") -> np.ndarray:
    """Give what is fused of an image by hand: at twice the size, the detector finds the same, which is half here."""
    plain = expected(red) * np.array([0.5, 0.5, 0.5, 0.5, 1], np.float32)
    mirrored = plain.copy()
    mirrored[:, [0, 2]] = 4 - plain[:, [2, 0]]
    return fuse([plain, mirrored], Fusion(method=method, min_confidence=0.1))  # type: ignore[arg-type]


def test_each_view_is_kept_and_what_they_fuse_to_is_one_more_store(job: Job) -> None:
    assert job.run() == []
    assert job.num_forwarded == 12
    plan = job.plan()
    assert [view.key.protocol for view in plan.views] == ["height-8", "height-8-mirrored"]
    assert plan.key.protocol == "twice"
    assert plan.input_size == "height 8, also mirrored, box voting 0.4 above 0.1"
    for row in range(6):
        np.testing.assert_allclose(job.store(plan).read(row), fused(row + 2), atol=1e-5)
        plain, mirrored = (job.store(view).read(row) for view in plan.views)
        np.testing.assert_array_equal(plain[:, 4], expected(row + 2)[:, 4])
        np.testing.assert_allclose(plain[:, 2], 4 - mirrored[:, 0], atol=1e-5)


def test_a_second_run_does_nothing(job: Job) -> None:
    job.run()
    assert job.run() == []
    assert job.num_forwarded == 0
    assert [part.blocks for part in parts(job.plan())] == [[], [], []]


def test_another_fusion_forwards_nothing(job: Job) -> None:
    job.run()
    voted = job.plan().key
    job.fuse_by("nms")
    assert job.plan().key.fingerprint != voted.fingerprint
    job.run()
    assert job.num_forwarded == 0
    np.testing.assert_allclose(job.store(job.plan()).read(3), fused(5, "nms"), atol=1e-5)


def test_protocols_share_the_views_that_they_have_in_common(job: Job) -> None:
    multi, alone = job.plan("8k-multi"), job.plan("8k")
    assert multi.views[0].key == alone.key
    assert [view.key.protocol for view in multi.views][:3] == ["8k", "long-7680-mirrored", "long-5760"]
    job.run("height-8")
    job.run()
    assert job.num_forwarded == 6  # the mirrored view


def test_a_protocol_of_one_view_is_forwarded_as_it_says(job: Job) -> None:
    job.run("height-8")
    plan = job.plan("height-8")
    assert plan.views == ()
    assert isinstance(plan.spec, CacheSpec)
    np.testing.assert_allclose(
        job.store(plan).read(1), expected(3) * np.array([0.5, 0.5, 0.5, 0.5, 1], np.float32)
    )


def test_what_decides_the_bytes_decides_the_fingerprint_and_the_name_of_a_file_does_not(job: Job) -> None:
    names = ["single", "height-8", "height-8-mirrored", "height-8-max-6", "original-mirrored", "8k"]
    fingerprints = {job.plan(name).key.fingerprint for name in names} | {job.plan().key.fingerprint}
    assert len(fingerprints) == len(names) + 1
    other = job.protocol.with_name("same.toml")
    other.write_text(job.protocol.read_text())
    assert job.plan(str(other)).key.fingerprint == job.plan().key.fingerprint
    assert job.plan("single").parts["protocol"] == "single"
    assert "resizing" not in job.plan("single").parts
    assert "resizing" in job.plan("height-8").parts


def test_a_changed_image_is_forwarded_and_fused_again_alone(job: Job) -> None:
    job.run()
    job.draw(1, red=9)
    assert [part.reasons for part in parts(job.plan())] == [["1 image changed"]] * 3
    job.run()
    assert job.num_forwarded == 2
    np.testing.assert_allclose(job.store(job.plan()).read(1), fused(9), atol=1e-5)
    np.testing.assert_allclose(job.store(job.plan()).read(0), fused(2), atol=1e-5)


def test_an_image_that_cannot_be_read_is_named_under_each_view_and_stops_nothing(job: Job) -> None:
    path = job.photos / "2.png"
    damaged = path.read_bytes()[:40]
    path.write_bytes(damaged)
    errors = job.run()
    assert [error.split(":")[0] for error in errors] == ["2.png"] * 3
    plan = job.plan()
    with pytest.raises(ImageUnreadable):
        job.store(plan).read(2)
    assert [part.blocks for part in parts(plan)] == [[], [], []]
    np.testing.assert_allclose(job.store(plan).read(3), fused(5), atol=1e-5)


def test_an_image_that_a_view_lacks_is_left_out_until_the_view_has_it(job: Job) -> None:
    plan = job.plan()
    done(plan.views[0])
    prepare_cache(plan.views[1])
    cache_block(plan.views[1].spec, plan.views[1].blocks[0])  # type: ignore[arg-type]
    errors = done(plan)
    assert errors == [f"{row}.png: no candidates yet under height-8-mirrored" for row in (4, 5)]
    assert job.plan().reasons == ["2 images changed"]
    assert job.run() == []
    np.testing.assert_allclose(job.store(job.plan()).read(5), fused(7), atol=1e-5)


def test_views_may_be_stored_in_blocks_of_another_size(job: Job) -> None:
    done(job.plan("height-8", block_images=5))
    assert job.run() == []
    for row in range(6):
        np.testing.assert_allclose(job.store(job.plan()).read(row), fused(row + 2), atol=1e-5)


def test_a_detector_s_limit_is_filed_under_a_name_of_its_own(job: Job) -> None:
    config = CacheConfig(protocol="8k", max_side_px={DETECTOR: 16})
    plan = plan_cache(job.workspace, job.index(), DETECTOR, config)
    assert plan.key.protocol == "8k-max-16"
    assert plan.input_size == "long side 16"
    assert "6 of 6 images are shown smaller" in plan.note
    assert plan.parts["protocol"] == "long-16"
    assert named("8k").views[0].size(4, 4) == (7680, 7680)


def test_candidates_found_at_8k_are_ranked_with_the_image_at_its_own_size(job: Job, tmp_path: Path) -> None:
    for photo in job.photos.iterdir():
        photo.unlink()
    wide = np.full((2, 16, 3), (0, 0, 7), np.uint8)
    (job.photos / "wide.png").write_bytes(cv2.imencode(".png", wide)[1].tobytes())
    assert job.run("8k") == []
    cached = job.plan("8k")
    candidates = job.store(cached).read(0)
    np.testing.assert_allclose(candidates[:, :4], expected(7)[:, :4] * 16 / 7680, rtol=1e-5)

    torch.manual_seed(0)
    ranker.save(ranker.create("small", 16, 64), tmp_path / "ranker.safetensors")
    plan = plan_rank(job.workspace, job.index(), cached.key, tmp_path / "ranker.safetensors", 4, above=0.02)
    prepare_rank(plan)
    assert [rank_block(plan.spec, block).errors for block in plan.blocks] == [()]
    finish_rank(plan)
    model = ranker.load(tmp_path / "ranker.safetensors")
    stored = ScoreStore.open(job.workspace.scores(cached.key, plan.spec.ranker)).read(0)
    np.testing.assert_array_equal(stored, model.refine(read_image(job.photos / "wide.png"), candidates))
