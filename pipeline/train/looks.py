"""A look at a ranker's state: what it makes of held-out pictures, kept so that a choice can be made from all looks."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from crface.array_shapes import FaceMask
from crface.evaluation.joining import joined_hits
from crface.evaluation.matching import Hits
from pipeline.workspace.place import Place, listed
from pipeline.workspace.writing import write_atomically


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The detections of the held-out pictures, by one detector, with one share of the refinement."""

    hits: Hits
    is_right: Bool[np.ndarray, " detection"]
    """Whether a detection overlaps a face by IoU 0.5, one that is found already included."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """All that was seen in one state."""

    seen: Mapping[float, tuple[Seen, ...]]
    """By share of the refinement, 0 for the detector's own confidences; one entry for each detector."""
    kept: Mapping[str, FaceMask]
    """For each setting, which of the faces of all held-out pictures count."""


def joined(looks: Sequence[Look]) -> Look:
    """Looks at the same step of several trainings as one, over the pictures that each of them held out."""
    return Look(
        seen={
            share: tuple(_joined([look.seen[share][i] for look in looks]) for i in range(len(detectors)))
            for share, detectors in looks[0].seen.items()
        },
        kept={setting: np.concatenate([look.kept[setting] for look in looks]) for setting in looks[0].kept},
    )


def write_look(folder: Place, step: int, look: Look) -> None:
    """Write a look as one file of the folder, which `read_looks` finds by its step."""
    arrays = {f"kept {setting}": mask for setting, mask in look.kept.items()}
    for share, detectors in look.seen.items():
        for i, seen in enumerate(detectors):
            for field in dataclasses.fields(Hits):
                arrays[f"{share} {i} {field.name}"] = np.asarray(getattr(seen.hits, field.name))
            arrays[f"{share} {i} is_right"] = seen.is_right
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(folder / f"step-{step:08d}.npz", content.getvalue())


def read_looks(folder: Place) -> dict[int, Look]:
    """The looks of a folder by their step, which ascends."""
    return {int(path.stem.removeprefix("step-")): read_look(path) for path in listed(folder, "step-*.npz")}


def read_look(path: Place) -> Look:
    """A look that `write_look` wrote; raises OSError, ValueError, LookupError or BadZipFile for a damaged one."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    kept = {name.removeprefix("kept "): arrays[name] for name in arrays if name.startswith("kept ")}
    places = sorted({tuple(name.split()[:2]) for name in arrays if not name.startswith("kept ")})
    seen: dict[float, list[Seen]] = {}
    for share, i in places:
        fields = {field.name: arrays[f"{share} {i} {field.name}"] for field in dataclasses.fields(Hits)}
        low, high = fields.pop("score_range").tolist()
        hits = Hits(score_range=(low, high), **fields)
        seen.setdefault(float(share), []).append(Seen(hits, arrays[f"{share} {i} is_right"]))
    return Look({share: tuple(detectors) for share, detectors in seen.items()}, kept)


def _joined(parts: Sequence[Seen]) -> Seen:
    return Seen(joined_hits([part.hits for part in parts]), np.concatenate([part.is_right for part in parts]))


def scores_of(seen: Sequence[Seen]) -> tuple[Float32[np.ndarray, " box"], Bool[np.ndarray, " box"]]:
    """The confidences of all detectors' detections in one list, and whether each is right."""
    return (
        np.concatenate([one.hits.scores for one in seen]).astype(np.float32),
        np.concatenate([one.is_right for one in seen]),
    )
