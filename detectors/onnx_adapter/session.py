"""An ONNX model that onnxruntime runs on a CPU or on an NVIDIA GPU."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float32

from detectors.onnx_adapter.model_file import first_line, read_model
from detectors.onnx_adapter.outputs import Outputs

if TYPE_CHECKING:
    import onnxruntime

_FATAL: Final = 4  # onnxruntime's log level: what it complains of below is raised or harmless
_THREADS: Final = "OMP_NUM_THREADS"


class OnnxModel:
    """A loaded model with one image input and named outputs."""

    def __init__(
        self,
        path: Path,
        device: str,
        output_names: Sequence[str],
        free_axes: tuple[int, ...] = (),
    ) -> None:
        """Load a model; `free_axes` are axes of the input that take any length, whatever the file declares.

        Raises ValueError when the file cannot be used, lacks an output, the device is not there, or
        onnxruntime is not installed.
        """
        self._path = path
        self._names = list(dict.fromkeys(output_names))
        self._session = _session(read_model(path, free_axes), path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise ValueError(
                f"{path} takes {found}: the adapter runs models with one input, float32 with four axes"
            )
        there = [output.name for output in self._session.get_outputs()]
        if missing := [name for name in self._names if name not in there]:
            raise ValueError(
                f"{path} has no output {', '.join(missing)}; it has {', '.join(there)}: "
                "name those in the descriptor"
            )
        self._input = inputs[0].name
        self.declared: tuple[int | None, ...] = tuple(
            length if isinstance(length, int) and length > 0 else None for length in inputs[0].shape
        )
        """Length of each axis of the input as far as the file declares it; None: any."""

    def run(self, batch: Float32[np.ndarray, "_ _ _ _"]) -> Outputs:
        """Run the model on its input.

        Raises ValueError when it cannot take it.
        """
        try:
            found = self._session.run(self._names, {self._input: batch})
        except Exception as error:  # onnxruntime has a class for each kind, without a common one
            raise ValueError(
                f"{self._path} cannot be run on an input of shape {list(batch.shape)} ({first_line(error)}): "
                "see layout, size and stride of the descriptor"
            ) from error
        return dict(zip(self._names, found, strict=True))


def num_threads() -> int:
    """Say how many threads one model may use: OMP_NUM_THREADS if set, else the cores this process may use.

    The pipeline's workers set the variable so that together they use each core once; onnxruntime itself
    would take all cores in each.
    """
    wanted = os.environ.get(_THREADS, "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    # not every system lets a process be bound to some of its cores
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
    # threads that wait by spinning take the cores from decoding and from other workers
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # it keeps a plan for every input size it has met
    providers = _providers(device)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # onnxruntime has a class for each kind, without a common one
        raise ValueError(f"{path} cannot be loaded by onnxruntime ({first_line(error)})") from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise _no_gpu(device)  # it goes on with the CPU where CUDA's libraries do not load
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
