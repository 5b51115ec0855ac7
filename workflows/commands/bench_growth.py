"""crface bench growth: the commands themselves, on jobs that are made up for it, one larger than the other."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.bench.growth import COMMANDS, Grown, Growth, Size, sizes_along
from pipeline.bench.made_up_data import write_made_up
from pipeline.bench.pairs import Times, taken
from pipeline.errors import UserError

_CODE: Final = "from workflows.cli.main import run_command; run_command()"


def bench_growth(
    axes: Mapping[str, Sequence[int]], num_images: int, told: Callable[[str], object]
) -> list[Growth]:
    """What each command takes along each axis; `told` hears of each size before it is measured."""
    growths = []
    for axis, values in axes.items():
        grown = []
        for size in sizes_along(axis, values, num_images):
            told(f"{axis} {size.along(axis):,}")
            grown.append(_measured(size))
        growths.append(Growth(axis=axis, grown=tuple(grown)))
    return growths


def _measured(size: Size) -> Grown:
    with tempfile.TemporaryDirectory(prefix="crface-bench-") as name:
        folder = Path(name)
        detectors = write_made_up(folder / "data", size.data)
        arguments = arguments_of(folder, detectors, size.workers)
        return Grown(size=size, commands={command: _timed(arguments[command]) for command in COMMANDS})


def arguments_of(folder: Path, detectors: Sequence[str], workers: int) -> dict[str, list[str]]:
    """What `crface` is called with for each command, with data and a workspace in `folder`."""
    place = ["--data", str(folder / "data"), "--out", str(folder / "run")]
    job = [*place, *(word for detector in detectors for word in ("--detector", detector))]
    spread = [*job, "--cluster", f"local:{workers}"]
    return {
        "index": ["dataset", "index", *place],
        "cache": ["cache", *spread],
        "plan": ["plan", *job],
        "evaluate": ["evaluate", *spread],
        "report": ["report", *job],
    }


def _timed(arguments: Sequence[str]) -> Times:
    seconds, cpu_seconds = taken(lambda: _run(arguments))
    return Times(seconds=(seconds,), cpu_seconds=(cpu_seconds,))


def _run(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-c", _CODE, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this package's own
    if ended.returncode:
        raise UserError(f"crface {' '.join(arguments)} failed: {ended.stderr.strip()[-500:]}")
