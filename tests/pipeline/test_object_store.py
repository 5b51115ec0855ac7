"""All stages with their workspace below a URL: the same bytes as in a folder, again nothing to do, no credentials."""

import gc
import importlib.util
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
from cache_job import DETECTOR, Job, compute
from ranker_world import World, small_config
from report_world import figures_drawn_once
from s3_server import BUCKET, KEY_ID, SECRET, s3_server

from pipeline.blocks.store import CandidateStore, DamagedBlockError
from pipeline.config.sections import EvaluateConfig, RunConfig
from pipeline.dataset.index import Index, planned_index
from pipeline.errors import UserError
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import evaluate
from pipeline.rank.plan import plan_rank
from pipeline.rank.work import finish_rank, prepare_rank, rank_block
from pipeline.report import ReportInput, build_report, plan_report
from pipeline.report import changes as report_changes
from pipeline.results import ap as results
from pipeline.train.plan import plan_train
from pipeline.train.work import train
from pipeline.verify import verify_candidates, verify_indexes, verify_rankers, verify_scores
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, UrlPath
from pipeline.workspace.writing import write_atomically
from workflows.cli.main import main

# s3fs leaves closing its connections to the interpreter's end
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. .*(ClientSession|Connector).*:pytest.PytestUnraisableExceptionWarning",
    "ignore:[Uu]nclosed c:ResourceWarning",
)

CONFIG = RunConfig(train=small_config(), evaluate=EvaluateConfig(resamples=0))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket's URL, for this process to use."""
    for package in ("moto", "s3fs"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'moto[server]' s3fs")
    with s3_server() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"
        gc.collect()  # see pytestmark: here, and not in the tests of another file


@dataclass
class Run:
    """All stages' work on one data set in one workspace."""

    world: World
    workspace: Workspace

    def all_stages(self) -> None:
        self.world.workspace = self.workspace
        with self.workspace.locked("all stages"):
            key, index = self.world.cache(), self.world.index()
            plan = plan_train(self.workspace, index, [key], CONFIG.train)
            ranker = train(plan)
            ranking = plan_rank(self.workspace, index, key, ranker, 4, above=0.02)
            prepare_rank(ranking)
            for block in ranking.blocks:
                rank_block(ranking.spec, block)
            finish_rank(ranking)
            self.source = Source(key=key, weights="w", ranker=ranking.spec.ranker, training=plan.fingerprint)
            evaluate(self._evaluation(index))
            with figures_drawn_once():  # they are not what differs between places
                build_report(ReportInput(self._evaluation(index), CONFIG, "t"))

    def _evaluation(self, index: Index) -> EvaluationInput:
        return EvaluationInput(
            workspace=self.workspace, index=index, sources=[self.source], config=CONFIG.evaluate
        )

    def left_to_do(self) -> list[str]:
        index, key = self.world.index(), self.source.key
        plan = plan_train(self.workspace, index, [key], CONFIG.train)
        parts = plan_report(ReportInput(self._evaluation(index), CONFIG, "t"))
        return [
            *plan.reasons,
            *plan_rank(self.workspace, index, key, plan.ranker_file, 4, above=0.02).reasons,
            *results.changes(self.workspace, plan_evaluate(self._evaluation(index))),
            *report_changes(self.workspace, parts),
        ]

    def files(self) -> dict[str, bytes]:
        root: Place = self.workspace.root
        if isinstance(root, UrlPath):
            return {name: (root / name).read_bytes() for name in root.below()}
        found = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    world = World(tmp_path_factory.mktemp("world"))
    run = Run(world, world.workspace)
    run.all_stages()
    return run


@pytest.fixture(scope="module", params=["memory", "s3"])
def run(request: pytest.FixtureRequest, folder: Run) -> Run:
    base = request.getfixturevalue("s3") if request.param == "s3" else "memory://stages"
    planned_index.cache_clear()
    run = Run(folder.world, Workspace(UrlPath(f"{base}/{uuid.uuid4().hex}")))
    run.all_stages()
    return run


def test_all_stages_leave_the_same_bytes_below_a_url_as_in_a_folder(run: Run, folder: Run) -> None:
    there, here = run.files(), folder.files()
    only_in_a_folder = {name for name in here if "tfevents" in name or name == ".lock"}
    assert there.keys() == here.keys() - only_in_a_folder
    for name, data in there.items():
        if name.startswith(("dataset", "candidates.zarr", "scores.zarr", "rankers", "results")):
            assert data == here[name], name


def test_a_second_run_below_a_url_has_nothing_to_do(run: Run) -> None:
    assert run.left_to_do() == []


def test_a_lost_object_makes_its_block_not_done(run: Run) -> None:
    store = CandidateStore.open(run.workspace.candidates(run.source.key))
    shard = store.block_files(1)[0]
    data = shard.read_bytes()
    shard.unlink()
    try:
        assert list(store.shard_bytes()) == [0]
        with pytest.raises(DamagedBlockError, match="block 1"):
            store.read_block(4)
    finally:
        assert isinstance(shard, UrlPath)
        shard.write(data)


DAMAGED = {
    "candidates": ("candidates.zarr/*/boxes/c/1/0/0", "block 1, images 4 to 5, is computed again"),
    "metadata": ("candidates.zarr/*/boxes/zarr.json", "it is written anew"),
    "ledger": ("ledger/candidates/*/block-000000.parquet", "the blocks that it recorded are computed again"),
    "scores": ("scores.zarr/*/scores/c/0/0", "block 0, images 0 to 3, is computed again"),
    "ranker": ("rankers/*/ranker.safetensors", "it is made again by `crface train`"),
    "checkpoint": ("rankers/*/checkpoints/*", "goes on from the checkpoint before it"),
    "index": ("dataset/*.parquet", "the images are indexed again"),
}
"""Objects, and what is said when they are damaged."""


def test_damaged_objects_are_named_and_made_again_by_the_next_run(run: Run, folder: Run) -> None:
    paths = {}
    for what, (pattern, _) in DAMAGED.items():
        name = max(name for name in run.files() if fnmatch(name, pattern))
        paths[what] = run.workspace.root / name
        data = bytearray(paths[what].read_bytes())
        if name.endswith(".parquet"):
            data.pop()  # there are bits in it that say nothing
        else:
            data[len(data) // 2] ^= 4
        write_atomically(paths[what], bytes(data))
    sizes = {run.world.split: run.world.num_images}
    damage = [
        *verify_indexes(run.workspace),
        *verify_rankers(run.workspace),
        *verify_candidates(run.workspace, sizes, lambda *_: None),
        *verify_scores(run.workspace, sizes, lambda *_: None),
    ]
    said = {one.path: one.words for one in damage}
    for what, (_, words) in DAMAGED.items():
        assert words in said.pop(paths[what]), what
    assert said == {}
    run.all_stages()
    here, there = folder.files(), run.files()
    for name in here:
        if name.startswith(("candidates.zarr", "scores.zarr")) or name.endswith("ranker.safetensors"):
            assert there[name] == here[name], name
    assert run.left_to_do() == []


def test_cache_verify_names_the_damaged_shard_of_a_bucket_and_computes_its_images_alone(
    s3: str,
    tmp_path: Path,
    on_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    job, root = Job(tmp_path), UrlPath(f"{s3}/{uuid.uuid4().hex}")
    for number in range(5):
        job.draw(number, red=number + 1)
    compute(job.photos, root)
    (name,) = (name for name in root.below() if fnmatch(name, "candidates.zarr/*/boxes/c/1/0/0"))
    shard = (root / name).read_bytes()
    (root / name).write(shard[:-9] + bytes([shard[-9] ^ 1]) + shard[-8:])
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(job.log))
    command = ["cache", "--data", str(job.photos), "--out", root.url, "--detector", DETECTOR]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--verify"])
    output, errors = capfd.readouterr()
    assert ended.value.code == 0
    assert f"  {root / name} is damaged: block 1, images 2 to 3, is computed again" in errors
    assert "verify candidates: 1 damaged\n" in output
    assert job.forwarded == [3, 4]
    assert (root / name).read_bytes() == shard


def test_credentials_of_the_environment_are_in_nothing_that_is_stored(run: Run) -> None:
    if not str(run.workspace.root).startswith("s3:"):
        pytest.skip("memory has no credentials")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
    for name, data in run.files().items():
        assert SECRET.encode() not in data, name
        assert KEY_ID.encode() not in data, name


def test_a_bucket_that_is_not_there_is_one_sentence(s3: str) -> None:
    told = r"cannot write to the workspace s3://nosuchbucket/run: .*; choose another with --out"
    with (
        pytest.raises(UserError, match=told),
        Workspace(UrlPath("s3://nosuchbucket/run")).locked("crface cache"),
    ):
        pass


def test_a_server_that_is_not_there_is_one_sentence(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3", use_listings_cache=False).clear_instance_cache()
    try:
        with pytest.raises(OSError, match="the store does not answer as it should") as error:
            UrlPath(f"{s3}/x").read_bytes()
    finally:
        fsspec.filesystem("s3", use_listings_cache=False).clear_instance_cache()
    assert SECRET not in str(error.value)
