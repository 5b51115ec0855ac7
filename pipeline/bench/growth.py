"""How the time of each command grows with what it has to do, and with the workers that do it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import log
from typing import TYPE_CHECKING, Any, Final

from pipeline.bench.drawing import COLOURS, drawn
from pipeline.bench.made_up_data import MadeUp
from pipeline.bench.pairs import Times
from pipeline.results.text import NONE, aligned, milliseconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMANDS: Final = ("index", "cache", "plan", "evaluate", "report")
"""In the order in which they are called; `plan` when all candidates are there, but nothing is evaluated."""

LIMITS_S: Final[Mapping[str, float]] = {"index": 120, "plan": 2, "report": 60}
"""Seconds that these may take for 100,000 images."""

AXES: Final[Mapping[str, Sequence[int]]] = {
    "images": (100, 1000, 10_000, 100_000),
    "candidates": (100, 500, 2000, 5000),
    "faces": (1, 10, 100, 1000),
    "side_px": (64, 256, 1024, 4096),
    "detectors": (1, 2, 4),
    "workers": tuple(sorted({1, 2, os.cpu_count() or 1})),
}
"""In which ways a job grows, and how far."""

_NAMES: Final = {
    "images": "images",
    "candidates": "candidates an image",
    "faces": "faces an image",
    "side_px": "long side, px",
    "detectors": "detectors",
    "workers": "workers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What the commands have to do, and with how many workers."""

    data: MadeUp
    workers: int = 1

    def along(self, axis: str) -> int:
        """How large it is in one of AXES."""
        return self.workers if axis == "workers" else int(getattr(self.data, axis))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """What every command took for one size; each ran once."""

    size: Size
    commands: Mapping[str, Times]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One way of growing, from the smallest size to the largest."""

    axis: str
    grown: tuple[Grown, ...]

    @property
    def values(self) -> list[int]:
        """The sizes along the axis."""
        return [one.size.along(self.axis) for one in self.grown]

    def cpu_seconds(self, command: str) -> list[float]:
        """The processor time of a command, by size."""
        return [one.commands[command].cpu_seconds[0] for one in self.grown]

    def exponent(self, command: str) -> float | None:
        """The power of the size with which a command's own part grows at the end; 1 is in proportion, 0 not at all.

        Its own part is what it takes beyond the smallest size: every command takes a second or more to begin. Less than
        a tenth of that is noise, and counts as a tenth. None with fewer than three sizes.
        """
        if len(self.grown) < 3:
            return None
        first, *_, before, last = self.cpu_seconds(command)
        least, *_, smaller, larger = self.values
        noise = first / 10
        more = max(last - first, noise) / max(before - first, noise)
        return log(more) / log((larger - least) / (smaller - least))


def sizes_along(axis: str, values: Sequence[int], num_images: int) -> list[Size]:
    """The sizes of one way of growing; what does not grow is small, and images are so many.

    Where faces grow, a detector finds as many boxes again, and pictures have room for them.
    """
    small = MadeUp(images=num_images, candidates=100, faces=3, side_px=64)
    if axis == "workers":
        return [Size(data=small, workers=value) for value in values]
    if axis == "faces":
        crowds = [
            replace(small, candidates=max(100, 2 * value), faces=value, side_px=1024) for value in values
        ]
        return [Size(data=crowd) for crowd in crowds]
    return [Size(data=replace(small, **{axis: value})) for value in values]


def as_lines(growths: Sequence[Growth]) -> list[str]:
    """The benchmark as tables of 80 columns."""
    lines = [
        "processor seconds of each command, its workers included, and by the clock;",
        "power: that of the size with which it grows at the end, beyond the smallest",
    ]
    for growth in growths:
        rows = [
            (f"{value:,}", *map(_words, one.commands.values()))
            for value, one in zip(growth.values, growth.grown, strict=True)
        ]
        powers = [growth.exponent(command) for command in COMMANDS]
        last = ("power", *(NONE if power is None else f"{power:.2f}" for power in powers))
        lines += ["", _NAMES[growth.axis], *aligned([("", *COMMANDS), *rows, last])]
    return lines


def as_json(growths: Sequence[Growth]) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return {"limits_s": dict(LIMITS_S), "growth": [asdict(growth) for growth in growths]}


def as_svg(growths: Sequence[Growth]) -> bytes:
    """The curves: a panel for each way of growing, a line for each command, both axes logarithmic."""

    def draw(figure: "Figure") -> None:
        for place, growth in enumerate(growths, 1):
            axes = figure.add_subplot(1, len(growths), place)
            for command, colour in zip(COMMANDS, COLOURS[1:], strict=False):
                axes.plot(
                    growth.values, growth.cpu_seconds(command), marker="o", ms=3, color=colour, label=command
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(growth.values, [f"{value:,}" for value in growth.values])
            axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            axes.set_xlabel(_NAMES[growth.axis])
            axes.grid(color="#dfe2e6", linewidth=0.6)
        figure.axes[0].set_ylabel("processor seconds")
        lines, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="upper center", ncols=len(names), bbox_to_anchor=(0.5, 1.02))
        figure.subplots_adjust(wspace=0.3)

    return drawn(draw, (2.6 * len(growths), 2.6))


def _words(times: Times) -> str:
    return f"{milliseconds(times.cpu_seconds[0])} ({milliseconds(times.seconds[0])})"
