"""A place below a URL answers as a folder would, tells what went wrong, and repeats no credentials."""

import pickle
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.store import CandidateStore
from pipeline.errors import UsageError, UserError
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, UrlPath, listed, local_copy, parse_place
from pipeline.workspace.writing import write_atomically
from workflows.cli.main import main


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path if request.param == "folder" else UrlPath(f"memory://test-{uuid.uuid4().hex}")


def test_a_place_answers_alike_in_a_folder_and_below_a_url(root: Place) -> None:
    file = root / "a" / "b.txt"
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    write_atomically(file, b"one\ntwo")
    assert file.read_bytes() == b"one\ntwo"
    assert file.read_text() == "one\ntwo"
    assert file.stat().st_size == 7
    assert (file.name, file.stem, file.suffix) == ("b.txt", "b", ".txt")
    assert file.parent == root / "a"
    assert file.relative_to(root).as_posix() == "a/b.txt"  # type: ignore[arg-type]
    assert file.is_file()
    assert (root / "a").exists()
    assert not (root / "a").is_file()
    with file.open("rb") as opened:
        assert opened.read(3) == b"one"
    with local_copy(file) as local:
        assert local.read_bytes() == b"one\ntwo"
    file.unlink()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()


def test_files_are_listed_by_name_in_order_and_in_their_own_folder_only(root: Place) -> None:
    for name in ("b-2.x", "b-1.x", "c.y", "deep/b-3.x", "deep/d.y"):
        write_atomically(root / name, b"")
    assert [path.name for path in listed(root, "b-*.x")] == ["b-1.x", "b-2.x"]
    assert [path.name for path in listed(root, "*/*.y")] == ["d.y"]
    assert listed(root / "none", "*") == []


def test_a_second_holder_of_a_workspace_is_told_of_the_first_who_can_hold_it_again(root: Place) -> None:
    workspace = Workspace(root / "run")
    for _ in range(2):
        with (
            workspace.locked("crface cache"),
            pytest.raises(UserError, match=r"in use by `crface cache` \(process \d+ on "),
            workspace.locked("crface rank"),
        ):
            pass


def test_a_lock_that_a_killed_command_left_below_a_url_is_named_for_removal() -> None:
    workspace = Workspace(UrlPath(f"memory://test-{uuid.uuid4().hex}"))
    killed = workspace.locked("crface cache")
    killed.__enter__()  # and nothing after
    told = r"If that process is gone .*, delete memory://.*/\.lock"
    with pytest.raises(UserError, match=told), workspace.locked("crface cache"):
        pass
    (workspace.root / ".lock").unlink()
    with workspace.locked("crface cache"):
        pass


def test_ledger_and_store_keep_their_promises_below_a_url(root: Place) -> None:
    ledger = Ledger(root / "ledger")
    rows = [LedgerRow(block=n, start=n, stop=n + 1, row_digests=("x",)) for n in range(3)]
    for row in rows:
        ledger.commit(row)
    ledger.gather()
    ledger.withdraw(rows[1])
    assert {n: row.row_digests for n, row in ledger.read().items()} == {0: ("x",), 1: (), 2: ("x",)}
    assert ledger.row(2) == rows[2]
    assert ledger.row(7) is None
    assert len(listed(root / "ledger", "*")) == 2

    store = CandidateStore.create_or_grow(root / "c.zarr" / "val" / "d", 3, 2, {"a": 1})
    boxes = np.arange(10, dtype=np.float32).reshape(2, 5)
    sizes = store.write_block(0, [boxes, None])
    store = CandidateStore.create_or_grow(root / "c.zarr" / "val" / "d", 5, 2, {"a": 2})
    assert np.array_equal(store.read(0), boxes)
    assert store.shard_bytes() == {0: sizes}
    assert store.counts().tolist() == [2, -2, -1, -1, -1]
    assert store.attrs == {"a": 2}


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIAEXAMPLE:t0psecret@bucket/run",
        "s3://bucket/run?X-Amz-Signature=t0psecret",
        "s3://bucket/run#t0psecret",
    ],
)
def test_an_address_with_credentials_is_refused_by_a_sentence_without_them(address: str) -> None:
    with pytest.raises(UsageError, match="in the environment") as error:
        parse_place(address)
    assert "t0psecret" not in str(error.value)
    assert "AKIAEXAMPLE" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nosuch://bucket/run", "there is no store nosuch://"),
        ("s3:///run", "not of the form"),
        ("memory://a/../b", "not of the form"),
    ],
)
def test_an_address_that_is_none_is_refused_by_a_sentence(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_place(address)


def test_folders_stay_folders() -> None:
    assert parse_place("runs/demo") == Path("runs/demo")
    assert parse_place("file:///data/run") == Path("/data/run")


def test_what_a_store_says_of_a_failure_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("http://user:t0psecret@host refused")

    place = UrlPath("memory://run/file")
    monkeypatch.setattr(fsspec.filesystem("memory", use_listings_cache=False), "cat_file", fail)
    with pytest.raises(OSError, match="RuntimeError") as error:
        place.read_bytes()
    assert "t0psecret" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_place_travels_to_a_worker_as_its_address_alone() -> None:
    place = UrlPath("s3://bucket/run")
    assert pickle.loads(pickle.dumps(place)) == place
    assert len(pickle.dumps(place)) < 120


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "s3://AKIAEXAMPLE:t0psecret@bucket/run"), "in the environment"),
        (("--out", "memory://run"), "would be gone with this command"),
        (("--data", "s3://bucket/photos"), "read from folders"),
    ],
)
def test_a_command_refuses_an_address_that_it_cannot_use_without_repeating_credentials(
    arguments: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["cache", *arguments])
    told = capsys.readouterr()
    assert end.value.code == 2
    assert words in told.err
    assert "t0psecret" not in told.out + told.err
