"""Where everything lies in a workspace folder, and who may write there."""

import contextlib
import fcntl
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.workspace.place import Place, UrlPath


@dataclass(frozen=True, slots=True)
class CandidateKey:
    """Which candidates: of which split, by which detector, under which protocol, with which fingerprint."""

    split: str
    detector: str
    protocol: str
    fingerprint: str

    @property
    def words(self) -> str:
        """Whose candidates they are, for people: the detector, the split, and a protocol other than `single`."""
        protocol = "" if self.protocol == "single" else f", {self.protocol}"
        return f"{self.detector} on {self.split}{protocol}"

    def folder(self) -> Path:
        """Give the relative folder that candidates of this key live in, under any of the workspace's trees."""
        return Path(self.split, slug(self.detector), slug(self.protocol), self.fingerprint)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The layout of a workspace; every path of the project's own outputs is made here."""

    root: Place

    def index(self, split: str) -> Place:
        """Give the Parquet file with one row per image of a split."""
        return self.root / "dataset" / f"{split}.parquet"

    def candidates(self, key: CandidateKey) -> Place:
        """Give the Zarr group with `boxes` and `count`."""
        return self.root / "candidates.zarr" / key.folder()

    def candidates_ledger(self, key: CandidateKey) -> Place:
        """Give the folder of the Parquet ledger of finished candidate blocks."""
        return self.root / "ledger" / "candidates" / key.folder()

    def imported(self, split: str, name: str) -> Place:
        """Give the record of which candidates were imported under a name."""
        return self.root / "imports" / split / f"{name}.json"

    def scores(self, key: CandidateKey, ranker: str) -> Place:
        """Give the Zarr group with the refined confidences of one ranker (named by its fingerprint)."""
        return self.root / "scores.zarr" / key.folder() / ranker

    def scores_ledger(self, key: CandidateKey, ranker: str) -> Place:
        """Give the folder of the Parquet ledger of finished score blocks."""
        return self.root / "ledger" / "scores" / key.folder() / ranker

    def ranker(self, fingerprint: str) -> Place:
        """Give the folder of one trained ranker: weights, checkpoints, configuration, metrics, events."""
        return self.root / "rankers" / fingerprint

    @property
    def results(self) -> Place:
        """The folder of ap.parquet and pr_curves.parquet."""
        return self.root / "results"

    @property
    def resolutions(self) -> Place:
        """The Parquet file of AP over image height."""
        return self.results / "resolutions.parquet"

    @property
    def protocols(self) -> Place:
        """The Parquet file of protocols compared over the same images."""
        return self.results / "protocols.parquet"

    def subset(self, num_images: int) -> "Workspace":
        """Give the workspace inside this one for so many images of a split: index, candidates, rankers, scores."""
        return Workspace(self.root / "subsets" / str(num_images))

    @property
    def report(self) -> Place:
        """The folder of index.html."""
        return self.root / "report"

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the workspace for one writing command; a second one is told who holds it.

        In a folder the lock is the kernel's (flock): it is gone with the process, however that ends. Below a URL
        it is an object that only one can create: a process that is killed leaves it there, for a person to remove.

        Raises UserError when another process holds the workspace, or it cannot be written to.
        """
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": what,
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        path, words = self.root / ".lock", json.dumps(holder).encode()
        with _folder_held(path, words) if isinstance(path, Path) else _url_held(path, words):
            yield


@contextlib.contextmanager
def _folder_held(path: Path, holder: bytes) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise UserError(
            f"cannot write to the workspace {path.parent}: {error.strerror}; choose another with --out"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"the workspace {path.parent} is in use by {_holder(file.read())}; "
                "wait for it or choose another with --out"
            ) from None
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield


@contextlib.contextmanager
def _url_held(path: UrlPath, holder: bytes) -> Iterator[None]:
    try:
        path.create(holder)
    except FileExistsError:
        try:
            words = _holder(path.read_bytes())
        except OSError:
            words = "another process"
        raise UserError(
            f"the workspace {path.parent} is in use by {words}; wait for it or choose another with --out. "
            f"If that process is gone (one that is killed cannot clean up here), delete {path}"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write to the workspace {path.parent}: {error.strerror}; choose another with --out"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the next command will say what to do about it
            path.unlink()


def write_atomically(path: Place, data: bytes) -> None:
    """Write a file so that a reader, or the next run, sees either all of it or what was there before."""
    if isinstance(path, UrlPath):
        path.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a shared workspace wants what open() would have given
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def slug(name: str) -> str:
    """Make a name safe as a folder: letters, digits, dot, dash and underscore stay, all else becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".") or "-"


def _holder(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"`{holder['command']}` (process {holder['pid']} on {holder['host']}, since {holder['since']})"
    except (ValueError, KeyError):
        return "another process"


def command_line() -> str:
    """Give the command being run, as the lock and the records name it."""
    return " ".join(["crface", *sys.argv[1:]])
