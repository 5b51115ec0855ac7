"""The cache stage computes what is missing and nothing else, and no interruption makes it believe otherwise."""

import errno
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cache_job import DETECTOR, Job
from fake_detector import RAISE, UNSORTED, expected

from pipeline.blocks import decoding
from pipeline.blocks.commit import ComputedRow
from pipeline.blocks.decoding import DecodedImage, decoded_images
from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.plan import Block
from pipeline.blocks.store import ImageUnreadable
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.errors import UsageError, UserError
from pipeline.workspace.layout import Workspace


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job(tmp_path)
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(job.log))
    for number in range(10):
        job.draw(number, red=number)
    return job


def test_every_image_gets_its_detectors_candidates(job: Job) -> None:
    plan, reports = job.run()
    assert plan.reasons == ["10 images not computed yet"]
    assert [(report.block, report.num_images, report.errors) for report in reports] == [
        (0, 4, ()),
        (1, 4, ()),
        (2, 2, ()),
    ]
    assert job.store.counts().tolist() == list(range(10))
    for row in range(10):
        assert np.array_equal(job.store.read(row), expected(row))


def test_a_second_run_forwards_nothing(job: Job) -> None:
    job.run()
    plan, _ = job.run()
    assert (plan.blocks, plan.reasons, job.forwarded) == ([], [], [])


def test_an_image_without_candidates_is_done(job: Job) -> None:
    job.run()
    assert job.store.read(0).shape == (0, 5)
    assert job.ledger.read()[0].errors == ()
    assert job.plan().blocks == []


def test_planning_writes_nothing(job: Job) -> None:
    job.plan()
    assert sorted(path.name for path in job.workspace.root.iterdir()) == ["dataset"]


def test_another_version_of_a_detector_has_a_store_of_its_own(job: Job) -> None:
    old, _ = job.run()
    new = job.plan("fake_detector:NEWER")
    assert new.key.fingerprint != old.key.fingerprint
    assert new.reasons == ["10 images not computed yet"]


def test_the_fingerprint_knows_nothing_of_data_set_and_block_size(job: Job) -> None:
    old, _ = job.run()
    job.draw(10, red=3)
    assert job.plan(block_images=7).key == old.key
    assert job.plan(block_images=7).block_images == 4  # the store's


def test_added_images_are_computed_alone(job: Job) -> None:
    job.run()
    before = [file.read_bytes() for file in job.store.block_files(0)]
    for number in range(10, 14):
        job.draw(number, red=number)
    plan, reports = job.run()
    assert plan.reasons == ["4 images added"]
    assert job.forwarded == [10, 11, 12, 13]
    assert [report.num_images for report in reports] == [2, 2]
    assert job.store.counts().tolist() == list(range(14))
    assert np.array_equal(job.store.read(9), expected(9))
    assert [file.read_bytes() for file in job.store.block_files(0)] == before


def test_a_changed_image_is_computed_alone(job: Job) -> None:
    job.run()
    job.draw(5, red=50)
    plan, _ = job.run()
    assert plan.reasons == ["1 image changed"]
    assert job.forwarded == [50]
    assert job.store.counts().tolist() == [0, 1, 2, 3, 4, 50, 6, 7, 8, 9]
    assert np.array_equal(job.store.read(5), expected(50))
    assert job.plan().blocks == []


def test_images_that_cannot_be_read_are_named_and_stop_nothing(job: Job) -> None:
    damaged = job.draw(2, red=2)
    damaged.write_bytes(damaged.read_bytes()[:40])
    _, reports = job.run()
    (error,) = reports[0].errors
    assert error.startswith("002.png: ")
    assert job.store.counts().tolist() == [0, 1, -2, *range(3, 10)]
    assert job.ledger.read()[0].errors == (error,)
    with pytest.raises(ImageUnreadable):
        job.store.read(2)
    assert job.run()[0].blocks == []

    job.draw(2, red=22)
    plan, reports = job.run()
    assert plan.reasons == ["1 image changed"]
    assert reports[0].errors == ()
    assert job.forwarded == [22]


def test_an_image_changed_after_indexing_is_named_and_computed_by_the_next_run(job: Job) -> None:
    plan = job.plan()
    prepare_cache(plan)
    job.draw(1, red=11)
    report = cache_block(plan.spec, plan.blocks[0])
    assert report.errors == ("001.png: it changed since it was indexed; run the command again",)
    assert job.store.counts()[:4].tolist() == [0, -2, 2, 3]
    plan, _ = job.run()
    assert job.forwarded == [11, *range(4, 10)]
    assert np.array_equal(job.store.read(1), expected(11))


def test_an_image_that_vanished_after_indexing_is_computed_when_it_is_back(job: Job) -> None:
    plan = job.plan()
    prepare_cache(plan)
    (job.photos / "001.png").unlink()
    report = cache_block(plan.spec, plan.blocks[0])
    assert report.errors == ("001.png: there is no such file",)
    job.draw(1, red=1)
    job.run()
    assert job.forwarded == [1, *range(4, 10)]


def test_an_image_that_is_no_longer_listed_costs_nothing_nor_does_its_return(job: Job) -> None:
    job.run()
    path = job.photos / "003.png"
    content = path.read_bytes()
    path.unlink()
    job.draw(2, red=20)
    job.run()
    assert job.forwarded == [20]
    path.write_bytes(content)
    assert job.run()[0].blocks == []
    assert np.array_equal(job.store.read(3), expected(3))


def test_computing_a_block_twice_does_no_harm(job: Job) -> None:
    plan, _ = job.run()
    files = [file for number in range(3) for file in job.store.block_files(number)]
    before = [file.read_bytes() for file in files]
    for block in plan.blocks:
        cache_block(plan.spec, block)
    assert [file.read_bytes() for file in files] == before
    assert job.plan().blocks == []


def test_a_shard_without_its_ledger_row_is_computed_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_before_commit(job, monkeypatch, replaced_too=False)
    assert job.plan().reasons == ["10 images not computed yet"]


def test_a_block_killed_while_it_is_replaced_is_computed_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.run()
    path = job.draw(1, red=1, blue=9)  # as many candidates as before, so that sizes tell nothing
    killed_before_commit(job, monkeypatch, replaced_too=True)
    job.draw(1, red=1)
    os.utime(path)
    assert job.plan().reasons == ["4 images left unfinished"]
    job.run()
    assert np.array_equal(job.store.read(1), expected(1))
    assert job.plan().blocks == []


def test_what_a_worker_killed_in_the_run_left_half_written_is_gone_after_it(job: Job) -> None:
    plan = job.plan()
    prepare_cache(plan)
    for block in plan.blocks:
        cache_block(plan.spec, block)
    leftovers = [file.with_name(f".{file.name}.x1y2") for file in job.store.block_files(1)]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    finish_cache(plan)
    assert not any(leftover.exists() for leftover in leftovers)
    assert np.array_equal(job.store.read(4), expected(4))


def killed_before_commit(job: Job, monkeypatch: pytest.MonkeyPatch, replaced_too: bool) -> None:
    """Have the process end after the shard of block 0 is written and before the ledger says so."""
    plan = job.plan()
    prepare_cache(plan)
    commit = Ledger.commit

    def killed(ledger: Ledger, row: LedgerRow) -> None:
        if row.row_digests:
            raise KeyboardInterrupt
        assert replaced_too
        commit(ledger, row)  # taking back what is replaced goes the same way

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            cache_block(plan.spec, plan.blocks[0])
    assert job.store.counts()[0] == 0


@pytest.mark.parametrize("which", [0, 1])
def test_a_cut_shard_is_computed_again_whole(job: Job, which: int) -> None:
    job.run()
    file = job.store.block_files(1)[which]
    file.write_bytes(file.read_bytes()[:-7])
    plan, _ = job.run()
    assert plan.reasons == ["4 images in a missing or damaged shard"]
    assert job.forwarded == [4, 5, 6, 7]
    assert np.array_equal(job.store.read(5), expected(5))


def test_rows_to_be_kept_that_are_damaged_are_computed_too(job: Job) -> None:
    job.run()
    shard = job.store.block_files(0)[0]
    content = bytearray(shard.read_bytes())
    content[5] ^= 1  # the size stays, so the plan cannot know
    shard.write_bytes(content)
    job.draw(3, red=30)
    plan, reports = job.run()
    assert plan.reasons == ["1 image changed"]
    assert [report.num_images for report in reports] == [4]
    assert job.store.counts()[:4].tolist() == [0, 1, 2, 30]
    assert np.array_equal(job.store.read(2), expected(2))


def test_a_task_is_a_small_message(job: Job) -> None:
    block = Block(7, 7 * 4096, 8 * 4096, range(7 * 4096, 8 * 4096), job.plan().blocks[0].causes)
    long = Workspace(Path("/" + "/".join(["a folder with a long name"] * 20)))
    task = (cache_block, replace(job.plan().spec, workspace=long), block)
    assert len(pickle.dumps(task)) < 2000


@pytest.mark.parametrize(
    ("green", "message"),
    [(RAISE, "makes the detector fail"), (UNSORTED, "001.png: .* not sorted by confidence")],
)
def test_a_detector_that_fails_or_lies_fails_its_block_alone(job: Job, green: int, message: str) -> None:
    job.draw(1, red=3, green=green)
    plan = job.plan()
    prepare_cache(plan)
    with pytest.raises((RuntimeError, ValueError), match=message):
        cache_block(plan.spec, plan.blocks[0])
    for block in plan.blocks[1:]:
        cache_block(plan.spec, block)
    assert job.plan().reasons == ["4 images not computed yet"]


def test_an_unknown_detector_is_a_usage_error(job: Job) -> None:
    with pytest.raises(UsageError, match="no-such-detector"):
        job.plan("no-such-detector")


def test_a_worker_that_sees_another_detector_or_index_refuses(job: Job) -> None:
    plan = job.plan()
    prepare_cache(plan)
    other = replace(plan.spec, key=replace(plan.key, fingerprint="0" * 16))
    with pytest.raises(UserError, match="sees another fake_detector:ENTRY than this command"):
        cache_block(other, plan.blocks[0])
    with pytest.raises(UserError, match="sees another index of images"):
        cache_block(replace(plan.spec, index_digest="0"), plan.blocks[0])


def test_a_worker_looks_at_its_detector_once_and_keeps_it_whatever_becomes_of_its_file(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = job.plan("fake_detector:NEWER")
    prepare_cache(plan)
    looks: list[str] = []

    def identity(detector: str) -> dict[str, object]:
        looks.append(detector)
        return dict(plan.parts["detector"])

    monkeypatch.setattr("pipeline.cache.work.detector_identity", identity)
    for block in plan.blocks:
        cache_block(plan.spec, block)
    assert len(plan.blocks) == 3
    assert looks == ["fake_detector:NEWER"]


def test_a_full_disk_is_a_sentence(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = job.plan()
    prepare_cache(plan)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pipeline.blocks.store.write_atomically", full)
    with pytest.raises(UserError, match=r"cannot write block 0 of .*: No space left on device; fix that"):
        cache_block(plan.spec, plan.blocks[0])
    assert job.plan().reasons == ["10 images not computed yet"]


def test_the_next_images_are_decoded_while_one_is_looked_at(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []
    decode = decoding.decode_image

    def noted(data: bytes, path: Path, max_pixels: int) -> np.ndarray:
        decoded.append(path)
        return decode(data, path, max_pixels)

    monkeypatch.setattr(decoding, "decode_image", noted)
    images: Iterator[DecodedImage | ComputedRow] = decoded_images(job.index(), range(10), 1000)
    first = next(images)
    assert isinstance(first, DecodedImage)
    deadline = time.monotonic() + 10
    while len(decoded) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [path.name for path in decoded] == [
        "000.png",
        "001.png",
        "002.png",
    ]  # ahead, but not without bound
    assert [image.row.row for image in images if isinstance(image, DecodedImage)] == list(range(1, 10))


def test_a_stage_of_many_images_at_once_has_as_many_pixels_decoded_ahead_in_order(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: set[str] = set()
    decode = decoding.decode_image

    def noted(data: bytes, path: Path, max_pixels: int) -> np.ndarray:
        decoded.add(path.name)
        if path.name == "001.png":
            time.sleep(0.05)  # others overtake it
        return decode(data, path, max_pixels)

    monkeypatch.setattr(decoding, "decode_image", noted)
    images = decoded_images(job.index(), range(10), 1000, ahead_pixels=5 * 16)
    rows = [next(images)]
    deadline = time.monotonic() + 10
    while len(decoded) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(decoded) == [f"00{number}.png" for number in range(6)]  # one taken, and five of 16 pixels
    rows += images
    assert [image.row.row for image in rows if isinstance(image, DecodedImage)] == list(range(10))


def test_candidates_are_filed_under_the_name_that_the_detectors_identity_gives(job: Job) -> None:
    job.draw(0, red=1)
    assert job.plan("fake_detector:RENAMED").key.detector == "renamed"
    assert job.plan().key.detector == DETECTOR
