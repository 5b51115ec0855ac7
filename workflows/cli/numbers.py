"""Numbers on the command line."""

import math
from typing import Any

import click


class Number(click.FloatRange):
    """A finite number within bounds; `nan` and `inf` are refused, which click's own range lets through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number as a float; bad usage for anything else."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
