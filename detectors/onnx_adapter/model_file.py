"""An ONNX file read as data: its digest, the files that belong to it, and the changes before it runs.

A file may keep its tensors in others beside it. Those in its own folder belong to it; a path out of that
folder is refused, for the file could otherwise make this process read anything.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crface.file_kind import file_kind
from crface.text import quoted
from detectors.base import file_sha256

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_MAX_WORDS = 500


def model_sha256(path: Path) -> str:
    """A SHA-256 of an ONNX file and the files that hold its tensors, if any, as 64 hexadecimal digits.

    Raises ValueError as `read_model` does.
    """
    companions = _companions(_parsed(path), path)
    digest = file_sha256(path)
    if companions:
        digests = [digest, *(file_sha256(companion) for companion in companions)]
        digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return digest


def read_model(path: Path, free_axes: tuple[int, ...] = ()) -> bytes:
    """A model as onnxruntime takes it from memory, its tensors included.

    The input's `free_axes` take any length, whatever the file declares.

    Raises ValueError when the file is missing, no ONNX model, or its tensors lie outside its folder.
    """
    from onnx.external_data_helper import load_external_data_for_model

    model = _parsed(path)
    if _companions(model, path):
        try:
            load_external_data_for_model(model, str(path.parent))
        except Exception as error:  # short or damaged companions raise several unrelated classes
            raise ValueError(f"the tensors beside {path} cannot be read: {in_one_line(error)}") from error
    if free_axes:
        _free_axes(model, free_axes)
    content: bytes = model.SerializeToString()
    return content


def output_names(path: Path) -> tuple[str, ...]:
    """The names of a model's outputs, in their order.

    Raises ValueError as `read_model` does.
    """
    return tuple(output.name for output in _parsed(path).graph.output)


def in_one_line(error: BaseException) -> str:
    """A library's message in one line, cropped where it is very long: onnxruntime names indices on further lines."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _MAX_WORDS else words[:_MAX_WORDS] + "..."


def _parsed(path: Path) -> "ModelProto":
    try:
        import onnx
    except ImportError as error:
        raise ValueError("the package onnx is not installed: pip install 'crface[onnx]'") from error
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the ONNX file {path} cannot be read: {error.strerror}") from error
    if path.suffix == ".toml":
        raise ValueError(f"{path} is no ONNX model but a descriptor by its name: use it as onnx@{path}")
    kind = file_kind(path)
    if kind is not None and not kind.is_onnx:
        is_trained = kind.is_checkpoint or kind.is_safetensors
        remedy = "export it to ONNX where it was trained" if is_trained else kind.remedy
        raise ValueError(f"{path} is no ONNX model, it is {kind.name}: {remedy}")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the parser's own error class moves from one version to the next
        raise ValueError(
            f"{path} is no ONNX model, or damaged ({in_one_line(error)}): fetch it again"
        ) from error
    if not model.graph.node:
        raise ValueError(f"{path} is no ONNX model, or damaged (it has no operators): fetch it again")
    return model


def _companions(model: "ModelProto", path: Path) -> list[Path]:
    """The files that hold the model's tensors, in order of name."""
    folder = path.absolute().parent
    companions = set()
    for tensor in _tensors(model):
        for entry in tensor.external_data if tensor.data_location == tensor.EXTERNAL else ():
            if entry.key != "location":
                continue
            companion = (folder / entry.value).resolve()
            if Path(entry.value).is_absolute() or folder.resolve() not in companion.parents:
                raise ValueError(
                    f"{path} is refused: it wants tensors from {quoted(entry.value)}, outside its own folder; "
                    "save it as one file"
                )
            companions.add(companion)
    return sorted(companions)


def _tensors(model: "ModelProto") -> "Iterator[TensorProto]":
    for graph in (model.graph, *(info.algorithm for info in model.training_info)):
        yield from _graph_tensors(graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: "GraphProto") -> "Iterator[TensorProto]":
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: "Iterable[NodeProto]") -> "Iterator[TensorProto]":
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _graph_tensors(graph)


def _free_axes(model: "ModelProto", axes: tuple[int, ...]) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}  # old files list those as inputs too
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and len(dims) > max(axes):
            for axis in axes:
                dims[axis].Clear()
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]  # shapes in between, which no longer hold
