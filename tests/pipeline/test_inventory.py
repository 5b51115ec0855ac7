"""The inventory of a workspace: every file belongs to the piece that wrote it, or is left alone."""

import uuid
from pathlib import Path

import pytest

from pipeline.results.text import size_words
from pipeline.workspace.inventory import Piece, remove, take_inventory
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place, UrlPath
from pipeline.workspace.writing import write_atomically

OLD, NEW, RANKER = "0" * 16, "1" * 16, "abcdef0123456789"
KEY = CandidateKey("val", "a detector", "single", OLD)
CANDIDATES = Piece("candidates", "", "val", "a-detector", "single", OLD)
NEWER = CANDIDATES._replace(fingerprint=NEW)
SCORES = CANDIDATES._replace(kind="scores", ranker=RANKER)

FILES = {
    "dataset/val.parquet": Piece("index", split="val"),
    f"candidates.zarr/val/a-detector/single/{OLD}/zarr.json": CANDIDATES,
    f"candidates.zarr/val/a-detector/single/{OLD}/boxes/zarr.json": CANDIDATES,
    f"candidates.zarr/val/a-detector/single/{OLD}/boxes/c/0/0/0": CANDIDATES,
    f"candidates.zarr/val/a-detector/single/{OLD}/boxes/c/1/0/.0.k3j_9a0z": CANDIDATES,  # of a killed writer
    f"candidates.zarr/val/a-detector/single/{OLD}/count/c/0": CANDIDATES,
    f"ledger/candidates/val/a-detector/single/{OLD}/blocks.parquet": CANDIDATES,
    f"ledger/candidates/val/a-detector/single/{OLD}/block-000012.parquet": CANDIDATES,
    f"candidates.zarr/val/a-detector/single/{NEW}/zarr.json": NEWER,
    f"scores.zarr/val/a-detector/single/{OLD}/{RANKER}/scores/c/0/0": SCORES,
    f"ledger/scores/val/a-detector/single/{OLD}/{RANKER}/set_aside.json": SCORES,
    f"ledger/scores/val/a-detector/single/{OLD}/{RANKER}/home.json": SCORES,
    f"rankers/{OLD}/ranker.safetensors": Piece("ranker", fingerprint=OLD),
    f"rankers/{OLD}/checkpoints/step-00000012.safetensors": Piece("ranker", fingerprint=OLD),
    f"rankers/{OLD}/gate.json": Piece("ranker", fingerprint=OLD),
    f"rankers/{OLD}/fold-2/looks/step-00000012.npz": Piece("ranker", fingerprint=OLD),
    f"rankers/{OLD}/events.out.tfevents.1.host.2.0": Piece("ranker", fingerprint=OLD),
    f"subsets/6/rankers/{OLD}/parts.json": Piece("ranker", "6", fingerprint=OLD),
    "results/ap.parquet": Piece("results"),
    "imports/val/tinaface.json": Piece("imports"),
}
OTHERS = [
    ".lock",
    "notes.txt",
    "candidates.zarr/zarr.json",
    "candidates.zarr/val/zarr.json",
    "candidates.zarr/val/a-detector/zarr.json",
    "candidates.zarr/val/a-detector/single/zarr.json",
    f"candidates.zarr/val/a-detector/single/{OLD}/notes.txt",
    f"candidates.zarr/val/a-detector/single/{OLD}/boxes/c/mine.npy",
    "candidates.zarr/val/a-detector/single/mine/zarr.json",
    f"scores.zarr/val/a-detector/single/{OLD}/zarr.json",
    f"rankers/{OLD}/paper.pdf",
    "rankers/best/ranker.safetensors",
    "data/WIDER_val/images/0--Parade/1.jpg",
    "report/index.html",
    f"elsewhere/candidates.zarr/val/a-detector/single/{OLD}/zarr.json",
    "results/figures/mine.png",
]


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "run" if request.param == "folder" else UrlPath(f"memory://run-{uuid.uuid4().hex}")


@pytest.fixture
def workspace(root: Place) -> Workspace:
    for name in (*FILES, *OTHERS):
        write_atomically(root / name, name.encode())
    return Workspace(root)


def names(workspace: Workspace) -> set[str]:
    found = take_inventory(workspace)
    return {*found.others, *(name for files in found.pieces.values() for name in files)}


def test_every_file_belongs_to_its_piece_and_what_others_wrote_to_none(workspace: Workspace) -> None:
    found = take_inventory(workspace)
    assert {name: piece for piece, files in found.pieces.items() for name in files} == FILES
    assert set(found.others) == set(OTHERS)
    assert found.size(SCORES) == sum(len(name) for name, piece in FILES.items() if piece == SCORES)


def test_the_paths_of_the_layout_are_recognised(root: Place) -> None:
    workspace = Workspace(root)
    write_atomically(workspace.candidates(KEY) / "zarr.json", b"{}")
    write_atomically(workspace.scores_ledger(KEY, RANKER) / "blocks.parquet", b"")
    write_atomically(workspace.subset(3).ranker(OLD) / "ranker.safetensors", b"")
    assert set(take_inventory(workspace).pieces) == {
        CANDIDATES,
        SCORES,
        Piece("ranker", "3", fingerprint=OLD),
    }


def test_removing_a_piece_removes_its_files_and_nothing_else(workspace: Workspace) -> None:
    remove(workspace, take_inventory(workspace), [CANDIDATES, Piece("ranker", fingerprint=OLD)])
    gone = {name for name, piece in FILES.items() if piece in (CANDIDATES, Piece("ranker", fingerprint=OLD))}
    assert names(workspace) == {*FILES, *OTHERS} - gone


def test_the_groups_and_folders_above_the_last_piece_go_with_it(root: Place) -> None:
    workspace = Workspace(root)
    stored = [f"scores.zarr/val/a-detector/single/{OLD}/{RANKER}/zarr.json"]
    groups = [
        f"scores.zarr/{way}zarr.json" for way in ("", "val/", "val/a-detector/", "val/a-detector/single/")
    ]
    for name in [
        *stored,
        *groups,
        f"scores.zarr/val/a-detector/single/{OLD}/zarr.json",
        "scores.zarr/test/zarr.json",
    ]:
        write_atomically(root / name, b"{}")
    remove(workspace, take_inventory(workspace), [SCORES])
    # the tree itself, and a group that nothing was removed from, stay
    assert names(workspace) == {"scores.zarr/zarr.json", "scores.zarr/test/zarr.json"}
    if isinstance(root, Path):
        assert not (root / "scores.zarr" / "val").exists()


def test_what_says_that_work_is_done_goes_first(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    kind = type(workspace.root)

    def unlink(self: Place, missing_ok: bool = False) -> None:
        removed.append(str(self))

    monkeypatch.setattr(kind, "unlink", unlink)
    remove(workspace, take_inventory(workspace), [CANDIDATES, Piece("ranker", fingerprint=OLD)])
    is_first = ["/ledger/" in name or name.endswith("ranker.safetensors") for name in removed]
    assert is_first == sorted(is_first, reverse=True)
    assert sum(is_first) == 3


def test_symbolic_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "run")
    store = workspace.candidates(KEY)
    assert isinstance(store, Path)
    write_atomically(store / "zarr.json", b"{}")
    precious = tmp_path / "precious"
    write_atomically(precious / "c" / "0", b"mine")
    (store / "boxes").symlink_to(precious)
    (store / "count").mkdir()
    (store / "count" / "zarr.json").symlink_to(precious / "c" / "0")
    (tmp_path / "run" / "rankers").symlink_to(tmp_path / "far" / "away")
    remove(workspace, take_inventory(workspace), [CANDIDATES])
    assert (precious / "c" / "0").read_bytes() == b"mine"
    assert (store / "boxes").is_symlink()
    assert (store / "count" / "zarr.json").is_symlink()
    assert not (store / "zarr.json").exists()
    assert take_inventory(workspace).pieces == {}


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_940_000, "9.9 MB"),
        (9_960_000, "10 MB"),
        (999_600_000, "1.0 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_have_two_or_three_digits(size: int, words: str) -> None:
    assert size_words(size) == words
