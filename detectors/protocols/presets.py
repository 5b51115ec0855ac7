"""The protocols that have a name: the paper's four, 8K with one small view, two used for published APs, and views."""

import re
from typing import Final

from detectors.protocols.fusion import Fusion
from detectors.protocols.protocol import DetectionProtocol
from detectors.protocols.views import Side, View


def _several(name: str, side: Side, sizes_px: tuple[int, ...]) -> DetectionProtocol:
    views = tuple(View(side=side, px=px, is_mirrored=flip) for px in sizes_px for flip in (False, True))
    return DetectionProtocol(name=name, views=views, fusion=Fusion())


def _one(name: str, view: View) -> DetectionProtocol:
    return DetectionProtocol(name=name, views=(view,))


PRESETS: Final = {
    protocol.name: protocol
    for protocol in (
        _one("single", View()),
        _several("multi", "short", (500, 800, 1100, 1400, 1700)),
        _one("8k", View(side="long", px=7680)),
        _several("8k-multi", "long", (7680, 5760, 4096)),
        DetectionProtocol(
            name="8k-and-1024",
            views=(View(side="long", px=7680), View(side="long", px=1024)),
            fusion=Fusion(),
        ),
        _one("vga", View(side="long", px=640)),
        _one("resized", View(side="short", px=1600, long_at_most_px=2150)),
    )
}
"""Paper 5.2 (single, multi) and 5.4 (8k, 8k-multi); VGA for SCRFD's published APs, short side 1600 for RetinaFace's.

`8k-and-1024` is not the paper's: the small view, at a fortieth of the time, finds the faces too large for any anchor.
"""

NAMES: Final = ", ".join([*PRESETS, "height-N", "short-N", "long-N"])
"""The names that `named` knows, for messages; the last three may be followed by -max-M, -mirrored or both."""

_MAX_SIZE_PX: Final = 1 << 16
_PATTERN: Final = re.compile(r"(original|(height|short|long)-(\d{1,5}))(-max-(\d{1,5}))?(-mirrored)?")


def named(name: str) -> DetectionProtocol:
    """The protocol of this name: a preset, or a single view by its name, such as `height-480-mirrored`.

    Raises ValueError when there is none.
    """
    if name in PRESETS:
        return PRESETS[name]
    match = _PATTERN.fullmatch(name)
    if match is None:
        raise ValueError(f"there is no protocol {name}: there are {NAMES}")
    px, limit = (int(text) if text else None for text in (match[3], match[5]))
    if not all(size is None or 1 <= size <= _MAX_SIZE_PX for size in (px, limit)):
        raise ValueError(f"the protocol {name}: sizes are from 1 to {_MAX_SIZE_PX} px")
    sides: dict[str | None, Side] = {None: "original", "height": "height", "short": "short", "long": "long"}
    return of_view(View(side=sides[match[2]], px=px, long_at_most_px=limit, is_mirrored=match[6] is not None))


def of_view(view: View) -> DetectionProtocol:
    """The protocol of a single view, under the preset's name if it is one, so that both share what is stored."""
    for preset in PRESETS.values():
        if preset.views == (view,):
            return preset
    return _one(view.name, view)
