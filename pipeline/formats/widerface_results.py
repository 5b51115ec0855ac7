"""Detections in WIDER FACE's result format as foreign results: what `widerface_text` reads, and what is wrong."""

from pathlib import Path

from pipeline.dataset.index import Index
from pipeline.dataset.names import text_names
from pipeline.formats.foreign import ForeignResults, candidate_rows, score_complaint
from pipeline.formats.widerface_text import ResultFiles, find_results, read_results

_UNKNOWN = ("unknown image", "unknown event")


def read_text_results(folder: Path, index: Index) -> ForeignResults:
    """The detections in the files `<event>/<image>.txt` of a split's images; lines that make no sense are in `bad`.

    Raises UserError when the folder or a file cannot be read, or no file is of an image of the split.
    """
    paths = text_names(row.path for row in index.all_rows if row.status != "removed")
    files = find_results(folder, paths, index.header.image_folder)
    read = read_results(ResultFiles(folder, files.paths, ()), is_lenient=True)
    bad = [str(problem) for problem in (*files.problems, *read.problems) if problem.kind not in _UNKNOWN]
    for name, rows in read.detections.items():
        if words := score_complaint(rows[:, 4]):
            bad.append(f"{files.paths[name]}: {words}")
    return ForeignResults(
        source=folder,
        boxes={paths[name]: candidate_rows(rows) for name, rows in read.detections.items()},
        bad=tuple(bad),
        unknown=tuple(
            problem.path.relative_to(folder).as_posix()
            for problem in files.problems
            if problem.kind in _UNKNOWN
        ),
        can_name_empty=True,
    )
