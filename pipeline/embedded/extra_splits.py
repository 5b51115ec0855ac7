"""The splits that the embedded data set has on request: single large faces, and natively large pictures."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.sections import DatasetConfig
from pipeline.dataset.splits import EIGHT_K_SPLIT, LARGE_SPLIT
from pipeline.embedded.layout import image_path
from pipeline.embedded.markers import GENERATOR_VERSION, cannot_write, marker
from pipeline.embedded.pictures import make_pictures
from pipeline.embedded.sources import check_sources
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.writing import write_atomically


@dataclass(frozen=True, slots=True)
class ExtraSplit:
    """How many pictures a split has, and how large they are, as seen from those of val."""

    val_images_each: int
    """For this many pictures of val it has one."""
    scale: float
    """How many times as long its pictures are."""
    most_px: int
    """They are never longer than this."""


EXTRA_SPLITS: Mapping[str, ExtraSplit] = {
    LARGE_SPLIT: ExtraSplit(2, 1.6, 6554),
    EIGHT_K_SPLIT: ExtraSplit(20, 12.0, 7680),
}
"""The splits by name; `large` has 1024 px, as FFHQ, where val has 640."""


def make_extra_split(
    root: Path,
    split: str,
    config: DatasetConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    processes: int | None = None,
) -> None:
    """Make one of `EXTRA_SPLITS` beside train and val; does nothing if it is there with these settings.

    `large` shows single large faces, like the paper's FFHQ images (section 3.1); `8k` pictures of 7680 px with faces
    of all sizes, like those of its 8K test set (section 4.1). Both are otherwise made as by `make_dataset`, which
    neither makes nor removes them. They have no `.mat` files of easy, medium and hard, so that these are defined by
    face height.

    Raises UserError when scikit-image is missing, or when the files cannot be written.
    """
    extra = EXTRA_SPLITS[split]
    number = max(1, config.val_images // extra.val_images_each)
    long_side_px = min(extra.most_px, round(extra.scale * config.long_side_px))
    drawn = config.model_copy(update={"long_side_px": long_side_px})
    wanted: Parts = {
        "generator": GENERATOR_VERSION,
        "images": number,
        "settings": drawn.model_dump(mode="json", include={"seed", "long_side_px", "difficulty", "world"}),
    }
    done = root / f"{split}.json"
    try:
        if marker(done) == wanted:
            return
        check_sources()
        # without this file the split counts as not made
        done.unlink(missing_ok=True)
        example = image_path(split, 0)
        for picture in (root / example.parent).glob(f"{example.stem.removesuffix('0')}*.jpg"):
            picture.unlink()
        make_pictures(root, drawn, {split: number}, progress, processes)
        write_atomically(done, json.dumps(wanted, indent=2).encode())
    except OSError as error:
        raise cannot_write(root, error) from error
