"""The layout of a workspace folder: the path of everything stored in it."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.workspace.lock import held
from pipeline.workspace.place import Place


@dataclass(frozen=True, slots=True)
class CandidateKey:
    """The name of a set of candidates: their split, detector, protocol and fingerprint."""

    split: str
    detector: str
    protocol: str
    fingerprint: str

    @property
    def words(self) -> str:
        """The candidates in words: the detector, the split, and the protocol unless it is `single`."""
        protocol = "" if self.protocol == "single" else f", {self.protocol}"
        return f"{self.detector} on {self.split}{protocol}"

    def folder(self) -> Path:
        """The folder of these candidates, relative to each of the workspace's trees."""
        return Path(self.split, slug(self.detector), slug(self.protocol), self.fingerprint)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace; the paths of all the project's own outputs come from here."""

    root: Place

    def index(self, split: str) -> Place:
        """The Parquet file with one row per image of a split."""
        return self.root / "dataset" / f"{split}.parquet"

    def candidates(self, key: CandidateKey) -> Place:
        """The Zarr group with `boxes` and `count`."""
        return self.root / "candidates.zarr" / key.folder()

    def candidates_ledger(self, key: CandidateKey) -> Place:
        """The folder with the Parquet ledger of finished candidate blocks."""
        return self.root / "ledger" / "candidates" / key.folder()

    def imported(self, split: str, name: str) -> Place:
        """The record of the candidates that were imported under a name."""
        return self.root / "imports" / split / f"{name}.json"

    def scores(self, key: CandidateKey, ranker: str) -> Place:
        """The Zarr group with the refined confidences of one ranker (named by its fingerprint)."""
        return self.root / "scores.zarr" / key.folder() / ranker

    def scores_ledger(self, key: CandidateKey, ranker: str) -> Place:
        """The folder with the Parquet ledger of finished score blocks."""
        return self.root / "ledger" / "scores" / key.folder() / ranker

    def ranker(self, fingerprint: str) -> Place:
        """The folder of one trained ranker: weights, checkpoints, configuration, metrics, events."""
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
        """The workspace inside this one for `num_images` images of a split: index, candidates, rankers, scores."""
        return Workspace(self.root / "subsets" / str(num_images))

    @property
    def report(self) -> Place:
        """The folder of index.html."""
        return self.root / "report"

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the workspace for one writing command; a second command is told who holds it.

        In a folder the lock is the kernel's (flock) and goes away with the process, however that ends. Below a
        URL it is an object that only one process can create; a killed process leaves it behind for a person to
        remove.

        Raises UserError when another process holds the workspace, or it cannot be written to.
        """
        with held(self.root / ".lock", what):
            yield


def slug(name: str) -> str:
    """A name made safe for a folder: letters, digits, dots, dashes and underscores stay, the rest becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".") or "-"
