"""Draw the pictures of docs/anchors.md and print the numbers in its text.

Run from the repository root: `python docs/figures/anchors.py`. It writes docs/images/anchors-*.png. Everything comes
from the package itself: a picture of the embedded data set, the shipped RetinaFace, its priors and its matching.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

import detectors
from crface.boxes import iou, nms
from crface.oracle import oracle_confidence
from detectors.adapter import NetworkDetector
from detectors.forward.pixels import to_input
from detectors.networks.priors import HAMBOX_LAYOUT, RETINAFACE_LAYOUT, PriorLayout, decode_boxes, make_priors
from detectors.training.matching import BACKGROUND, IGNORED, match_priors
from detectors.training.mining import compensate
from pipeline.config.sections import DatasetConfig
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.images.decode import decode_image

IMAGES = Path(__file__).parents[1] / "images"
DETECTOR = "retinaface-mobilenet0.25"
FACE_COLORS = [plt.get_cmap("tab10")(i % 10) for i in range(40)]
LEVEL_COLORS = ["#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02"]
NUM_COLORS = 160
POSITIVE_IOU = 0.35
MINED_IOU, REGRESSED_IOU, ANCHORS_PER_FACE = 0.5, 0.8, 6
NMS_IOU, SCORE_THRESHOLD, SHOWN_FROM = 0.4, 0.02, 0.3


@dataclass(frozen=True)
class Example:
    """A picture with its faces, xyxy in its pixels; `ignored` are those labelled invalid."""

    name: str
    pixels: np.ndarray
    faces: Tensor
    ignored: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def example(number: int) -> Example:
    """Draw a val picture of the embedded data set of `crface demo`."""
    picture = compose(DatasetConfig(), "val", number)
    boxes = {
        invalid: torch.tensor(
            [[f.x, f.y, f.x + f.w, f.y + f.h] for f in picture.faces if f.invalid == invalid]
        )
        for invalid in (0, 1)
    }
    name = f"val picture {number}"
    pixels = decode_image(encode_jpeg(picture.degraded), Path(name))
    return Example(name, pixels, boxes[0].float().reshape(-1, 4), boxes[1].float().reshape(-1, 4))


def priors_px(shown: Example, layout: PriorLayout) -> Tensor:
    """Give a picture's priors, xyxy in pixels."""
    height, width = shown.size
    priors = make_priors(height, width, layout)
    return decode_boxes(torch.zeros_like(priors), priors) * torch.tensor([width, height, width, height])


def show(axes: Axes, shown: Example, title: str) -> None:
    """Put a picture, paled, on axes without ticks."""
    axes.imshow(shown.pixels, alpha=0.55, interpolation="bilinear")
    axes.set_xlim(0, shown.size[1])
    axes.set_ylim(shown.size[0], 0)
    axes.set_title(title)
    axes.set_axis_off()


def box(axes: Axes, xyxy: Tensor, **style: object) -> None:
    """Draw the outline of a box."""
    x1, y1, x2, y2 = xyxy.tolist()
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **{"fill": False, "linewidth": 1.0, **style}))


def save(figure: Figure, name: str) -> None:
    """Write a figure to docs/images, with a palette so that it stays small."""
    path = IMAGES / f"anchors-{name}.png"
    drawn = io.BytesIO()
    figure.savefig(drawn)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(NUM_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"wrote {path.name}: {path.stat().st_size // 1000} kB")


def draw_layouts(shown: Example) -> None:
    """Draw where the priors of both layouts lie, and the priors of one cell of every map."""
    figure, both = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained")
    for axes, (name, layout) in zip(
        both, [("RetinaFace", RETINAFACE_LAYOUT), ("HAMBox", HAMBOX_LAYOUT)], strict=True
    ):
        priors = priors_px(shown, layout)
        show(axes, shown, f"{name}: {len(priors):,} priors")
        print(f"{name}: {len(priors)} priors in a picture of {shown.size[1]} x {shown.size[0]}")
        start = 0
        height, width = shown.size
        for stride, sides, color in zip(layout.strides_px, layout.sides_px, LEVEL_COLORS, strict=False):
            rows, columns = -(-height // stride), -(-width // stride)
            count = rows * columns * len(sides)
            level = priors[start : start + count].reshape(rows, columns, len(sides), 4)
            start += count
            print(f"  stride {stride:3}: {rows} x {columns} cells, sides {sides}: {count} priors")
            middle = level[rows // 2, columns // 2]
            label = f"stride {stride}: {' and '.join(map(str, sides))} px"
            for i, prior in enumerate(middle):
                box(axes, prior, edgecolor=color, linewidth=1.6, label=label if i == 0 else None)
            # the centres of a corner are enough: all of them would hide the picture
            centres = (level[:, :, 0, :2] + level[:, :, 0, 2:]) / 2
            corner = centres[(centres < torch.tensor([160.0, 128.0])).all(dim=-1)]
            axes.plot(*corner.T.numpy(), ".", color=color, markersize=1 + stride / 16)
        axes.legend(loc="lower right", fontsize=7, framealpha=0.9)
    save(figure, "layouts")


def draw_matches(shown: Example) -> None:
    """Draw the priors that match each face in both layouts, and those that an ignored face silences."""
    figure, both = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained")
    for axes, (name, layout) in zip(
        both, [("RetinaFace", RETINAFACE_LAYOUT), ("HAMBox", HAMBOX_LAYOUT)], strict=True
    ):
        priors = priors_px(shown, layout)
        labels = match_priors(shown.faces, shown.ignored, priors, POSITIVE_IOU)
        counts = torch.bincount(labels[labels >= 0], minlength=len(shown.faces))
        num_ignored = int((labels == IGNORED).sum())
        show(axes, shown, f"{name}: {int(counts.sum())} match a face, {num_ignored} are ignored")
        for prior, face in zip(priors[labels >= 0], labels[labels >= 0].tolist(), strict=True):
            box(axes, prior, edgecolor=FACE_COLORS[face], linewidth=0.6, alpha=0.6)
            middle = (prior[:2] + prior[2:]) / 2
            axes.plot(*middle.tolist(), "o", color=FACE_COLORS[face], markersize=3)
        centres = (priors[labels == IGNORED][:, :2] + priors[labels == IGNORED][:, 2:]) / 2
        axes.plot(*centres.T.numpy(), "x", color="black", markersize=4, markeredgewidth=0.7)
        for region in shown.ignored:
            box(axes, region, edgecolor="black", linestyle="--", linewidth=1.4)
        for face, (xyxy, count) in enumerate(zip(shown.faces, counts.tolist(), strict=True)):
            box(axes, xyxy, edgecolor="white", linewidth=3.6)
            box(axes, xyxy, edgecolor=FACE_COLORS[face], linewidth=2.2)
            axes.annotate(
                f"{count} priors",
                (xyxy[0].item(), xyxy[3].item()),
                fontsize=8,
                va="top",
                bbox={"facecolor": "white", "pad": 1, "linewidth": 0},
                annotation_clip=True,
            )
        axes.set_xlim(10, 330)  # the left half holds every case; all faces would hide one another
        axes.set_ylim(420, 140)
        heights = (shown.faces[:, 3] - shown.faces[:, 1]).int().tolist()
        print(f"{name}: {counts.sum()} matched, {num_ignored} ignored, {len(labels)} in all")
        print("  face heights px:", heights)
        print("  priors matched: ", counts.tolist())
    save(figure, "matches")


def draw_mining(shown: Example, detector: NetworkDetector) -> None:
    """Draw a small face's priors after both steps of HAMBox's mining, with what the network makes of them."""
    height, width = shown.size
    relative = make_priors(height, width, RETINAFACE_LAYOUT)
    with torch.inference_mode():
        offsets, *_ = detector.network(to_input(torch.from_numpy(shown.pixels[None])))
    regressed = decode_boxes(offsets[0], relative) * torch.tensor([width, height, width, height])
    priors = priors_px(shown, RETINAFACE_LAYOUT)
    first = match_priors(shown.faces, shown.ignored, priors, MINED_IOU)
    both = compensate(first, shown.faces, regressed, ANCHORS_PER_FACE, REGRESSED_IOU)
    is_added = (first == BACKGROUND) & (both >= 0)
    good = (iou(regressed, shown.faces).amax(dim=1) >= REGRESSED_IOU) & (first == BACKGROUND)
    count = [torch.bincount(x[x >= 0], minlength=len(shown.faces)) for x in (first, both)]
    print(f"mining, IoU {MINED_IOU}, then K {ANCHORS_PER_FACE} at regressed IoU {REGRESSED_IOU}:")
    print("  face heights px:", (shown.faces[:, 3] - shown.faces[:, 1]).int().tolist())
    print(f"  step 1: {count[0].tolist()}, {count[0].sum()} in all")
    print(f"  step 2: {count[1].tolist()}, {count[1].sum()} in all")
    print(f"  unmatched priors whose regressed box is good: {good.sum()}; added: {is_added.sum()}")
    face = int((count[1] - count[0]).argmax())
    added = is_added & (both == face)
    before = iou(priors[added], shown.faces[face : face + 1])[:, 0]
    after = iou(regressed[added], shown.faces[face : face + 1])[:, 0]
    print(
        f"  the face drawn is {face}; its added priors overlap it by {before.min():.2f}..{before.max():.2f},"
    )
    print(f"  their regressed boxes by {after.min():.2f}..{after.max():.2f}")
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
    drawn = [
        (
            priors[first == face],
            "#d95f02",
            f"step 1: {int(count[0][face])} prior matches it",
        ),
        (priors[added], "#7570b3", f"step 2 adds {int(added.sum())} priors ..."),
        (regressed[added], "#1b9e77", "... for these are their regressed boxes"),
    ]
    centre = (shown.faces[face, :2] + shown.faces[face, 2:]) / 2
    reach = (shown.faces[face, 3] - shown.faces[face, 1]).item() * 1.4
    for axes, (boxes, color, title) in zip(panels, drawn, strict=True):
        show(axes, shown, title)
        axes.set_xlim(centre[0].item() - reach, centre[0].item() + reach)
        axes.set_ylim(centre[1].item() + reach, centre[1].item() - reach)
        for xyxy in boxes:
            box(axes, xyxy, edgecolor=color, linewidth=1.4)
        box(axes, shown.faces[face], edgecolor="black", linestyle="--", linewidth=1.6)
    save(figure, "mining")


def draw_detections(shown: Example, detector: NetworkDetector) -> None:
    """Draw candidates before and after NMS, by predicted confidence, against the oracle."""
    found = torch.from_numpy(detector.candidates([shown.pixels])[0])
    found = found[found[:, 4] > SCORE_THRESHOLD]
    oracle = oracle_confidence(found[:, :4], shown.faces)
    kept = nms(found[:, :4], found[:, 4], NMS_IOU)
    best = nms(found[:, :4], oracle, NMS_IOU)
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13, 4.1), layout="constrained", width_ratios=[1.3, 1.3, 1]
    )
    color = plt.get_cmap("viridis_r")
    visible = found[found[:, 4] > SHOWN_FROM]
    show(left, shown, f"before NMS: {len(visible)} candidates above {SHOWN_FROM}")
    for row in visible.flip(0):
        box(left, row[:4], edgecolor=color(row[4].item()), linewidth=0.8)
    survivors = [i for i in kept.tolist() if found[i, 4] > SHOWN_FROM]
    show(middle, shown, f"after NMS: {len(survivors)}, predicted / oracle")
    for face in shown.faces:
        box(middle, face, edgecolor="black", linestyle="--")
    for i in survivors:
        box(middle, found[i, :4], edgecolor=color(found[i, 4].item()), linewidth=1.6)
        middle.annotate(
            f"{found[i, 4]:.2f}/{oracle[i]:.2f}",
            (found[i, 0].item(), found[i, 1].item()),
            fontsize=6,
            va="bottom",
            bbox={"facecolor": "white", "pad": 0.6, "linewidth": 0, "alpha": 0.8},
        )
    right.plot(found[:, 4], oracle, ".", color="#bbbbbb", markersize=4, label="candidates")
    right.plot(found[kept, 4], oracle[kept], "o", color="#d95f02", markersize=4, label="kept by NMS")
    right.plot([0, 1], [0, 1], color="black", linewidth=0.6)
    right.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
    right.set(xlabel="predicted confidence", ylabel="oracle confidence (IoU)", xlim=(0, 1), ylim=(0, 1))
    right.legend(loc="upper left", fontsize=7)
    save(figure, "detections")
    print(f"{DETECTOR}: {len(found)} candidates above {SCORE_THRESHOLD}, {len(visible)} above {SHOWN_FROM};")
    print(f"  NMS keeps {len(kept)}, of them {len(survivors)} above {SHOWN_FROM}")
    right_boxes = (oracle[kept] >= 0.5).sum()
    print(f"  kept and on a face (IoU 0.5): {right_boxes} of {len(kept)}; {len(shown.faces)} faces")
    print(f"  mean IoU of the best box of each face: kept {_best(shown, found[kept]):.3f},", end=" ")
    print(f"kept in oracle order {_best(shown, found[best]):.3f}")
    overlaps = iou(shown.faces, found[:, :4])
    of_face = iou(shown.faces, found[kept, :4])
    hard = int(overlaps.amax(dim=1).argmin())
    believed = kept[of_face[hard] >= 0.5][0]  # NMS gives the most confident first
    best_box = int(overlaps[hard].argmax())
    print(f"  face {hard}: NMS prefers a box of IoU {overlaps[hard, believed]:.2f},", end=" ")
    print(f"confidence {found[believed, 4]:.2f}, to one of {overlaps[hard, best_box]:.2f},", end=" ")
    print(f"confidence {found[best_box, 4]:.2f}")
    order = found[kept, 4].argsort(descending=True, stable=True)
    is_face = oracle[kept][order] >= 0.5
    wrong = torch.nonzero(~is_face)[:1].flatten().tolist()
    print(
        f"  in order of predicted confidence the first wrong box is number {wrong[0] + 1 if wrong else None}"
    )
    print(f"  correlation of predicted and oracle confidence: {_correlation(found[:, 4], oracle):.2f} (all),")
    on_face = oracle >= 0.5
    print(f"  {_correlation(found[on_face, 4], oracle[on_face]):.2f} (of the {on_face.sum()} on a face)")


def _best(shown: Example, rows: Tensor) -> float:
    return iou(shown.faces, rows[:, :4]).amax(dim=1).mean().item()


def _correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def main() -> None:
    """Draw all pictures."""
    mpl.rcParams.update({"font.size": 9, "axes.titlesize": 9, "savefig.dpi": 90, "figure.dpi": 90})
    IMAGES.mkdir(exist_ok=True)
    detector = detectors.create(DETECTOR)
    assert isinstance(detector, NetworkDetector)
    party, crowd = example(11), example(0)
    draw_layouts(party)
    draw_matches(party)
    draw_mining(crowd, detector)
    draw_detections(party, detector)


if __name__ == "__main__":
    main()
