"""Protocols by name or from a user's TOML file, and the limits that a detector imposes on them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from detectors.protocols import NAMES, PRESETS, DetectionProtocol, Fusion, View, named
from detectors.protocols.fusion import Method
from detectors.protocols.views import Side
from pipeline.config.sections import CacheConfig, Section
from pipeline.config.toml import read_toml
from pipeline.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_Size = Annotated[int, Field(ge=1, le=1 << 16)]


class _Views(Section):
    """Views of one kind."""

    side: Side = "original"
    px: tuple[_Size, ...] = Field((), strict=False)
    long_at_most_px: _Size | None = None
    also_mirrored: bool = False


class _FusionSection(Section):
    method: Method = "box voting"
    iou_threshold: float = Field(0.4, gt=0, lt=1)
    sigma: float = Field(0.5, gt=0)
    min_confidence: float = Field(0.02, gt=0, lt=1)


class _ProtocolFile(Section):
    views: tuple[_Views, ...] = Field(min_length=1, strict=False)
    fusion: _FusionSection = _FusionSection()


def load_protocol(name_or_path: str) -> DetectionProtocol:
    """The protocol of that name, or the one in a TOML file, named after the file without `.toml`.

    Raises UsageError that lists the known protocols, or says what is wrong in the file.
    """
    if not name_or_path.endswith(".toml"):
        try:
            return named(name_or_path)
        except ValueError as error:
            raise UsageError(f"{error}, or a file that ends in .toml") from error
    name = Path(name_or_path).stem
    if not Path(name_or_path).is_file():
        raise UsageError(f"there is no protocol file {name_or_path}: check the path, or name one of {NAMES}")
    if not _NAME.fullmatch(name) or name in PRESETS:
        raise UsageError(
            f"{name_or_path} cannot be filed as the protocol {name}: give the file a name of letters, digits, "
            "dots and dashes that no other protocol has"
        )
    file = read_toml(name_or_path, _ProtocolFile)
    try:
        views = tuple(view for section in file.views for view in _views(section))
        fusion = Fusion(**file.fusion.model_dump()) if len(views) > 1 else None
        return DetectionProtocol(name=name, views=views, fusion=fusion)
    except ValueError as error:
        raise UsageError(f"{name_or_path}: {error}") from error


def protocol_for(detector_name: str, config: CacheConfig) -> DetectionProtocol:
    """The configured protocol within a detector's size limit; under another name if the limit changes it.

    Raises UsageError as `load_protocol` does.
    """
    protocol = load_protocol(config.protocol)
    limit = config.max_side_px.get(detector_name)
    return protocol if limit is None else protocol.limited(limit)


def limit_note(detector_name: str, config: CacheConfig, sizes: Sequence[tuple[int, int]]) -> str:
    """How many images of these (height, width) a detector's size limit shrinks, in words; empty without a limit."""
    limit = config.max_side_px.get(detector_name)
    if limit is None:
        return ""
    asked = load_protocol(config.protocol)
    num_smaller = sum(
        any(view.size(*size) != view.limited(limit).size(*size) for view in asked.views) for size in sizes
    )
    return (
        f"{detector_name} takes at most {limit} px a side: under {asked.name}, {num_smaller} of {len(sizes)} "
        f"images are shown smaller; filed as {asked.limited(limit).name}"
    )


def _views(section: _Views) -> list[View]:
    flips = (False, True) if section.also_mirrored else (False,)
    return [
        View(side=section.side, px=px, long_at_most_px=section.long_at_most_px, is_mirrored=flip)
        for px in section.px or (None,)
        for flip in flips
    ]
