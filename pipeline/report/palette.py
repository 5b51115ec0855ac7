"""Colours and dashes of everything drawn, one for the page and for the figure files.

The hues are those of Okabe and Ito, which people with any colour vision tell apart; darkened or lightened until each
stands out from its ground by 3:1. Where lines share a colour, their dashes differ.
"""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Look:
    """How one line, bar or dot is drawn."""

    light: str
    """Its colour on white."""
    dark: str
    """Its colour on a dark ground."""
    dash: tuple[float, ...] = ()
    """Lengths of dash and gap; empty for a solid line."""
    width: float = 2.0


_DASHED: tuple[float, ...] = (6.0, 4.0)
_DOTTED: tuple[float, ...] = (1.5, 4.0)

LOOKS: Final = {
    "predicted": Look("#0072b2", "#56b4e9"),
    "ranked": Look("#d55e00", "#f2914a", width=2.5),
    "multi": Look("#00805d", "#35c79c"),
    "oracle": Look("#6b7280", "#9aa2ac", _DASHED),
    "bound": Look("#6b7280", "#9aa2ac", _DOTTED),
    "faint": Look("#e9a06b", "#8a5a36", width=1.0),
    "s0": Look("#0072b2", "#56b4e9"),
    "s1": Look("#d55e00", "#f2914a"),
    "s2": Look("#00805d", "#35c79c"),
    "s3": Look("#a8457e", "#dd8fba"),
    "s4": Look("#7a6200", "#e3c94a"),
    "s5": Look("#4b5563", "#b6bdc7"),
}
"""By class name in the page; `s0` and so on are for lines that are only to be told apart."""

NUM_SERIES: Final = sum(name[1:].isdigit() for name in LOOKS)


def series_style(number: int) -> str:
    """A class name for line `number` of many: another colour each, then the same colours dashed and dotted."""
    return f"s{number % NUM_SERIES}" + ("", " dashed", " dotted")[number // NUM_SERIES % 3]


def look(style: str) -> Look:
    """The look of a style: one of LOOKS, after it perhaps `dashed` or `dotted`."""
    name, _, dash = style.partition(" ")
    found = LOOKS[name]
    return replace(found, dash=_DASHED if dash == "dashed" else _DOTTED) if dash else found


def css() -> str:
    """The rules of all looks for the page."""
    light = " ".join(f"--{name}: {found.light};" for name, found in LOOKS.items())
    dark = " ".join(f"--{name}: {found.dark};" for name, found in LOOKS.items())
    rules = [f":root {{ {light} }}", f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"]
    # printed on white, whatever the screen's colours are
    rules.append(f"@media print {{ :root {{ {light} }} }}")
    for name, found in LOOKS.items():
        dash = " ".join(f"{length:g}" for length in found.dash)
        border = {_DASHED: "dashed", _DOTTED: "dotted"}.get(found.dash, "solid")
        rules += [
            f".line.{name} {{ stroke: var(--{name}); stroke-width: {found.width:g};"
            + (f" stroke-dasharray: {dash};" if dash else "")
            + " }",
            f".swatch.{name} {{ border-color: var(--{name}); border-top-style: {border}; }}",
            f".dot.{name}, .bar.{name} {{ fill: var(--{name}); }}",
            f".whisker.{name} {{ stroke: var(--{name}); }}",
        ]
    for name, lengths in (("dashed", _DASHED), ("dotted", _DOTTED)):
        dash = " ".join(f"{length:g}" for length in lengths)
        rules += [
            f".line.{name} {{ stroke-dasharray: {dash}; }}",
            f".swatch.{name} {{ border-top-style: {name}; }}",
        ]
    return "\n".join(rules)
