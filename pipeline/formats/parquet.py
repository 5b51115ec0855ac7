"""Detections in Parquet as `crface export-detections` writes them: one row per image, its boxes in lists."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crface.text import cropped, quoted
from pipeline.errors import UserError
from pipeline.formats.foreign import ForeignResults, candidate_rows, complaint

MARK: Final = b"PAR1"
"""How every Parquet file begins."""

COLUMNS: Final = ("x1", "y1", "x2", "y2", "score")
"""The lists of an image's row, all of one length; beside them `path`, `width` and `height`."""


def read_parquet_results(file: Path) -> ForeignResults:
    """The detections of a file that has the columns `path` and COLUMNS.

    Raises UserError when the file cannot be read, a column is missing or of another kind, or an image has two rows.
    """
    try:
        table = pq.read_table(file, columns=["path", *COLUMNS]).cast(
            pa.schema([("path", pa.string()), *((name, pa.list_(pa.float64())) for name in COLUMNS)])
        )
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{file} holds no detections that can be read ({cropped(str(error))}): expected a column `path` and the "
            f"lists {', '.join(COLUMNS)}"
        ) from error
    boxes = {}
    bad = []
    for number, row in enumerate(table.to_pylist()):
        where, path = f"{file} row {number}", row["path"]
        lists = [row[name] for name in COLUMNS]
        if path is None or any(one is None for one in lists) or len({len(one) for one in lists}) > 1:
            bad.append(f"{where}: no path, or lists of different lengths")
            continue
        if path in boxes:
            raise UserError(f"{file} has two rows of the image {quoted(path)}: keep one")
        corners = np.array(lists, np.float64).T.reshape(-1, len(COLUMNS))
        rows = np.concatenate([corners[:, :2], corners[:, 2:4] - corners[:, :2], corners[:, 4:]], axis=1)
        if words := next(filter(None, map(complaint, rows)), ""):
            bad.append(f"{where}, {cropped(path)}: {words}")
        boxes[path] = candidate_rows(rows)
    return ForeignResults(source=file, boxes=boxes, bad=tuple(bad), can_name_empty=True)
