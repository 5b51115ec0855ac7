"""crface export-ranker: a ranker's ONNX file, written only if it gives the ranker's confidences."""

from pathlib import Path

from pipeline.errors import UserError
from pipeline.workspace.writing import refuse_to_replace, write_atomically

TOLERANCE = 1e-4
"""Largest difference between two confidences that counts as rounding."""


def write_onnx(ranker_file: Path, output: Path) -> float:
    """Write the ranker as ONNX; the largest difference found between their confidences.

    Raises UserError when the file is no ranker, a package is missing, or the two differ by more than 1e-4.
    """
    from crface import ranker
    from crface.file_kind import file_kind
    from crface.ranker.onnx_export import largest_difference, to_onnx

    refuse_to_replace(
        output, "ONNX file", lambda path: (kind := file_kind(path)) is not None and kind.is_onnx
    )
    try:
        model = ranker.load(ranker_file)
        content = to_onnx(model)
        difference = largest_difference(model, content)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not difference <= TOLERANCE:
        raise UserError(
            f"the ONNX file of {ranker_file} gives confidences {difference:.1e} from PyTorch's, more than "
            f"{TOLERANCE:.0e}: it is not written; please report it with the versions of torch and onnxruntime"
        )
    write_atomically(output, content)
    return difference
