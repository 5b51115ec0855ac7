"""Detections in WIDER FACE's result format as foreign results: what `result_text` reads, and what is wrong with it."""

from pathlib import Path

from pipeline.dataset.index import Index
from pipeline.formats.foreign import ForeignResults, candidate_rows
from pipeline.formats.widerface_text import ResultFiles, find_results, read_results
from pipeline.ground_truth.truth import image_name

_UNKNOWN = ("unknown image", "unknown event")


def read_text_results(folder: Path, index: Index) -> ForeignResults:
    """Read the files `<event>/<image>.txt` of a split's images; every line that is not understood is in `bad`.

    Raises UserError when the folder or a file cannot be read, or no file is of an image of the split.
    """
    files = find_results(folder, (image_name(row.path) for row in index.all_rows))
    read = read_results(ResultFiles(folder, files.paths, ()), is_lenient=True)
    bad = [str(problem) for problem in (*files.problems, *read.problems) if problem.kind not in _UNKNOWN]
    for name, rows in read.detections.items():
        beyond = rows[(rows[:, 4] < 0) | (rows[:, 4] > 1), 4]
        if len(beyond):
            bad.append(f"{files.paths[name]}: {len(beyond)} scores as {beyond[0]:g}; confidences are 0 to 1")
    return ForeignResults(
        source=folder,
        boxes={name: candidate_rows(rows) for name, rows in read.detections.items()},
        bad=tuple(bad),
        unknown=tuple(
            problem.path.relative_to(folder).as_posix()
            for problem in files.problems
            if problem.kind in _UNKNOWN
        ),
        can_name_empty=True,
    )
