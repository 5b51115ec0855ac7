"""The protocols that have a name: the paper's four, two that published APs are given under, and any size."""

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
        _one("vga", View(side="long", px=640)),
        _one("resized", View(side="short", px=1600, long_at_most_px=2150)),
    )
}
"""Paper 5.2 (single, multi) and 5.4 (8k, 8k-multi); VGA as SCRFD's and the short side of 1600 as RetinaFace's APs."""

NAMES: Final = ", ".join([*PRESETS, "height-N", "short-N", "long-N"])
"""What `named` knows, for messages; the last three also with -max-M, -mirrored or both behind."""

_MAX_SIZE_PX: Final = 1 << 16
_PATTERN: Final = re.compile(r"(original|(height|short|long)-(\d{1,5}))(-max-(\d{1,5}))?(-mirrored)?")


def named(name: str) -> DetectionProtocol:
    """Give the protocol of this name: a preset, or one view by its name, as `height-480` or `short-500-mirrored`.

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
    """Give the protocol of one view, under its preset's name where it is one, so that both share what is stored."""
    for preset in PRESETS.values():
        if preset.views == (view,):
            return preset
    return _one(view.name, view)
