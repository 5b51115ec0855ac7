"""A block that fails again and again is set aside with its reason, and tried again only when that makes sense."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cache_job import DETECTOR, Job
from fake_detector import RAISE, FakeDetector
from ranker_world import World
from ranking import planned_ranking, save_ranker
from thread_cluster import open_thread_cluster

from pipeline.blocks.complete import open_complete
from pipeline.blocks.set_aside import SetAside
from pipeline.cache.work import cache_block, prepare_cache
from pipeline.errors import UserError
from pipeline.images.decode import read_image
from pipeline.rank.work import prepare_rank, rank_block
from workflows.cli.main import main
from workflows.commands.plan import _blocks_entry
from workflows.spread.scatter import run_blocks

DIGESTS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job(tmp_path)
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(job.log))
    for number in range(10):
        job.draw(number, red=number + 1)
    return job


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    errors: str


Command = Callable[..., Ended]


@pytest.fixture
def crface(job: Job, on_thread: None, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command on the job's folder in blocks of two images."""
    config = job.workspace.root.parent / "two.toml"
    config.write_text("[cache]\nblock_images = 2\n")
    options = ["--data", job.photos, "--out", job.workspace.root, "--config", config, "--detector", DETECTOR]

    def run(*arguments: str) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *map(str, options)])
        return Ended(ended.value.code, *capfd.readouterr())  # type: ignore[arg-type]

    return run


def seen(job: Job) -> list[int]:
    """The red of all images that the detector was asked about since the last call."""
    found = job.forwarded
    job.log.unlink(missing_ok=True)
    return found


def test_a_record_is_read_back_until_the_images_of_its_block_change(tmp_path: Path, job: Job) -> None:
    index = job.index()
    (first, second, _) = job.plan().blocks
    record = SetAside(tmp_path / "ledger")
    assert record.read(index.row_digests) == {}
    record.add(second, "too bad", index.row_digests)
    record.add(first, "so sad", index.row_digests)
    found = record.read(index.row_digests)
    assert [(one.block, one.words) for one in found.values()] == [
        (0, "images 0 to 3: so sad"),
        (1, "images 4 to 7: too bad"),
    ]
    changed = ["another", *index.row_digests[1:]]
    assert list(record.read(changed)) == [1]
    record.replace([])
    assert not list((tmp_path / "ledger").iterdir())


@pytest.mark.parametrize("damage", ["", "[", "{}", "[{}]", "[1]", "\0"])
def test_a_damaged_record_holds_nothing_back(tmp_path: Path, damage: str) -> None:
    (tmp_path / "set_aside.json").write_text(damage)
    assert SetAside(tmp_path).read(DIGESTS) == {}


def test_a_poisoned_block_is_set_aside_named_and_left_alone_until_the_user_says_so(
    job: Job, crface: Command
) -> None:
    job.draw(4, red=50, green=RAISE)
    job.draw(8, red=90, green=RAISE)

    first = crface("cache")
    assert first.status == 1
    assert "6 images done, 4 set aside" in first.output
    assert (
        "set aside: images 4 to 5: 004.png: RuntimeError: this image makes the detector fail" in first.errors
    )
    assert "set aside: images 8 to 9: 008.png: RuntimeError" in first.errors
    assert "2 blocks failed 3 times and are set aside" in first.errors.splitlines()[-1]
    assert "crface cache --retry-failed" in first.errors.splitlines()[-1]
    assert (seen(job).count(50), job.store.counts().tolist()) == (3, [1, 2, 3, 4, -1, -1, 7, 8, -1, -1])

    again = crface("cache")
    assert (again.status, seen(job)) == (1, [])  # no worker was even started
    assert "nothing to do but what is set aside" in again.output
    assert "set aside before: images 4 to 5: 004.png: RuntimeError" in again.errors

    aside = SetAside(job.ledger.folder).read(job.index().row_digests)
    entry = _blocks_entry("cache", job.plan().key, job.plan().blocks, aside)
    assert (entry.todo, entry.reasons[0][:67]) == (
        "",
        "set aside until `crface cache --retry-failed`: images 4 to 5: 004.p",
    )
    key = job.plan().key
    with pytest.raises(
        UserError, match=r"images 4 to 5: 004.png: RuntimeError.*images 8 to 9.*--retry-failed"
    ):
        open_complete(job.workspace, job.index(), key)

    # mending one image takes its block up again, and no other
    job.draw(4, red=5)
    mended = crface("cache")
    assert (mended.status, seen(job)) == (1, [5, 6])
    assert "1 block failed 3 times and is set aside" in mended.errors

    retried = crface("cache", "--retry-failed")
    assert retried.status == 1
    assert seen(job).count(90) == 3
    assert "set aside: images 8 to 9: 008.png: RuntimeError" in retried.errors


def test_a_block_set_aside_for_a_reason_that_is_gone_is_done_by_a_retry(job: Job, crface: Command) -> None:
    plan = job.plan()
    record = SetAside(job.workspace.candidates_ledger(plan.key))
    record.add(plan.blocks[0], "the network share was not there", job.index().row_digests)
    assert crface("cache", "--retry-failed").status == 0
    assert record.read(job.index().row_digests) == {}
    assert job.store.counts().tolist() == list(range(1, 11))
    assert "nothing to do\n" in crface("cache").output


@pytest.mark.parametrize(
    ("poisoned", "named"),
    [({3}, "003.png"), ({0, 3, 9}, "000.png, 003.png, 009.png"), (set(range(10)), "5 more")],
)
def test_of_a_batch_that_a_detector_fails_on_those_images_are_named_that_it_fails_on_alone(
    job: Job, monkeypatch: pytest.MonkeyPatch, poisoned: set[int], named: str
) -> None:
    # which takes all ten in one batch
    monkeypatch.setattr("pipeline.cache.work._device", lambda: ("cuda", "a GPU"))
    for number in poisoned:
        job.draw(number, red=number + 1, green=RAISE)
    plan = job.plan(block_images=10)
    prepare_cache(plan)
    with open_thread_cluster() as client:
        ((_, why),) = run_blocks(client, cache_block, plan.spec, plan.blocks, lambda _: None).set_aside
    listed, _, reason = why.rpartition(": RuntimeError: ")
    assert (listed.endswith(named), reason) == (True, "this image makes the detector fail")
    assert len(listed.split(", ")) == min(len(poisoned), 6)


def test_a_batch_that_fails_only_as_a_whole_is_done_image_by_image(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cache.work._device", lambda: ("cuda", "a GPU"))
    ask = FakeDetector.candidates

    def alone_only(self: FakeDetector, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        if len(images) > 1:
            raise RuntimeError("one at a time")
        return ask(self, images)

    monkeypatch.setattr(FakeDetector, "candidates", alone_only)
    job.run(block_images=10)
    assert job.store.counts().tolist() == list(range(1, 11))


def test_the_image_that_a_ranker_fails_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    plan = planned_ranking(world, world.cache(), save_ranker(world.data / "ranker.safetensors"))
    prepare_rank(plan)
    path = world.index().image_path(2)

    class Refusing:
        def refine(self, image: np.ndarray, candidates: np.ndarray, trust: float, above: float) -> np.ndarray:
            if np.array_equal(image, read_image(path)):
                raise ZeroDivisionError("not this one")
            return candidates[:, 4]

    monkeypatch.setattr("pipeline.rank.work.expected_ranker", lambda *_: Refusing())
    with open_thread_cluster() as client:
        ((block, why),) = run_blocks(client, rank_block, plan.spec, plan.blocks, lambda _: None).set_aside
    assert (block.number, why) == (0, "event/2.png: ZeroDivisionError: not this one")
