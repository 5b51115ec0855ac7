"""What a GPU does with this package: how busy the cache stage keeps it, 8K images, rankers. A CPU runs it all, too."""

import gc
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from crface import ranker
from crface.array_shapes import RgbImage
from detectors.adapter import NetworkDetector
from detectors.base import Precision
from pipeline.bench.cache import write_pictures
from pipeline.bench.gpu_busy import busy_share
from pipeline.bench.gpu_limit import network_flops, product_flops, seconds_of
from pipeline.bench.pairs import Spread, spread
from pipeline.cache.loading import load_detector
from pipeline.cache.plan import CacheSpec, plan_cache
from pipeline.cache.work import cache_block, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import update_index
from pipeline.workspace.layout import Workspace

PAPER_MS: Final = {"large": (45, 550), "small": (6, 59)}
"""Milliseconds of the paper's rankers at 1024 and 7680 px on an RTX 2080 (5.4)."""
SHIPPED: Final = ("retinaface-mobilenet0.25", "hambox-slim", "hrnet-slim")
"""The detectors of this package that come with weights."""
BUSY_GOAL: Final = 0.95
_PRECISIONS: Final[dict[str, tuple[Precision, ...]]] = {
    "cuda": ("float32", "bfloat16", "float16"),
    "cpu": ("float32", "bfloat16"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured; the defaults are for a GPU, and a CPU does with little."""

    images: int = 256
    """Images that are cached as they are; an eighth as many, at least one, at the large size."""
    image_side_px: int = 1024
    large_side_px: int = 7680
    candidates: int = 5000
    repeats: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """The cache stage in this process, blocks one after the other."""

    detector: str
    protocol: str
    images: int
    seconds: float
    busy: float | None
    """The share of this time in which the GPU computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Large:
    """One detector on an image of the large size, which is on the device already."""

    detector: str
    precision: Precision
    width: int
    height: int
    seconds: Spread
    """From pixels in memory to candidates in memory."""
    flops: int
    limit_seconds: float
    """What the operations would take at the rate of a large product of the same precision."""
    peak_bytes: int | None
    """The most memory that torch held on the GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One ranker on a picture of one size."""

    ranker: str
    image_side_px: int
    candidates: int
    seconds: Spread
    paper_ms: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuBench:
    """All that was measured, on one device."""

    device: str
    device_name: str
    torch: str
    cuda: str
    sizes: Sizes
    cached: tuple[Cached, ...]
    large: tuple[Large, ...]
    ranked: tuple[Ranked, ...]


def bench_gpu(detectors: Sequence[str], sizes: Sizes) -> GpuBench:
    """The benchmark on the GPU that this process sees, or on the CPU if it sees none."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    protocols = ("single", "8k" if sizes.large_side_px == 7680 else f"long-{sizes.large_side_px}")
    with tempfile.TemporaryDirectory(prefix="crface-bench-") as name:
        folder = Path(name)
        write_pictures(folder / "pictures", sizes.images, sizes.image_side_px)
        write_pictures(folder / "few", max(1, sizes.images // 8), sizes.image_side_px)
        cached = [
            _cached(folder / pictures, folder / f"run-{pictures}", detector, protocol, device)
            for detector in detectors
            for protocol, pictures in zip(protocols, ("pictures", "few"), strict=True)
        ]
    rates = {precision: _rate(device, precision, sizes.repeats) for precision in _PRECISIONS[device]}
    return GpuBench(
        device=device,
        device_name=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        torch=torch.__version__,
        cuda=torch.version.cuda or "",
        sizes=sizes,
        cached=tuple(cached),
        large=tuple(
            _large(detector, precision, rate, device, sizes)
            for detector in detectors
            for precision, rate in rates.items()
        ),
        ranked=tuple(
            _ranked(name, side_px, place, device, sizes)
            for name in ranker.names()
            for place, side_px in enumerate((sizes.image_side_px, sizes.large_side_px))
        ),
    )


def as_json(bench: GpuBench) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return asdict(bench)


def _cached(pictures: Path, run: Path, detector: str, protocol: str, device: str) -> Cached:
    workspace = Workspace(run)
    index = update_index(workspace, pictures, "images").index
    plan = plan_cache(workspace, index, detector, CacheConfig(protocol=protocol))
    spec = plan.spec
    assert isinstance(spec, CacheSpec), "a single view is not fused"
    prepare_cache(plan)
    first = replace(plan.blocks[0], rows=range(plan.blocks[0].start, plan.blocks[0].stop))
    cache_block(spec, first)  # the detector is loaded, and its libraries have chosen how to compute
    busy, seconds = busy_share(lambda: [cache_block(spec, block) for block in plan.blocks], device)
    return Cached(detector=detector, protocol=protocol, images=len(index), seconds=seconds, busy=busy)


def _rate(device: str, precision: Precision, repeats: int) -> float:
    return product_flops(device, getattr(torch, precision), repeats)


def _large(detector: str, precision: Precision, rate: float, device: str, sizes: Sizes) -> Large:
    model = load_detector(detector, device, precision)
    assert isinstance(model, NetworkDetector), "the detectors of this package are such"
    image = _picture(sizes.large_side_px)
    height, width = image.shape[:2]
    seconds, peak = _measured(lambda: model.candidates([image]), device, sizes.repeats)
    flops = network_flops(model.network, height, width)
    return Large(
        detector=detector,
        precision=precision,
        width=width,
        height=height,
        seconds=seconds,
        flops=flops,
        limit_seconds=flops / rate,
        peak_bytes=peak,
    )


def _ranked(name: str, side_px: int, place: int, device: str, sizes: Sizes) -> Ranked:
    model = ranker.create(name, sizes.candidates, side_px).to(device).eval()
    image = _picture(side_px)
    candidates = _candidates(image, sizes.candidates)
    seconds, peak = _measured(lambda: model.refine(image, candidates), device, sizes.repeats)
    return Ranked(
        ranker=name,
        image_side_px=side_px,
        candidates=sizes.candidates,
        seconds=seconds,
        paper_ms=PAPER_MS[name][place] if name in PAPER_MS else None,
        peak_bytes=peak,
    )


def _measured(work: Any, device: str, repeats: int) -> tuple[Spread, int | None]:
    """The time of a call after an untimed one, and the most memory that torch held on a GPU."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    work()
    seconds = spread([seconds_of(work, device) for _ in range(repeats)])
    return seconds, torch.cuda.max_memory_allocated() if device == "cuda" else None


def _picture(long_side_px: int) -> RgbImage:
    shape = (max(1, long_side_px * 9 // 16), long_side_px, 3)
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def _candidates(image: RgbImage, count: int) -> Any:
    height, width = image.shape[:2]
    random = np.random.default_rng(0)
    corners = random.uniform(0, 0.9, (count, 2)) * [width, height]
    confidences = np.sort(random.uniform(0.01, 0.99, (count, 1)), axis=0)[::-1]
    return np.hstack([corners, corners + height / 20, confidences]).astype(np.float32)
