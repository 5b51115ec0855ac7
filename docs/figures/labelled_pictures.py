"""How many labelled pictures does it take? The figure of the README, from the table in docs/results.md.

python docs/figures/labelled_pictures.py docs/images/labelled-pictures.svg
"""

import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

PREDICTED = 71.1
"""AP on hard of RetinaFace mobilenet0.25 on 261 masked-crowd val images."""

FINE_TUNED = {
    20: (15.9, 16.0, 16.0),
    50: (16.5, 17.1, 15.8),
    100: (18.2, 18.3, 16.9),
    200: (18.5, 18.5, 17.8),
    428: (18.8, 19.4, 19.0),
}
"""Gain on hard by number of labelled images, one for each seed."""

PER_BOX = {20: (7.5, 3.4, 6.4), 50: (4.1, 6.0, 4.3), 100: (6.4, 5.4, 6.5), 200: (9.2, 9.1, 7.9), 428: (11.6,)}
"""The same of the default ranker; with 428 images it was trained on YuNet's candidates too."""

WIDER_FINE_TUNED = {20: -15.2, 100: -14.0}
"""Gain on hard of the same fine-tuned detectors on 100 WIDER FACE val images."""


def draw(path: str) -> None:
    """Write the figure."""
    plt.rcParams |= {"svg.hashsalt": "crface", "svg.fonttype": "none", "font.size": 10}
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    lines = (
        (FINE_TUNED, "o-", "#1f5fa8", "detector fine-tuned, pictures like these"),
        (PER_BOX, "s-", "#2f8f4e", "per-box ranker, pictures like these"),
    )
    for gains, marker, colour, label in lines:
        means = [sum(values) / len(values) for values in gains.values()]
        axes.plot(list(gains), means, marker, color=colour, label=label)
        lowest, highest = (
            [min(values) for values in gains.values()],
            [max(values) for values in gains.values()],
        )
        axes.fill_between(list(gains), lowest, highest, color=colour, alpha=0.2, linewidth=0)
    axes.plot(
        list(WIDER_FINE_TUNED),
        list(WIDER_FINE_TUNED.values()),
        "o--",
        color="#b03a2e",
        label="fine-tuned on these, WIDER FACE",
    )
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(list(FINE_TUNED), [str(count) for count in FINE_TUNED])
    axes.minorticks_off()
    axes.set_xlabel("labelled pictures")
    axes.set_ylabel("gain in AP, hard")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(sys.argv[1])
