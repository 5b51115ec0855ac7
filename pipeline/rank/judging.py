"""How far a ranker is believed on a split: some of its pictures compared with those that it was trained on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open

from pipeline.blocks.commit import ComputedRow
from pipeline.blocks.complete import open_complete
from pipeline.blocks.decoding import decoded_images
from pipeline.blocks.trust import Judgement, asked_digest, read_judgement, write_judgement
from pipeline.dataset.index import Index
from pipeline.dataset.sample import sampled
from pipeline.errors import UserError
from pipeline.images.decode import MAX_PIXELS
from pipeline.rank.plan import identify_ranker
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place, local_copy

MAX_PICTURES: Final = 64
"""Pictures of a split that are looked at. Of as many pictures at home, 99 of 100 sets are closer than half of the
distance that costs trust (docs/decisions/0010-home.md)."""


def judge(
    workspace: Workspace,
    index: Index,
    keys: Sequence[CandidateKey],
    ranker_file: Place,
    is_overruled: bool = False,
    asked: Sequence[CandidateKey] = (),
) -> dict[CandidateKey, Judgement]:
    """How far the ranker is believed on each of these candidates, recorded; for the driver, which holds the lock.

    Nothing is computed where the record is of this index. With `is_overruled` the trust is full. No judgement where
    the ranker does not know where it is at home, unless it asks other detectors, whose candidates (`asked`) are put on
    record with it.

    Raises UserError when the candidates are not complete, the file is no ranker, or the record cannot be written.
    """
    has_home = _has_home(ranker_file)
    if not has_home and not asked:
        return {}
    others = asked_digest(asked)
    ranker = fingerprint(identify_ranker(ranker_file))
    found = {key: read_judgement(workspace, key, ranker) for key in keys}
    stale = [
        key
        for key, old in found.items()
        if old is None or (old.images, old.is_overruled, old.asked) != (index.digest, is_overruled, others)
    ]
    judged = (
        _judged(workspace, index, stale, ranker_file)
        if has_home and not is_overruled
        else _trusted(index, stale, is_overruled)
    )
    judged = {key: replace(judgement, asked=others) for key, judgement in judged.items()}
    for key, judgement in judged.items():
        try:
            write_judgement(workspace, key, ranker, judgement)
        except OSError as error:
            raise UserError(
                f"cannot record how far the ranker is trusted: {error.strerror or error}"
            ) from error
    return {key: old for key, old in (found | judged).items() if old is not None}


def _has_home(ranker_file: Place) -> bool:
    """Whether a ranker knows where it is at home: told from the names in its file, without PyTorch."""
    try:
        with local_copy(ranker_file) as path, safe_open(path, framework="np") as file:
            return any(key.startswith("home.") for key in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False  # whoever loads the ranker says what it is instead


def _trusted(index: Index, keys: Sequence[CandidateKey], is_overruled: bool) -> dict[CandidateKey, Judgement]:
    full = Judgement(
        images=index.digest,
        num_pictures=0,
        distance=0.0,
        usual_distance=0.0,
        trust=1.0,
        is_overruled=is_overruled,
    )
    return dict.fromkeys(keys, full)


def _judged(
    workspace: Workspace, index: Index, keys: Sequence[CandidateKey], ranker_file: Place
) -> dict[CandidateKey, Judgement]:
    if not keys:
        return {}
    # with torch, which a run with nothing to do does not wait for
    from crface.ranker.describing import describe
    from crface.ranker.home import USUAL_DISTANCE, trust_in
    from pipeline.rank.loading import load_ranker

    ranker = load_ranker(ranker_file)
    home = ranker.home
    assert home is not None
    stores = {key: open_complete(workspace, index, key) for key in keys}
    wanted = {
        key: set(sampled(index, np.flatnonzero(store.counts() >= 0).tolist(), MAX_PICTURES))
        for key, store in stores.items()
    }
    descriptions: dict[CandidateKey, list[np.ndarray]] = {key: [] for key in keys}
    digest = index.digest
    for image in decoded_images(index, sorted(set.union(*wanted.values())), MAX_PIXELS):
        if isinstance(image, ComputedRow):
            digest = digest if image.digest else ""  # it may be readable next time
            continue
        for key, store in stores.items():
            if image.row.row in wanted[key]:
                descriptions[key].append(describe(image.pixels, store.read(image.row.row)))
    judged = {}
    for key, found in descriptions.items():
        distance, trust = trust_in(home, found)
        judged[key] = Judgement(
            images=digest,
            num_pictures=len(found),
            distance=round(distance, 3),
            usual_distance=USUAL_DISTANCE,
            trust=max(trust, ranker.least_trust),
        )
    return judged
