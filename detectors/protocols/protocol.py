"""A protocol: how an image is presented to a detector, and what becomes of the answers."""

from dataclasses import dataclass, replace
from itertools import groupby

from detectors.protocols.fusion import Fusion
from detectors.protocols.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionProtocol:
    """Views of an image, and how their candidates are fused where there are several.

    The candidates of a single view are left as they are. Raises ValueError when there is no view, the same twice, or
    several without a fusion.
    """

    name: str
    """What it is filed and shown under; decides nothing else."""
    views: tuple[View, ...]
    fusion: Fusion | None = None
    """None for a single view."""

    def __post_init__(self) -> None:
        if not self.views or len(set(self.views)) < len(self.views):
            raise ValueError(f"the protocol {self.name} needs views, each of them once")
        if (self.fusion is None) != (len(self.views) == 1):
            raise ValueError(
                f"the protocol {self.name} has {len(self.views)} views and "
                f"{'no' if self.fusion is None else 'a'} fusion: several views are fused, a single one is not"
            )

    @property
    def words(self) -> str:
        """At which sizes a detector sees an image, for people.

        `original`; `long side 7680`; `short side 500, 800, each also mirrored, box voting 0.4 above 0.02`.
        """
        plain = [view for view in self.views if not view.is_mirrored]
        mirrored = [replace(view, is_mirrored=False) for view in self.views if view.is_mirrored]
        if plain == mirrored:
            sizes = f"{_sizes(plain)}, {'also' if len(plain) == 1 else 'each also'} mirrored"
        else:
            groups = [_sizes(plain), f"mirrored {_sizes(mirrored)}" if mirrored else ""]
            sizes = " and ".join(group for group in groups if group)
        return sizes if self.fusion is None else f"{sizes}, {self.fusion.words}"

    def limited(self, max_side_px: int) -> "DetectionProtocol":
        """Give the protocol in which no view has a longer side, under a name that says so; itself if that is so anyway.

        Views that become the same are shown once.
        """
        views = tuple(dict.fromkeys(view.limited(max_side_px) for view in self.views))
        if views == self.views:
            return self
        fusion = self.fusion if len(views) > 1 else None
        return DetectionProtocol(name=f"{self.name}-max-{max_side_px}", views=views, fusion=fusion)


def _sizes(views: list[View]) -> str:
    """List sizes, naming the side once: `short side 500, 800`."""
    listed = []
    for _, group in groupby(views, key=lambda view: (view.side, view.long_at_most_px)):
        first, *others = group
        numbers = [str(view.px) for view in others]
        words, comma, limit = first.size_in_words.partition(", ")
        listed.append(", ".join([words, *numbers]) + comma + limit)
    return "; ".join(listed)
