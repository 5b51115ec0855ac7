"""Confidence rankers by name: made, loaded, saved (paper 3.4, 4.3, 5.5).

>>> from crface import ranker
>>> model = ranker.load("ranker.safetensors")
>>> confidences = model.refine(image, candidates)  # uint8 [H, W, 3] RGB, float32 [N, 5] -> float32 [N]
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from crface.backbones import mobilenet_v1, resnet50
from crface.file_kind import file_kind
from crface.ranker.committee import CommitteeRanker
from crface.ranker.confidence_module import ToldConfidenceModule
from crface.ranker.gate import Gate
from crface.ranker.home import Home
from crface.ranker.interface import OutputRange, Ranker
from crface.ranker.network import ConfidenceRanker
from crface.ranker.per_box import PerBoxRanker, per_box_ranker, second_opinion_ranker
from crface.weights import check_keys, tensors_sha256

__all__ = [
    "COMMITTEE",
    "CommitteeRanker",
    "ConfidenceRanker",
    "Gate",
    "Home",
    "OutputRange",
    "PerBoxRanker",
    "Ranker",
    "create",
    "load",
    "names",
    "save",
    "serialise",
]


COMMITTEE: Final = "committee"
"""The ranker that asks other detectors."""


def names() -> list[str]:
    """The names of the rankers that take a picture and one detector's candidates; `COMMITTEE` takes more."""
    return [*_PAPERS, *_PER_BOX]


def has_output_range(name: str) -> bool:
    """Whether a ranker takes an `output_range`: the paper's do, and the one that departs from them by a step."""
    return name in _PAPERS


def create(
    name: str,
    num_candidates: int = 5000,
    image_side_px: int = 1024,
    output_range: OutputRange | None = None,
    opinions: Sequence[str] = (),
) -> Ranker:
    """The ranker called `name` with random weights; untrained, it leaves every confidence as it is.

    "large" and "small" are the paper's (3.4, 5.5); "small-told" is the small one with a head that is told which
    candidate each output belongs to; "per-box" and "second-opinion" are the step beyond (`crface.ranker.per_box`).
    "committee" asks other detectors, those named in `opinions` (`crface.ranker.committee`).
    `num_candidates` is N, `image_side_px` the long side that pictures are scaled to. `output_range`, an option of the
    paper's rankers alone, is how they keep confidences within 0..1: "clipped" is the paper's, "scaled" the default.
    Raises ValueError for an unknown name, listing the known ones, for fewer than 2 candidates or 32 pixels, for an
    `output_range` of a ranker that has none, and unless a committee, and no other, has `opinions`, all different.
    """
    if name not in (known := [*names(), COMMITTEE]):
        raise ValueError(f"there is no ranker {name!r}; choose one of {', '.join(known)}")
    if output_range is not None and not has_output_range(name):
        raise ValueError(
            f"the {name} ranker has no output_range: it refines logits, whose confidences lie in 0..1; leave it out"
        )
    if (name == COMMITTEE) != bool(opinions) or len(set(opinions)) < len(opinions):
        raise ValueError(
            f"the {name} ranker cannot ask {list(opinions)}: a committee asks one detector or several, each of another "
            "name, and other rankers ask none"
        )
    if num_candidates < 2 or image_side_px < 32:
        raise ValueError(
            f"a ranker cannot have {num_candidates} candidates and pictures of {image_side_px} pixels: "
            "2 candidates and 32 pixels are the least"
        )
    if name in _PAPERS:
        return _PAPERS[name](num_candidates, image_side_px, output_range or "scaled")
    if name == COMMITTEE:
        return CommitteeRanker(opinions, num_candidates, image_side_px)
    return _PER_BOX[name](num_candidates, image_side_px)


def load(path: str | Path) -> Ranker:
    """The ranker in a file that `save` wrote, in evaluation mode, on the CPU.

    Raises ValueError when the file is missing, no safetensors file, not a ranker's, or damaged.
    """
    try:
        kind = file_kind(path)
        if kind is not None and not kind.is_safetensors:
            is_model = kind.is_checkpoint or kind.is_onnx
            remedy = "train one with `crface train`" if is_model else kind.remedy
            raise ValueError(f"cannot read the ranker {path}: it is {kind.name}; {remedy}")
        with safe_open(path, framework="pt") as file:
            about = dict(json.loads((file.metadata() or {})["ranker"]))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        recorded = about.pop("sha256", None)  # older files have none
        if recorded not in (None, _sha256(about, state)):
            raise ValueError(
                f"the ranker {path} is damaged: its checksum does not match; fetch it again, or make it "
                "again with `crface train --verify`"
            )
        output_range = about["output_range"] if has_output_range(about["name"]) else None
        model = create(
            about["name"],
            about["num_candidates"],
            about["image_side_px"],
            output_range,
            about.get("opinions", ()),
        )
        if any(key.startswith("gate.") for key in state):
            model.gate = Gate()
        if any(key.startswith("home.") for key in state):
            model.home = Home.of_state(state)
        model.smallest_side_px = about.get("smallest_side_px", 0.0)
        if problems := check_keys(model, state):
            raise ValueError(f"{path} does not hold a ranker of this version: {'; '.join(problems)}")
        model.load_state_dict(state)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read the ranker {path}: {error}; train one with `crface train`") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold a ranker of this version: {error}") from error
    return model.eval()


def save(model: Ranker, path: str | Path) -> None:
    """Write a ranker's weights as safetensors, with its name, N and image side in the metadata."""
    Path(path).write_bytes(serialise(model))


def serialise(model: Ranker) -> bytes:
    """The bytes that `save` writes; the same for the same ranker."""
    about = {
        "name": model.name,
        "num_candidates": model.num_candidates,
        "image_side_px": model.image_side_px,
        "output_range": "clipped",  # in every file, also of rankers without this option: scores are filed by its bytes
        **model.options(),
        **({"smallest_side_px": model.smallest_side_px} if model.smallest_side_px else {}),
    }
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    # one entry: safetensors writes several in any order
    return to_bytes(state, {"ranker": json.dumps({**about, "sha256": _sha256(about, state)})})


def _sha256(about: Mapping[str, object], state: Mapping[str, Tensor]) -> str:
    words = json.dumps(about, sort_keys=True)
    return hashlib.sha256(f"{words}\n{tensors_sha256(state)}".encode()).hexdigest()


def _small(num_candidates: int, image_side_px: int, output_range: OutputRange) -> ConfidenceRanker:
    # Width 0.25: the full MobileNet alone would be 13 MB, the paper's small ranker is 8 MB in all (5.5).
    return ConfidenceRanker(
        "small", mobilenet_v1(width=0.25), 64, num_candidates, image_side_px, output_range
    )


def _small_told(num_candidates: int, image_side_px: int, output_range: OutputRange) -> ConfidenceRanker:
    return ConfidenceRanker(
        "small-told",
        mobilenet_v1(width=0.25),
        64,
        num_candidates,
        image_side_px,
        output_range,
        ToldConfidenceModule,
    )


def _large(num_candidates: int, image_side_px: int, output_range: OutputRange) -> ConfidenceRanker:
    # The paper names ResNet-50 and "FPN design" (4.3) but not the maps; its BPN of nine layers meets one after
    # every third, so there are three, read as C3 to C5. At N = 5000 these are 32,363,992 parameters, in single
    # precision 129.5 MB (123.5 MiB; 0.2 MB more with the statistics of batch normalisation). The paper's 128 MB
    # would be 32.0 million, 1.1 % fewer, or, read as MiB, 33.6 million, 3.7 % more: the difference lies within what the
    # paper leaves open about the pyramid (see `crface.ranker.fpn`); ResNet-50 and the FC layers alone are 110 MB.
    return ConfidenceRanker(
        "large", resnet50(finest_level=3), 256, num_candidates, image_side_px, output_range
    )


_PAPERS: dict[str, Callable[[int, int, OutputRange], Ranker]] = {
    "large": _large,
    "small": _small,
    "small-told": _small_told,
}
_PER_BOX: dict[str, Callable[[int, int], Ranker]] = {
    "per-box": per_box_ranker,
    "second-opinion": second_opinion_ranker,
}
