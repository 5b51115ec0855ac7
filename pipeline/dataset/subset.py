"""Some images of a split, spread evenly over it, as a split of a workspace of their own.

This lets the stages, which know only whole splits, do on a few images what takes minutes per image.
"""

from dataclasses import replace

from pipeline.dataset.index import Index, load_index
from pipeline.dataset.index_file import write_index_file
from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace


def subset(workspace: Workspace, index: Index, num_images: int) -> tuple[Workspace, Index]:
    """The workspace and index of at most `num_images` readable images, in the order of their rows.

    They are the split's own if `num_images` is 0 or there are no more images; otherwise a new index is written. The
    same number of the same images is always the same subset. The caller holds the workspace's lock.

    Raises UserError when the index cannot be written.
    """
    rows = index.ok_rows
    if not 0 < num_images < len(rows):
        return workspace, index
    chosen = [rows[i * len(rows) // num_images] for i in range(num_images)]
    inside = workspace.subset(num_images)
    found = Index(index.header, tuple(replace(index.row(row), row=i) for i, row in enumerate(chosen)))
    path = inside.index(index.split)
    if not path.exists() or not _is_same(load_index(inside, index.split), found):
        try:
            write_index_file(path, found.header, found.all_rows)
        except OSError as error:
            raise UserError(f"cannot write the index {path}: {error.strerror or error}") from error
    return inside, found


def _is_same(one: Index, other: Index) -> bool:
    return (one.header, one.digest, one.labels_digest) == (other.header, other.digest, other.labels_digest)
