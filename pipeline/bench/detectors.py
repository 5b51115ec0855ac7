"""This package's detectors on a CPU: the engine that they run in, beside plain PyTorch and onnxruntime."""

import copy
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

import detectors
from crface.backbones.pointwise import Pointwise
from detectors.adapter import NetworkDetector
from detectors.forward.on_cpu import CpuForm
from detectors.forward.pixels import to_input
from detectors.networks.anchor_network import AnchorNetwork
from pipeline.bench.pairs import Rounds, table, timed_rounds
from pipeline.errors import UsageError
from pipeline.train.read_ahead import no_helping_threads

OWN: Final = "crface"
PLAIN: Final = "PyTorch, eager"
ONNX: Final = "onnxruntime"
SIZES: Final = ((640, 480), (1024, 768), (3840, 2160), (7680, 4320))
"""VGA, the rankers' picture, 4K and 8K: width and height."""

Way = Callable[[], tuple[np.ndarray, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorBench:
    """All ways with one network and one image size."""

    detector: str
    width: int
    height: int
    threads: int
    rounds: Rounds
    difference: float
    """The largest difference of an output from plain PyTorch's."""


def bench_detectors(
    names: Sequence[str], sizes: Sequence[tuple[int, int]], threads: int, repeats: int
) -> list[DetectorBench]:
    """One image of noise through each network, from its pixels to its outputs; with random weights, if none ship.

    Raises UsageError for a detector that is no network of this package.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with no_helping_threads(), torch.inference_mode():
            return [
                _bench(name, _network(name), width, height, threads, repeats)
                for name in names
                for width, height in sizes
            ]
    finally:
        torch.set_num_threads(before)


def as_lines(benches: Sequence[DetectorBench]) -> list[str]:
    """The benchmark as tables of 80 columns, and the time of a megapixel beside the smallest image's."""
    lines = []
    for bench in benches:
        title = f"{bench.width} x {bench.height}"
        lines += [
            f"{bench.detector}, {bench.threads} thread{'s' * (bench.threads > 1)}; x: by eager PyTorch's",
            *table(bench.rounds, PLAIN, title),
            f"outputs differ from PyTorch's by {bench.difference:.1e} at most; {_per_megapixel(bench):.1f} CPU ms "
            "a megapixel",
            "",
        ]
    return lines[:-1]


def as_json(benches: Sequence[DetectorBench]) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return {
        "detectors": [
            {
                "detector": bench.detector,
                "width": bench.width,
                "height": bench.height,
                "threads": bench.threads,
                "ways": bench.rounds.as_json(),
                "difference": bench.difference,
                "cpu_ms_per_megapixel": _per_megapixel(bench),
            }
            for bench in benches
        ]
    }


def _per_megapixel(bench: DetectorBench) -> float:
    median = bench.rounds.spread(OWN, "cpu_seconds").median
    return 1e9 * median / (bench.width * bench.height)


def _bench(
    name: str, network: AnchorNetwork, width: int, height: int, threads: int, repeats: int
) -> DetectorBench:
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels)
    own, plain = CpuForm(network), _plain(network)
    ways: dict[str, Way] = {
        OWN: lambda: _arrays(own(images)),
        PLAIN: lambda: _arrays(plain(to_input(images))),
    }
    if find_spec("onnxruntime") is not None and find_spec("onnx") is not None:
        ways[ONNX] = _onnx(plain, images, threads)
    rounds, made = timed_rounds(ways, repeats)
    pairs = [pair for way in ways for pair in zip(made[way], made[PLAIN], strict=True)]
    difference = max(float(np.abs(one - other).max()) for one, other in pairs)
    return DetectorBench(
        detector=name, width=width, height=height, threads=threads, rounds=rounds, difference=difference
    )


def _network(name: str) -> AnchorNetwork:
    try:
        detector = detectors.create(name)
    except ValueError:
        try:
            detector = detectors.create(name, None)
        except ValueError as error:
            raise UsageError(str(error)) from error
    if not isinstance(detector, NetworkDetector):
        raise UsageError(f"{name} is no network of this package: only those have an engine to compare")
    return detector.network


def _plain(network: AnchorNetwork) -> AnchorNetwork:
    """The network of PyTorch's own layers alone."""
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if isinstance(module, Pointwise):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    return plain


def _onnx(network: AnchorNetwork, images: Tensor, threads: int) -> Way:
    import onnxruntime

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the tracing exporter is deprecated, as in `crface.ranker.onnx_export`
        torch.onnx.export(
            network,
            (to_input(images).contiguous(),),
            content,  # type: ignore[arg-type]
            input_names=["x"],
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content.getvalue(), options, ["CPUExecutionProvider"])
    return lambda: tuple(session.run(None, {"x": to_input(images).contiguous().numpy()}))


def _arrays(answers: tuple[Tensor, ...]) -> tuple[np.ndarray, ...]:
    return tuple(answer.numpy() for answer in answers)
