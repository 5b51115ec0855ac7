"""How far a ranker is believed on the images of a store: what was judged of them, recorded beside the scores' ledger.

A ranker that knows where it is at home (`crface.ranker.home`) is asked once for an index of images, by the driver,
before any of them is ranked. The trust that it gave is part of what decides a row, so of the row's digest, as is the
confidence above which candidates are refined.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

_FILE: Final = "home.json"
_MARK: Final = "@"  # in no hexadecimal hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How far a ranker is believed on some images, and why."""

    images: str
    """The digest of the index that was judged; empty where an image could not be read just then: judge again."""
    num_pictures: int
    """Of them, those that were looked at."""
    distance: float
    """Their distance from where the ranker is at home."""
    usual_distance: float
    """The distance up to which it is fully trusted."""
    trust: float
    """0..1, as `crface.ranker.Ranker.refine` takes it."""
    is_overruled: bool = False
    """Whether a user asked for full trust, so that nothing was judged."""
    asked: str = ""
    """Which candidates of other detectors the ranker reads (`asked_digest`); empty if it reads none."""

    @property
    def figures(self) -> str:
        """The trust, and what it comes from, as a few words."""
        return f"{100 * self.trust:.0f} % (distance {self.distance:.1f}, usual up to {self.usual_distance:g})"

    def sentence(self, detector: str) -> str:
        """A sentence about candidates of `detector` that the ranker is not fully trusted on."""
        own = f", confidences are {detector}'s own" if self.trust == 0 else ""
        return (
            f"these pictures, or {detector}'s candidates on them, are unlike those the ranker was trained on: "
            f"trusted at {self.figures}{own}"
        )


def judgement_file(workspace: Workspace, key: CandidateKey, ranker: str) -> Place:
    """Where the judgement of one ranker (named by its fingerprint) on these candidates is recorded."""
    return workspace.scores_ledger(key, ranker) / _FILE


def read_judgement(workspace: Workspace, key: CandidateKey, ranker: str) -> Judgement | None:
    """The recorded judgement; None if there is none, or it is damaged: judging again is less trouble than asking."""
    try:
        values = json.loads(judgement_file(workspace, key, ranker).read_bytes())
        found = Judgement(**values)
        return found if 0 <= found.trust <= 1 else None
    except (OSError, ValueError, TypeError):
        return None


def write_judgement(workspace: Workspace, key: CandidateKey, ranker: str, judgement: Judgement) -> None:
    """Record a judgement; what was refined with another trust is from then on out of date."""
    content = json.dumps(asdict(judgement), indent=1).encode()
    write_atomically(judgement_file(workspace, key, ranker), content)


def recorded_trust(workspace: Workspace, key: CandidateKey, ranker: str) -> tuple[float, str]:
    """The trust that a store's rows are to be refined with, 1 where nothing was judged, and `asked`."""
    judgement = read_judgement(workspace, key, ranker)
    return (1.0, "") if judgement is None else (judgement.trust, judgement.asked)


def asked_digest(asked: Sequence[CandidateKey]) -> str:
    """What other detectors' candidates decide of a row of refined confidences; empty if none are asked."""
    return fingerprint({"asked": [str(key.folder()) for key in asked]}) if asked else ""


def trusted_digest(digest: str, above: float, trust: float, asked: str = "") -> str:
    """What decides a row of refined confidences: its image's hash, which candidates are refined (those of a confidence
    above `above`), the trust unless it is full, and who is asked."""
    return f"{digest}{_decided(above, trust, asked)}" if digest else ""


def trusted_digests(digests: Sequence[str], above: float, trust: float, asked: str = "") -> Sequence[str]:
    """`trusted_digest` of every row of an index."""
    decided = _decided(above, trust, asked)
    return tuple(f"{digest}{decided}" if digest else "" for digest in digests)


def _decided(above: float, trust: float, asked: str) -> str:
    parts = [f">{above:g}", *([f"{trust:g}"] if trust != 1 else []), *([asked] if asked else [])]
    return "".join(f"{_MARK}{part}" for part in parts)


def is_same_image(one: str, other: str) -> bool:
    """Whether two digests are of the same image, whatever the trust."""
    return one.partition(_MARK)[0] == other.partition(_MARK)[0]
