"""What is stored is read back exactly, and what is damaged is found, named, and mended by writing the block anew."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore

from detectors import MAX_CANDIDATES
from pipeline.blocks.store import (
    NOT_COMPUTED,
    UNREADABLE,
    CandidateStore,
    DamagedBlockError,
    ImageUnreadable,
    NotComputed,
    ScoreStore,
)
from pipeline.errors import UserError
from pipeline.workspace.place import UrlPath
from pipeline.workspace.writing import write_atomically

BLOCK = 4
ATTRS = {"detector": "fake", "thresholds": {"confidence": None}, "columns": ["x1", "y1"]}


def candidates(num: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1000, (num, 5)).astype(np.float32)


def new_store(tmp_path: Path, num_images: int = 6) -> CandidateStore:
    return CandidateStore.create_or_grow(tmp_path / "c.zarr" / "val" / "fake", num_images, BLOCK, ATTRS)


def test_candidates_are_read_back_bit_for_bit(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    written = [candidates(3), candidates(0), candidates(MAX_CANDIDATES, 1), candidates(1, 2)]
    store.write_block(0, written)
    for row, expected in enumerate(written):
        assert np.array_equal(store.read(row), expected)
    read = CandidateStore.open(store.path).read_block(0)
    assert all(np.array_equal(a, b) for a, b in zip(read, written, strict=True) if a is not None)
    assert store.counts().tolist() == [3, 0, MAX_CANDIDATES, 1, NOT_COMPUTED, NOT_COMPUTED]


@given(st.lists(st.integers(0, 79), max_size=90) | st.just(range(80)) | st.just(range(3, 50)))
def test_several_images_at_once_are_what_each_is_by_itself(
    store_of_80_images: CandidateStore, asked: Sequence[int]
) -> None:
    found = list(store_of_80_images.read_each(asked))
    assert [rows.tolist() for rows in found] == [store_of_80_images.read(row).tolist() for row in asked]


@pytest.fixture(scope="module")
def store_of_80_images(tmp_path_factory: pytest.TempPathFactory) -> CandidateStore:
    path = tmp_path_factory.mktemp("store") / "c.zarr" / "val"
    store = CandidateStore.create_or_grow(path, 80, 40, ATTRS)
    for start in (0, 40):
        store.write_block(start, [candidates(row % 7, row) for row in range(start, start + 40)])
    return store


def test_an_image_among_several_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [candidates(1), candidates(2), None, candidates(3)])
    several = store.read_each(range(6))
    assert [len(rows) for rows in (next(several), next(several))] == [1, 2]
    with pytest.raises(ImageUnreadable, match="row 2 "):
        next(several)
    with pytest.raises(NotComputed, match="row 4 "):
        list(store.read_each([4, 5]))
    store.write_block(4, [candidates(1), candidates(1)])
    with pytest.raises(IndexError, match="row 6 of 6"):
        list(store.read_each([4, 5, 6]))


def test_damage_among_several_images_is_named(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [candidates(5, seed) for seed in range(4)])
    shard, _ = store.block_files(0)
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(DamagedBlockError, match="block 0"):
        list(store.read_each(range(4)))


def test_scores_are_stored_by_the_same_rules(tmp_path: Path) -> None:
    store = ScoreStore.create_or_grow(tmp_path / "scores.zarr" / "val", 2, BLOCK, {})
    store.write_block(0, [np.float32([0.5, -1.0, 2.0]), None])
    assert store.read(0).tolist() == [0.5, -1.0, 2.0]
    assert store.counts().tolist() == [3, UNREADABLE]
    with pytest.raises(ImageUnreadable):
        store.read(1)


def test_an_image_without_candidates_is_done_not_missing(tmp_path: Path) -> None:
    store = new_store(tmp_path, 2)
    sizes = store.write_block(0, [candidates(0), np.zeros((3, 5), np.float32)])
    assert store.read(0).shape == (0, 5)
    assert np.array_equal(store.read(1), np.zeros((3, 5)))
    assert store.shard_bytes() == {0: sizes}


def test_a_row_that_nothing_was_computed_for_says_which_command_does(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    with pytest.raises(NotComputed, match=r"row 5 .* not computed yet: run `crface cache`"):
        store.read(5)
    with pytest.raises(IndexError):
        store.read(6)
    with pytest.raises(IndexError):
        store.read(-1)
    with pytest.raises(NotComputed, match=r"nothing is stored in .*: run `crface rank` first"):
        ScoreStore.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_image_that_could_not_be_read_is_told_from_one_not_computed(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [None, candidates(1), None, None])
    with pytest.raises(ImageUnreadable):
        store.read(0)
    assert [rows is None for rows in store.read_block(0)] == [True, False, True, True]
    assert store.read_block(4) == [None, None]


@pytest.mark.parametrize(
    ("start", "num_rows"), [(1, 4), (2, 2), (0, 3), (0, 5), (0, 6), (4, 1), (4, 4), (8, 4), (-4, 4)]
)
def test_a_write_that_is_not_one_whole_block_raises(tmp_path: Path, start: int, num_rows: int) -> None:
    store = new_store(tmp_path)
    with pytest.raises(ValueError, match=r"cut a block|begins no block"):
        store.write_block(start, [candidates(1)] * num_rows)
    assert not list(store.path.glob("*/c"))


@pytest.mark.parametrize(
    "rows",
    [np.zeros((2, 4), np.float32), np.zeros(5, np.float32), np.zeros((MAX_CANDIDATES + 1, 5), np.float32)],
)
def test_rows_of_another_shape_are_refused(tmp_path: Path, rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        new_store(tmp_path, 1).write_block(0, [rows])


def test_not_a_number_is_refused_because_it_marks_what_is_lost(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no numbers"):
        new_store(tmp_path, 1).write_block(0, [np.full((1, 5), np.nan, np.float32)])


def test_writing_a_block_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = [candidates(n, n) for n in range(4)]
    store.write_block(0, rows)
    first = [file.read_bytes() for file in store.block_files(0)]
    store.write_block(0, [None] * 4)
    store.write_block(0, rows)
    assert [file.read_bytes() for file in store.block_files(0)] == first


def test_the_files_are_those_that_zarr_itself_would_write(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = [candidates(n, n) for n in (2, 0)]
    store.write_block(4, rows)
    shard, counts = (file.read_bytes() for file in store.block_files(1))
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(LocalStore(store.path), mode="r+")
        boxes = np.zeros((2, MAX_CANDIDATES, 5), np.float32)
        boxes[0, :2] = rows[0]
        for file in store.block_files(1):
            file.unlink()
        group["boxes"][4:6] = boxes
        group["count"][4:6] = [2, 0]
    assert [file.read_bytes() for file in store.block_files(1)] == [shard, counts]


def test_all_stores_of_a_workspace_open_as_one_tree(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    assert dict(zarr.open_group(tmp_path / "c.zarr", mode="r")["val/fake"].attrs) == ATTRS
    assert store.attrs == ATTRS


def test_a_store_grows_and_keeps_what_it_has(tmp_path: Path) -> None:
    rows = [candidates(2), candidates(3)]
    store = new_store(tmp_path)
    store.write_block(4, rows)
    grown = CandidateStore.create_or_grow(store.path, 10, 99, {"dataset": "new"})
    assert (grown.num_images, grown.block_images, grown.attrs) == (10, BLOCK, {"dataset": "new"})
    assert grown.counts().tolist() == [-1, -1, -1, -1, 2, 3, -1, -1, -1, -1]
    assert np.array_equal(grown.read(5), rows[1])
    grown.write_block(4, [*rows, candidates(1), None])
    assert grown.counts()[4:8].tolist() == [2, 3, 1, UNREADABLE]
    assert np.array_equal(grown.read(6), candidates(1))


def test_opening_a_store_for_growth_changes_nothing_when_it_fits(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in store.path.rglob("*.json")}
    new_store(tmp_path)
    assert {file: file.stat().st_mtime_ns for file in store.path.rglob("*.json")} == before


def test_what_killed_writers_left_is_removed_before_a_run(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [candidates(1)] * 4)
    shard, counts = store.block_files(0)
    leftovers = [shard.with_name(".0.x1y2"), counts.with_name(".0.z3")]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    new_store(tmp_path)
    assert not any(leftover.exists() for leftover in leftovers)
    assert len(store.read(0)) == 1


def test_a_store_whose_creation_was_interrupted_is_created_again(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    shutil.rmtree(store.path / "count")
    with pytest.raises(NotComputed):
        CandidateStore.open(store.path)
    assert new_store(tmp_path).counts().tolist() == [NOT_COMPUTED] * 6


def test_damaged_metadata_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    metadata = store.path / "boxes" / "zarr.json"
    written = json.loads(metadata.read_text())
    without_columns = json.loads(metadata.read_text())
    without_columns["codecs"][0]["configuration"]["chunk_shape"][-1] = 0
    for damage in ("{", "{}", json.dumps({**written, "codecs": []}), json.dumps(without_columns)):
        metadata.write_text(damage)
        with pytest.raises(UserError, match=r"damaged metadata .*run `crface cache --verify` .*or delete"):
            CandidateStore.open(store.path)


def test_killed_between_shard_and_counts_leaves_rows_that_are_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [candidates(5)] * 4)

    def killed(*args: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.blocks.store.encoded_counts", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_block(0, [candidates(3)] * 4)
    assert store.shard_bytes() == {}
    with pytest.raises(NotComputed):
        store.read(0)


def test_a_block_that_another_worker_is_just_replacing_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(tmp_path)
    sizes = store.write_block(0, [candidates(2)] * 4)

    def replaced_at_once(path: Path, data: bytes) -> None:
        write_atomically(path, data)
        store.block_files(0)[1].unlink(missing_ok=True)  # what a writer does first

    monkeypatch.setattr("pipeline.blocks.store.write_atomically", replaced_at_once)
    assert store.write_block(0, [candidates(2)] * 4) == sizes


def test_a_block_of_any_size_is_encoded_at_once_written_in_two_requests_and_not_read_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Zarr itself reads a shard to put an image into it, and writes it anew for each
    asked: list[str] = []

    def noting(of: type, name: str) -> None:
        wrapped = getattr(of, name)

        def method(self: object, *arguments: object, **options: object) -> object:
            asked.append(f"{of.__name__}.{name}")
            return wrapped(self, *arguments, **options)

        monkeypatch.setattr(of, name, method)

    stores = [
        CandidateStore.create_or_grow(UrlPath(f"memory://store-{size}/c.zarr/val"), size, size, {})
        for size in (2, 60)
    ]
    for name in ("write", "read_bytes", "open", "stat", "exists", "is_file"):
        noting(UrlPath, name)
    for name in ("get", "set", "set_if_not_exists"):
        noting(MemoryStore, name)
    counts = []
    for store in stores:
        asked.clear()
        store.write_block(0, [candidates(1)] * store.num_images)
        counts.append(Counter(asked))
    assert counts[0] == counts[1]
    assert {name: num for name, num in counts[0].items() if name.startswith("Url")} == {"UrlPath.write": 2}


def test_reading_one_row_reads_about_one_chunk_of_the_shard(tmp_path: Path) -> None:
    store = CandidateStore.create_or_grow(tmp_path / "s", 32, 32, {})
    shard_bytes, _ = store.write_block(0, [candidates(MAX_CANDIDATES, seed) for seed in range(32)])
    shard, _ = store.block_files(0)
    with shard.open("r+b") as file:  # if anything else of the shard were read, this would be found
        index_bytes = 32 * 16 + 4
        content = bytearray(file.read())
        offset, length = np.frombuffer(bytes(content[-index_bytes:-4]), "<u8").reshape(-1, 2)[7].tolist()
        kept = content[offset : offset + length]
        content[:-index_bytes] = bytes(len(content) - index_bytes)
        content[offset : offset + length] = kept
        file.seek(0)
        file.write(content)
    assert length < 1.1 * shard_bytes / 32
    assert np.array_equal(store.read(7), candidates(MAX_CANDIDATES, 7))
    with pytest.raises(DamagedBlockError):
        store.read(8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> CandidateStore:
    store = new_store(tmp_path_factory.mktemp("damage"))
    store.write_block(0, [candidates(n, n) for n in range(4)])
    return store


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_or_cut_is_found_and_named_or_did_no_harm(
    written: CandidateStore, data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from(written.block_files(0)), label="file")
    content = file.read_bytes()
    if data.draw(st.booleans(), label="cut"):
        damaged = content[: data.draw(st.integers(0, len(content) - 1), label="length")]
    else:
        bit = data.draw(st.integers(0, 8 * len(content) - 1), label="bit")
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
    file.write_bytes(damaged)
    try:
        answers = [answer(written, row) for row in range(4)]
        with pytest.raises(DamagedBlockError):
            written.read_block(0)
    finally:
        file.write_bytes(content)
    complaints = [found for found in answers if isinstance(found, str)]
    assert complaints
    for complaint in complaints:
        assert "block 0 (rows 0:4)" in complaint
        assert "run `crface cache --verify`" in complaint
    for row, found in enumerate(answers):
        assert isinstance(found, str) or np.array_equal(found, candidates(row, row))


def answer(store: CandidateStore, row: int) -> np.ndarray | str:
    try:
        return store.read(row)
    except DamagedBlockError as error:
        return str(error)


def test_a_lost_shard_cannot_pass_for_zeros(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [candidates(2)] * 4)
    store.block_files(0)[0].unlink()
    with pytest.raises(DamagedBlockError):
        store.read(0)
    with pytest.raises(DamagedBlockError):
        store.read_block(0)
    assert store.shard_bytes() == {}


def test_a_damaged_count_is_named_when_all_are_read(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(4, [candidates(2)] * 2)
    file = store.block_files(1)[1]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedBlockError, match=r"block 1 \(rows 4:6\)"):
        store.counts()


def test_a_damaged_block_is_mended_by_writing_it_again(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.write_block(0, [candidates(2)] * 4)
    for file in store.block_files(0):
        file.write_bytes(b"nonsense")
    store.write_block(0, [candidates(3)] * 4)
    assert np.array_equal(store.read(3), candidates(3))
