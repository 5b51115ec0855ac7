"""The commands of `crface`, in the groups in which `crface --help` lists them."""

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """Where a command is, and what it does."""

    module: str
    """Module of `workflows.cli`."""
    name: str
    """Object in that module."""
    sentence: str
    """The first sentence of the command's help."""


GROUPS: Final = {
    "The job": {
        "demo": Entry("run", "demo", "Run the whole job on the embedded data set."),
        "plan": Entry("run", "plan", "Show what would be computed, and why."),
        "cache": Entry("run", "cache", "Store the candidates of every image."),
        "train": Entry("run", "train", "Train the confidence ranker."),
        "rank": Entry("run", "rank", "Refine the cached confidences with a ranker."),
        "evaluate": Entry("run", "evaluate", "Measure AP before and after ranking."),
    },
    "Data": {
        "dataset": Entry("dataset", "dataset", "Make, collect, join or check a data set."),
        "import-candidates": Entry("imports", "import_candidates", "Import the boxes of a foreign detector."),
        "export-detections": Entry("export", "export_detections", "Export detections for other programs."),
    },
    "Detectors and rankers": {
        "detectors": Entry("detector", "list_detectors", "List the available detectors."),
        "weights": Entry("weights", "weights", "Import or verify a detector's weights."),
        "train-detector": Entry("detector", "train_detector", "Train a detector on the train split."),
        "export-ranker": Entry("export_ranker", "export_ranker", "Export a ranker as an ONNX file."),
    },
    "Looking": {
        "report": Entry("report", "report", "Write the HTML report."),
        "view": Entry("view", "view", "Look through all images in a browser."),
        "detect": Entry("detect", "detect", "Draw detected faces on images."),
        "status": Entry("inventory", "status", "Show what is stored, and what is stale."),
    },
    "Measuring": {
        "score": Entry("score", "score", "Score a folder of text results."),
        "evaluate-protocols": Entry("protocols", "evaluate_protocols", "Compare protocols and rankers."),
        "evaluate-resolutions": Entry(
            "resolutions", "evaluate_resolutions", "Measure AP over image height (Figure 2)."
        ),
        "ablate": Entry("ablate", "ablate", "Compare losses or numbers of pairs."),
        "bench": Entry("bench", "bench", "Measure speed and cost on this machine."),
    },
    "The machine": {
        "doctor": Entry("doctor", "doctor", "Check this machine before a long job."),
        "clean": Entry("inventory", "clean", "Remove what nothing refers to any more."),
    },
}

COMMANDS: Final = {name: entry for commands in GROUPS.values() for name, entry in commands.items()}
