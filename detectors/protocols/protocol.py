"""A protocol: how an image is presented to a detector, and how the results are fused."""

from dataclasses import dataclass, replace
from itertools import groupby

from detectors.protocols.fusion import Fusion
from detectors.protocols.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionProtocol:
    """Views of an image, and how their candidates are fused if there are several.

    The candidates of a single view stay as they are. Raises ValueError for no view, a repeated view, or several
    views without a fusion.
    """

    name: str
    """The name that results are filed and shown under; it decides nothing else."""
    views: tuple[View, ...]
    fusion: Fusion | None = None
    """The fusion of the views' candidates; None for a single view."""

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
        """The sizes at which a detector sees an image, in words.

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
        """The protocol with no side of a view above `max_side_px`, named accordingly; itself if that changes nothing.

        Views that become equal are kept once.
        """
        views = tuple(dict.fromkeys(view.limited(max_side_px) for view in self.views))
        if views == self.views:
            return self
        fusion = self.fusion if len(views) > 1 else None
        return DetectionProtocol(name=f"{self.name}-max-{max_side_px}", views=views, fusion=fusion)


def _sizes(views: list[View]) -> str:
    """The sizes of views in words, naming the side once: `short side 500, 800`."""
    listed = []
    for _, group in groupby(views, key=lambda view: (view.side, view.long_at_most_px)):
        first, *others = group
        numbers = [str(view.px) for view in others]
        words, comma, limit = first.size_in_words.partition(", ")
        listed.append(", ".join([words, *numbers]) + comma + limit)
    return "; ".join(listed)
