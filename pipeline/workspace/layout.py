"""Where everything lies in a workspace folder."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.workspace.lock import held
from pipeline.workspace.place import Place


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
        with held(self.root / ".lock", what):
            yield


def slug(name: str) -> str:
    """Make a name safe as a folder: letters, digits, dot, dash and underscore stay, all else becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".") or "-"
