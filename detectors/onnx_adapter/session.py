"""An ONNX model that onnxruntime runs on a CPU or on an NVIDIA GPU."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float32

from crface.text import cropped
from detectors.onnx_adapter.model_file import in_one_line, read_model
from detectors.onnx_adapter.outputs import Outputs

if TYPE_CHECKING:
    import onnxruntime

_FATAL: Final = 4  # onnxruntime's log level: anything less severe is raised as well, or harmless
_THREADS: Final = "OMP_NUM_THREADS"
_PRECISIONS: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MAX_NAMED: Final = 20


class OnnxModel:
    """A loaded model with one image input and named outputs."""

    def __init__(
        self,
        path: Path,
        device: str,
        output_names: Sequence[str],
        free_axes: tuple[int, ...] = (),
    ) -> None:
        """Load a model; the input's `free_axes` take any length, whatever the file declares.

        Raises ValueError when the file cannot be used or lacks an output, the device is missing, or onnxruntime
        is not installed.
        """
        self._path = path
        self._names = list(dict.fromkeys(output_names))
        self._session = _session(read_model(path, free_axes), path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _PRECISIONS:
            found = ", ".join(
                f"{cropped(i.name)} {i.type} {cropped(str(i.shape))}" for i in inputs[:_MAX_NAMED]
            )
            raise ValueError(
                f"{path} takes {found}: the adapter runs models with one input, float32 or float16 with four axes"
            )
        self._precision = _PRECISIONS[inputs[0].type]
        there = [output.name for output in self._session.get_outputs()]
        if missing := [name for name in self._names if name not in there]:
            raise ValueError(
                f"{path} has no output {_named(missing)}; it has {_named(there)}: "
                "name those in the descriptor"
            )
        self._input = inputs[0].name
        self.declared: tuple[int | None, ...] = tuple(
            length if isinstance(length, int) and length > 0 else None for length in inputs[0].shape
        )
        """Length of each axis of the input where the file declares it; None: any."""

    def run(self, batch: Float32[np.ndarray, "_ _ _ _"]) -> Outputs:
        """The model's outputs for a batch, those of half precision as float32.

        Raises ValueError when the model cannot take the batch.
        """
        try:
            found = self._session.run(self._names, {self._input: batch.astype(self._precision, copy=False)})
        except Exception as error:  # onnxruntime has a class for each kind, without a common one
            raise ValueError(
                f"{self._path} cannot be run on an input of shape {list(batch.shape)} ({in_one_line(error)}): "
                "see layout, size and stride of the descriptor"
            ) from error
        single = [one.astype(np.float32) if one.dtype == np.float16 else one for one in found]
        return dict(zip(self._names, single, strict=True))


def num_threads() -> int:
    """The threads that one model may use: OMP_NUM_THREADS if set, else the cores open to this process.

    The pipeline's workers set the variable so that together they use each core once; onnxruntime by itself
    would use all cores in each of them.
    """
    wanted = os.environ.get(_THREADS, "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    # not every system can bind a process to some of its cores
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(model: bytes, path: Path, device: str) -> "onnxruntime.InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError("onnxruntime is not installed: pip install 'crface[onnx]'") from error
    onnxruntime.set_default_logger_severity(_FATAL)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # waiting threads that spin take cores from decoding and from other workers
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # it would keep a plan for every input size
    providers = _providers(device)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # onnxruntime has a class for each kind, without a common one
        raise ValueError(f"{path} cannot be loaded by onnxruntime ({in_one_line(error)})") from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise _no_gpu(device)  # onnxruntime falls back to the CPU where CUDA's libraries do not load
    return session


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    import onnxruntime

    kind, _, index = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise _no_gpu(device)
    return [("CUDAExecutionProvider", {"device_id": index or "0"}), "CPUExecutionProvider"]


def _no_gpu(device: str) -> ValueError:
    return ValueError(
        f"the installed onnxruntime cannot use the device {device}: install onnxruntime-gpu in its place, "
        "or hide the GPU with CUDA_VISIBLE_DEVICES= to run on the CPU"
    )


def _named(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MAX_NAMED else ""
    return ", ".join(map(cropped, names[:_MAX_NAMED])) + more
