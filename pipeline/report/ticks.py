"""Round numbers along an axis."""

import math
from collections.abc import Sequence


def nice_ticks(low: float, high: float) -> list[float]:
    """4 to 7 multiples of 1, 2 or 5 times a power of ten within `low..high`, ascending."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """1, 2 and 5 times powers of ten within `10**low..10**high`, at their logarithms; over many decades the powers."""
    factors = (1, 2, 5) if high - low < 2 else (1,)
    values = [
        factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors
    ]
    return [(math.log10(value), f"{value:,g}") for value in values if low <= math.log10(value) <= high]


def round_ticks(limits: tuple[float, float]) -> list[tuple[float, str]]:
    """`nice_ticks` with as many decimals as tell them apart."""
    values = nice_ticks(*limits)
    return [(value, _label(value, values)) for value in values]


def _label(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:,.{decimals}f}"
