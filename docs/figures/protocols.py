"""Draw the pictures of docs/protocols.md.

Run from the repository root: `python docs/figures/protocols.py`, or with the names of some protocols. It writes
docs/images/protocol-*.png, from a picture of the embedded data set and the shipped RetinaFace. `8k-multi` computes
for a minute or two on two cores.
"""

import sys
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import detectors
from crface.boxes import nms
from detectors.protocols import PRESETS, DetectionProtocol, View, protocol_candidates
from pipeline.config.sections import DatasetConfig
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.images.decode import decode_image

IMAGES = Path(__file__).parents[1] / "images"
PICTURE = 0
NMS_IOU, SHOWN_FROM = 0.4, 0.5


def picture() -> np.ndarray:
    """Draw a val picture of the embedded data set of `crface demo`."""
    drawn = compose(DatasetConfig(), "val", PICTURE)
    return decode_image(encode_jpeg(drawn.degraded), Path("picture.jpg"))


def draw(protocol: DetectionProtocol, pixels: np.ndarray) -> None:
    """Draw the views to scale, and what is found in the picture."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), width_ratios=(1.1, 1), layout="constrained")
    draw_views(left, protocol, pixels)
    (found,) = protocol_candidates(detectors.create("retinaface-mobilenet0.25"), protocol, [pixels])
    rows = torch.from_numpy(found)
    rows = rows[rows[:, 4] > SHOWN_FROM]
    rows = rows[nms(rows[:, :4], rows[:, 4], NMS_IOU)]
    right.imshow(pixels)
    for x1, y1, x2, y2, confidence in rows.tolist():
        colour = plt.get_cmap("autumn")((confidence - SHOWN_FROM) / (1 - SHOWN_FROM))
        right.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, linewidth=1.2))
    right.set_title(f"{len(rows)} detections above {SHOWN_FROM}")
    right.axis("off")
    figure.savefig(IMAGES / f"protocol-{protocol.name}.png")
    plt.close(figure)
    print(f"{protocol.name}: {len(rows)} detections above {SHOWN_FROM}")


def draw_views(axes: Axes, protocol: DetectionProtocol, pixels: np.ndarray) -> None:
    """Draw each size as a sheet behind the next smaller one, with its number of pixels."""
    sizes: dict[tuple[int, int], list[View]] = {}
    for view in protocol.views:
        sizes.setdefault(view.size(*pixels.shape[:2]), []).append(view)
    sizes[pixels.shape[:2]] = sizes.get((pixels.shape[0], pixels.shape[1]), [])
    widest = max(width for _, width in sizes)
    for (height, width), views in sorted(sizes.items(), reverse=True):
        small = cv2.resize(pixels, (max(8, 600 * width // widest), max(8, 600 * height // widest)))
        axes.imshow(small if views else 128 + small // 2, extent=(0, width, height, 0), zorder=-height)
        style = "-" if views else ":"
        edge = Rectangle(
            (0, 0), width, height, fill=False, color="black", linestyle=style, zorder=-height + 0.5
        )
        axes.add_patch(edge)
        flips = " and mirrored" if any(view.is_mirrored for view in views) else ""
        label = f"{width} x {height}{flips}" if views else f"the image: {width} x {height}"
        axes.annotate(
            label,
            (width, height),
            (-3, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
        )
    tallest = max(height for height, _ in sizes)
    title = f"{protocol.name}: {protocol.words}"
    axes.set(xlim=(0, widest * 1.01), ylim=(tallest * 1.01, 0))
    axes.set_title(title, loc="left")
    axes.axis("off")


def main() -> None:
    """Draw the pictures of the named protocols, or of all."""
    mpl.rcParams.update({"font.size": 9, "axes.titlesize": 8, "savefig.dpi": 80, "figure.dpi": 80})
    pixels = picture()
    for name in sys.argv[1:] or PRESETS:
        draw(PRESETS[name], pixels)


if __name__ == "__main__":
    main()
