"""The embedded data set: generated pictures with labelled faces in WIDER FACE's layout, for runs without data.

`compose` draws one picture from the other modules' scenes, people and objects, in one of the `worlds`; `labels` and
`layout` write what was drawn as WIDER FACE does. `extra_splits` are made on request. Used by `crface demo` and every
command without --data.
"""

import json
from collections.abc import Callable
from pathlib import Path

from pipeline.config.sections import DatasetConfig
from pipeline.embedded.layout import image_path
from pipeline.embedded.markers import GENERATOR_VERSION, cannot_write, marker
from pipeline.embedded.pictures import make_pictures
from pipeline.embedded.sources import check_sources
from pipeline.errors import UserError
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.writing import write_atomically

_DONE, _BEGUN = "dataset.json", ".dataset.begun.json"


def make_dataset(
    root: Path,
    config: DatasetConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    processes: int | None = None,
) -> None:
    """Make the embedded data set in `root`; does nothing if it is already complete with these settings.

    With the same seed, size, difficulty and world, picture n has the same bytes however many pictures and processes
    there are (given the same versions of NumPy and OpenCV). `progress` is called with the pictures done and the
    total. A data set of other settings or from an interrupted run is remade, which leaves unaffected pictures as they
    were. `processes` is one per core by default; they are spawned, so scripts must call this under
    `if __name__ == "__main__"`.

    Raises UserError when `root` holds files of anything but an embedded data set, when scikit-image is missing, or
    when the files cannot be written.
    """
    wanted: Parts = {"generator": GENERATOR_VERSION, "config": config.model_dump(mode="json")}
    try:
        done, begun = marker(root / _DONE), marker(root / _BEGUN)
        if done == wanted and begun is None:
            return
        earlier = _earlier_settings(root, [found for found in (done, begun) if found is not None])
        check_sources()
        # while this file exists, nothing in the folder counts as complete
        write_atomically(root / _BEGUN, json.dumps(wanted).encode())
        _remove_surplus(root, earlier, config)
        make_pictures(root, config, _sizes(config), progress, processes)
        write_atomically(root / _DONE, json.dumps(wanted, indent=2).encode())
        (root / _BEGUN).unlink()
    except OSError as error:
        raise cannot_write(root, error) from error


def _earlier_settings(root: Path, markers: list[Parts]) -> list[DatasetConfig]:
    """The settings of what was made or begun in `root`; none for an empty or absent folder."""
    try:
        settings = [DatasetConfig.model_validate(found["config"]) for found in markers]
        versions = {int(found["generator"]) for found in markers}
    except (KeyError, TypeError, ValueError):  # pydantic's ValidationError is a ValueError
        settings, versions = [], set()
    if not settings and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} holds what is no embedded data set; choose an empty or a new folder")
    if versions - {GENERATOR_VERSION}:
        raise UserError(
            f"{root} holds an embedded data set made by version {min(versions)} of the generator, this is version "
            f"{GENERATOR_VERSION}; remove the folder to make it again, or choose another"
        )
    return settings


def _sizes(config: DatasetConfig) -> dict[str, int]:
    return {"train": config.train_images, "val": config.val_images}


def _remove_surplus(root: Path, earlier: list[DatasetConfig], config: DatasetConfig) -> None:
    """Remove pictures left over from a larger data set; other files beside them stay."""
    for settings in earlier:
        for split, count in _sizes(settings).items():
            for number in range(_sizes(config)[split], count):
                (root / image_path(split, number)).unlink(missing_ok=True)
