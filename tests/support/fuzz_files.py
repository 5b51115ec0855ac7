"""Binary files from elsewhere or from a bad disk: ground truth, images, weights, networks, stores, ledgers."""

import io
import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import torch
from fuzz_target import Target, put
from onnx_files import write_centre_map
from safetensors.torch import save
from wider_folder import Picture, mat_variables

from crface.weights import load_state, read_metadata
from detectors.onnx_adapter.model_file import read_model
from detectors.onnx_adapter.session import OnnxModel
from pipeline.blocks.ledger import Ledger, LedgerRow, encoded
from pipeline.blocks.store import CandidateStore, NotComputed
from pipeline.dataset.index_file import Header, ImageRow, read_index_file, write_index_file
from pipeline.ground_truth.official_files import read_faces, read_kept
from pipeline.images.decode import decode_image
from pipeline.images.header import header_size, image_format

_MAX_PIXELS = 1_000_000
_STATE = {"conv.weight": torch.arange(24, dtype=torch.float32).reshape(4, 6), "step": torch.tensor(7)}
_LEDGER_ROWS = tuple(
    LedgerRow(
        block=i,
        start=4 * i,
        stop=4 * i + 2,
        row_digests=("a" * 64, ""),
        shard_bytes=(1000, 20),
        errors=("e: x",),
    )
    for i in range(3)
)
_PICTURES = (
    Picture("0--Parade", "a", faces=[(1, 2, 30, 40), (5, 6, 7, 8)], kept={"easy": [1], "hard": [1, 2]}),
    Picture("0--Parade", "b"),
    Picture("1--March", "c", faces=[(9, 9, 9, 9)], kept={"easy": [1]}),
)
_CANDIDATES = np.random.default_rng(0).uniform(0, 1000, (3, 5)).astype(np.float32)


def _mats(setting: str | None) -> Callable[[], Sequence[bytes]]:
    def samples() -> Sequence[bytes]:
        files = []
        for is_compressed in (False, True):
            file = io.BytesIO()
            scipy.io.savemat(file, mat_variables(_PICTURES, setting), do_compression=is_compressed)
            files.append(file.getvalue())
        return files

    return samples


def _check_faces(data: bytes, folder: Path) -> None:
    path = put(folder / "wider_face_val.mat", data)
    names, faces = read_faces(path)
    assert len(names) == len(set(names)) == len(faces)
    # not compared with SciPy, which some of these files make end the process
    assert all(boxes.shape[1:] == (4,) and np.isfinite(boxes).all() for boxes in faces)


def _check_kept(data: bytes, folder: Path) -> None:
    path = put(folder / "wider_easy_val.mat", data)
    names = [f"{picture.event}/{picture.stem}" for picture in _PICTURES]
    kept = read_kept(path, names, [np.float64(picture.faces).reshape(-1, 4) for picture in _PICTURES])
    assert [len(one) for one in kept] == [len(picture.faces) for picture in _PICTURES]


@cache
def _images(suffix: str) -> tuple[bytes, ...]:
    columns, rows = np.meshgrid(np.linspace(0, 255, 60), np.linspace(0, 255, 40))
    picture = np.dstack([columns, rows, np.random.default_rng(0).uniform(0, 255, columns.shape)]).astype(
        np.uint8
    )
    options = {".jpg": [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)]}
    return tuple(cv2.imencode(suffix, picture, kind)[1].tobytes() for kind in options.get(suffix, [()]))


def _check_image(data: bytes, folder: Path) -> None:
    image = decode_image(data, Path("picture"), _MAX_PIXELS)
    kind = image_format(data)
    assert kind is not None
    assert image.shape[1::-1] == header_size(data, kind)
    if kind == "PNG" and _is_whole_png(data):
        np.testing.assert_array_equal(image, decode_image(_images(".png")[0], Path("whole")))


def _is_whole_png(data: bytes) -> bool:
    """Whether the parts that decide the pixels are those of the sample."""
    return _png_parts(data) == _png_parts(_images(".png")[0])


def _png_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    position, parts = 8, []
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        parts.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return parts


@cache
def _safetensors() -> tuple[bytes, ...]:
    return (save(_STATE, metadata={"crface": '{"detector": "x"}'}),)


@cache
def _checkpoints() -> tuple[bytes, ...]:
    files = []
    for state, is_zip in ((_STATE, True), (_STATE, False), ({"state_dict": _STATE}, True)):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=is_zip)
        files.append(file.getvalue())
    return tuple(files)


def _check_safetensors(data: bytes, folder: Path) -> None:
    path = put(folder / "w.safetensors", data)
    state = load_state(path)
    assert all(isinstance(key, str) and tensor.device.type == "cpu" for key, tensor in state.items())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert {name.removeprefix("module.") for name in header} - {"__metadata__"} == set(state)
    read_metadata(path)


def _check_checkpoint(data: bytes, folder: Path) -> None:
    state = load_state(put(folder / "w.pth", data))
    assert all(isinstance(key, str) and isinstance(tensor, torch.Tensor) for key, tensor in state.items())


@cache
def _onnx_files() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        return (write_centre_map(Path(folder) / "tiny.onnx").read_bytes(),)


def _check_onnx(data: bytes, folder: Path) -> None:
    path = put(folder / "m.onnx", data)
    read_model(path)
    model = OnnxModel(path, "cpu", ["heat", "size", "offset"])
    outputs = model.run(np.zeros((1, 3, 8, 8), np.float32))
    assert set(outputs) == {"heat", "size", "offset"}


def _store(folder: Path) -> CandidateStore:
    store = CandidateStore.create_or_grow(folder / "c.zarr" / "val", 3, 2, {"detector": "fake"})
    store.write_block(0, [_CANDIDATES, _CANDIDATES[:1]])
    store.write_block(2, [None])
    return store


_PARTS = ("zarr.json", "boxes/zarr.json", "count/zarr.json", "boxes/c/0/0/0", "count/c/0")


def _stored(part: str) -> Callable[[], Sequence[bytes]]:
    def samples() -> Sequence[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return [(_store(Path(folder)).path / part).read_bytes()]

    return samples


def _check_store(part: str) -> Callable[[bytes, Path], None]:
    def check(data: bytes, folder: Path) -> None:
        root = folder / "c.zarr" / "val"
        if not root.exists():
            _store(folder)
        put(root / part, data)
        store = CandidateStore.open(root)
        counts = store.counts()
        for row, expected in enumerate((_CANDIDATES, _CANDIDATES[:1])):
            try:
                found = store.read(row)
            except NotComputed:
                continue
            np.testing.assert_array_equal(found, expected)
            assert counts[row] == len(expected)

    return check


def _check_ledger(name: str) -> Callable[[bytes, Path], None]:
    def check(data: bytes, folder: Path) -> None:
        put(folder / name, data)
        for number, row in Ledger(folder).read().items():
            assert row == _LEDGER_ROWS[number]

    return check


@cache
def _indexes() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "val.parquet"
        write_index_file(path, *_index())
        return (path.read_bytes(),)


def _index() -> tuple[Header, list[ImageRow]]:
    faces, valid, attributes = np.float32([[1, 2, 3, 4]]), np.array([True]), np.zeros((1, 6), np.int8)
    row = ImageRow(0, "a/b.jpg", 64, 48, "f" * 64, 1234, 5, "ok", "", faces, valid, attributes)
    return Header("val", "/data", "WIDER_val/images", "e" * 64), [row]


def _check_index(data: bytes, folder: Path) -> None:
    header, (row,) = read_index_file(put(folder / "val.parquet", data))
    expected_header, (expected,) = _index()
    assert header == expected_header
    assert (row.path, row.sha256, row.faces.tolist()) == (
        expected.path,
        expected.sha256,
        expected.faces.tolist(),
    )


def _image_target(suffix: str, num_inputs: int) -> Target:
    return Target(name=suffix[1:], samples=lambda: _images(suffix), check=_check_image, num_inputs=num_inputs)


TARGETS = (
    Target(name="mat-faces", samples=_mats(None), check=_check_faces, num_inputs=300),
    Target(name="mat-setting", samples=_mats("easy"), check=_check_kept, num_inputs=300),
    _image_target(".jpg", 800),
    _image_target(".png", 500),
    _image_target(".webp", 200),
    _image_target(".bmp", 200),
    Target(
        name="safetensors",
        samples=_safetensors,
        check=_check_safetensors,
        refusals=(ValueError,),
        num_inputs=300,
    ),
    Target(
        name="checkpoint",
        samples=_checkpoints,
        check=_check_checkpoint,
        refusals=(ValueError,),
        num_inputs=300,
    ),
    Target(name="onnx", samples=_onnx_files, check=_check_onnx, refusals=(ValueError,), num_inputs=300),
    *(
        Target(name=f"zarr {part}", samples=_stored(part), check=_check_store(part), num_inputs=60)
        for part in _PARTS
    ),
    Target(
        name="ledger-block",
        samples=lambda: [encoded(_LEDGER_ROWS[:1])],
        check=_check_ledger("block-000000.parquet"),
        num_inputs=200,
    ),
    Target(
        name="ledger",
        samples=lambda: [encoded(_LEDGER_ROWS)],
        check=_check_ledger("blocks.parquet"),
        num_inputs=200,
    ),
    Target(name="index", samples=_indexes, check=_check_index, num_inputs=200),
)
