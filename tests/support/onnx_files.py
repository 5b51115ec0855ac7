"""Tiny ONNX files whose answers can be worked out by hand, with the descriptors that fit them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

CENTRE_MAP = """
[input]
stride = 4
is_batched = true
[decoding]
scheme = "centre-map"
stride = 4
heat = "heat"
size = "size"
offset = "offset"
"""

READY = """
[decoding]
scheme = "boxes"
boxes = "boxes"
scores = "scores"
score_column = 0
unit = "pixels"
"""


def write_constants(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    input_shape: Sequence[int | None] = (1, 3, 32, 32),
    dtype: type = np.float32,
) -> Path:
    """Write a model that answers every image with the same numbers."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value.astype(dtype)))
        for name, value in outputs.items()
    ]
    shapes = {name: value.shape for name, value in outputs.items()}
    return _write(path, nodes, shapes, input_shape, dtype=dtype)


def write_centre_map(
    path: Path,
    height_px: float = 8.0,
    width_px: float = 16.0,
    input_shape: Sequence[int | None] = (None, 3, None, None),
) -> Path:
    """Write a model with stride 4 whose heat is the mean red of a cell over 255, all boxes of one size."""
    red = np.zeros((1, 3, 4, 4), np.float32)
    red[0, 0] = 1 / (255 * 16)
    size_bias = np.log(np.array([height_px / 4, width_px / 4], np.float32))
    weights = {
        "red": red,
        "nothing": np.zeros((2, 3, 4, 4), np.float32),
        "no_bias": np.zeros(1, np.float32),
        "size_bias": size_bias,
        "offset_bias": np.zeros(2, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", weight, bias], [output], kernel_shape=[4, 4], strides=[4, 4])
        for weight, bias, output in (
            ("red", "no_bias", "heat"),
            ("nothing", "size_bias", "size"),
            ("nothing", "offset_bias", "offset"),
        )
    ]
    shapes = dict.fromkeys(("heat", "size", "offset"), (None, None, None, None))
    return _write(path, nodes, shapes, input_shape, weights)


def write_descriptor(path: Path, content: str, model: Path | None, name: str = "tiny") -> Path:
    """Write a descriptor, its name and its model first."""
    head = f'name = "{name}"\n' + (f'model = "{model}"\n' if model else "")
    path.write_text(head + content)
    return path


def _write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shapes: Mapping[str, Sequence[int | None]],
    input_shape: Sequence[int | None],
    weights: Mapping[str, np.ndarray] | None = None,
    dtype: type = np.float32,
) -> Path:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, input_shape)],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
