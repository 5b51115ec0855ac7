"""The stage that stores candidates of a detector that ran elsewhere, as if it had run here."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crface.array_shapes import ScoredBoxes
from crface.text import cropped, quoted
from detectors import MAX_CANDIDATES
from pipeline.blocks.commit import ComputedRow, compute_block
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import plan_blocks
from pipeline.blocks.store import CandidateStore
from pipeline.dataset.index import ImageRow, Index
from pipeline.dataset.names import match_names
from pipeline.errors import UsageError, UserError
from pipeline.formats.box_units import suspected_units
from pipeline.formats.foreign import ForeignResults
from pipeline.imports.imported import imported_key, imported_parts, record_import
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.layout import CandidateKey, Workspace, slug

_MAX_SHARE_OUTSIDE = 0.5
_MAX_RELATIVE_PX = 2.0  # coordinates that all stay below are shares of the image, not pixels


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ImportPlan:
    """What an import would store, and what is odd about it; planning writes nothing."""

    workspace: Workspace
    index: Index
    results: ForeignResults
    parts: Parts
    boxes: dict[int, ScoredBoxes]
    """Candidates by row of the index, at most 5000 each."""
    unknown: tuple[str, ...]
    """Names in the results of images that the split lacks; they are left out."""
    missing: tuple[str, ...]
    """Readable images of the split that the results lack."""
    cut: tuple[str, ...]
    """Images with more than 5000 boxes, of which the best are kept."""
    outside: tuple[str, ...]
    """`path: n of m boxes` for every image with boxes wholly outside it, which are kept."""
    num_outside: int
    """Boxes wholly outside their image, of all images."""
    num_boxes: int
    """Boxes of all images that would be stored."""

    @property
    def key(self) -> CandidateKey:
        """The key of the store that the candidates go to."""
        return imported_key(self.index.split, self.parts)

    def check(self, is_missing_allowed: bool) -> None:
        """Refuse what must not be stored.

        Raises UserError when something could not be read, an image is missing from the results, none of their
        names is known, or the boxes are not in pixels of the images.
        """
        source = self.results.source
        if self.results.bad:
            raise UserError(
                f"{_counted(len(self.results.bad), 'entry', 'entries')} of {source} cannot be used"
            )
        if self.results.boxes and not self.boxes:
            raise UserError(
                f"{source} has results for no image of the {self.index.split} split: its names are like "
                f"{quoted(next(iter(self.results.boxes)))}, the split's like {quoted(self.index.row(0).path)}"
            )
        if self.missing and not is_missing_allowed:
            why = "" if self.results.can_name_empty else ", whose format leaves out images without detections"
            raise UserError(
                f"{_counted(len(self.missing), 'image is', 'images are')} missing from {source}{why}: complete "
                "the results, or have these images stored as without detections by --allow-missing"
            )
        self._check_units()

    def _check_units(self) -> None:
        source = self.results.source
        images = [
            (rows, self.index.row(row).faces.astype(np.float64)) for row, rows in sorted(self.boxes.items())
        ]
        rows_xywh = [
            np.column_stack([rows[:, :2], rows[:, 2:4] - rows[:, :2], rows[:, 4]]) for rows, _ in images
        ]
        units = suspected_units(rows_xywh, [faces for _, faces in images])
        if units is not None:
            raise UserError(
                f"the boxes in {source} look like {units}, but x y w h in pixels of the original image is wanted "
                "(left, top, width, height): convert them first"
            )
        # without labels there is nothing to compare with but the images' sizes
        farthest = max(
            (float(rows[:, :4].max()) for rows in self.boxes.values() if len(rows)), default=np.inf
        )
        sizes = [max(self.index.row(row).width, self.index.row(row).height) for row in self.boxes]
        if farthest <= _MAX_RELATIVE_PX < min(sizes):
            raise UserError(
                f"no coordinate in {source} is beyond {farthest:g}: they look like shares of the image's width "
                "and height; pixels of the original image are wanted"
            )
        if self.num_outside > _MAX_SHARE_OUTSIDE * self.num_boxes:
            raise UserError(
                f"{self.num_outside} of {self.num_boxes} boxes in {source} lie outside their images: they look "
                "like boxes in resized images; pixels of the original image are wanted"
            )


def plan_import(
    workspace: Workspace, index: Index, results: ForeignResults, name: str, protocol: str
) -> ImportPlan:
    """Results matched with a split's images by `match_names`, and what is odd about them.

    `name` is what the detector will be called, `protocol` how it was shown the images.

    Raises UsageError for a name or protocol that is no file name of letters, digits, dots and dashes; UserError for
    an image with two results, and for results that could be of two images.
    """
    for what, given in (("--name", name), ("--protocol", protocol)):
        if slug(given) != given:
            raise UsageError(
                f"{what} {quoted(given)}: use letters, digits, dots, dashes and underscores, such as "
                f"{cropped(slug(given))}"
            )
    source, rows = results.source, {row.path: row for row in index.all_rows if row.status != "removed"}
    matches = match_names(results.boxes, rows, index.header.image_folder)
    for one, other in matches.doubled.items():
        path = matches.found[other]
        raise UserError(f"{source} has results for {path} twice, as {quoted(other)} and as {quoted(one)}")
    for foreign, (one, other) in matches.ambiguous.items():
        raise UserError(
            f"the results in {source} for {quoted(foreign)} could be of {one} or of {other}: name the image as the "
            "data set does"
        )
    boxes: dict[int, ScoredBoxes] = {}
    unknown, cut, outside = [*results.unknown, *matches.unknown], list[str](), list[str]()
    num_outside = 0
    for foreign, path in matches.found.items():
        row, found = rows[path], results.boxes[foreign]
        if len(found) > MAX_CANDIDATES:
            cut.append(f"{row.path}: {len(found)} boxes")
        boxes[row.row] = found[:MAX_CANDIDATES]
        if row.status == "ok" and (number := _num_outside(boxes[row.row], row)):
            outside.append(f"{row.path}: {number} of {len(boxes[row.row])} boxes")
            num_outside += number
    return ImportPlan(
        workspace=workspace,
        index=index,
        results=results,
        parts=imported_parts(name, protocol, _sha256(index, boxes)),
        boxes=boxes,
        unknown=tuple(unknown),
        missing=tuple(index.row(row).path for row in index.ok_rows if row not in boxes),
        cut=tuple(cut),
        outside=tuple(outside),
        num_outside=num_outside,
        num_boxes=sum(len(rows) for rows in boxes.values()),
    )


def store_import(
    plan: ImportPlan, block_images: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Store a checked import block by block, then make `imported:NAME` stand for it; for a single process.

    Images without results are stored without candidates, unreadable images stay unreadable. An import that was
    interrupted continues where it stopped. `progress` is called with the number of images done and of all.

    Raises UserError when the store cannot be written.
    """
    workspace, index, key = plan.workspace, plan.index, plan.key
    path = workspace.candidates(key)
    attrs = {
        "detector": key.detector,
        "weights": plan.parts["detector"]["weights"],
        "protocol": key.protocol,
        "columns": ["x1", "y1", "x2", "y2", "confidence"],
        "parts": plan.parts,
        "dataset": index.digest,
        "source": str(Path(plan.results.source).absolute()),
    }
    ledger = Ledger(workspace.candidates_ledger(key))

    def compute(rows: list[int]) -> Iterator[ComputedRow]:
        for row in map(index.row, rows):
            if row.status == "ok":
                found = plan.boxes.get(row.row, np.zeros((0, 5), np.float32))
                yield ComputedRow(row.row, found, row.sha256)
            else:
                yield ComputedRow(row.row, None, "")

    try:
        store = CandidateStore.create_or_grow(path, len(index), block_images, attrs)
        blocks = plan_blocks(
            index.row_digests, ledger.read(), store.shard_bytes(), store.block_images, store.num_images
        )
        for block in blocks:
            compute_block(store, ledger, block, compute, "the importing machine; detected elsewhere")
            if progress is not None:
                progress(block.stop, len(index))
        ledger.gather()
        record_import(workspace, index.split, plan.parts)
    except OSError as error:
        raise UserError(f"cannot make the store {path}: {error.strerror or error}") from error


def _num_outside(boxes: ScoredBoxes, row: ImageRow) -> int:
    x1, y1, x2, y2 = boxes[:, :4].T
    return int(((x2 < 0) | (y2 < 0) | (x1 > row.width) | (y1 > row.height)).sum())


def _sha256(index: Index, boxes: Mapping[int, ScoredBoxes]) -> str:
    """A hash of every image's boxes, whatever file they were read from."""
    digest = hashlib.sha256()
    for row in sorted(boxes, key=lambda row: index.row(row).path):
        digest.update(f"{index.row(row).path}\0{len(boxes[row])}\n".encode())
        digest.update(boxes[row].tobytes())
    return digest.hexdigest()


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
