"""The figures of `crface bench gpu` as tables."""

from pipeline.bench.gpu import BUSY_GOAL, GpuBench
from pipeline.bench.pairs import time_words
from pipeline.results.text import NONE, aligned, percent, size_words


def as_lines(bench: GpuBench) -> list[str]:
    """The benchmark as tables of 80 columns."""
    cached = [
        (
            one.detector,
            one.protocol,
            f"{one.images / one.seconds:.1f}",
            NONE if one.busy is None else f"{percent(one.busy)} %",
        )
        for one in bench.cached
    ]
    large = [
        (
            one.detector,
            one.precision,
            time_words(one.seconds),
            f"{one.flops / 1e9:,.0f}",
            f"{one.seconds.median / one.limit_seconds:.1f}",
            NONE if one.peak_bytes is None else size_words(one.peak_bytes),
        )
        for one in bench.large
    ]
    ranked = [
        (
            one.ranker,
            str(one.image_side_px),
            time_words(one.seconds),
            NONE if one.paper_ms is None else str(one.paper_ms),
            NONE if one.peak_bytes is None else size_words(one.peak_bytes),
        )
        for one in bench.ranked
    ]
    sizes = bench.sizes
    return [
        f"{bench.device_name}, torch {bench.torch}",
        "",
        f"the cache stage on images of {sizes.image_side_px} px; goal: {percent(BUSY_GOAL)} % busy",
        *aligned([("detector", "protocol", "images/s", "GPU busy"), *cached], num_words=2),
        "",
        f"an image of {sizes.large_side_px} px; x: by the time of its operations in a product",
        *aligned([("detector", "precision", "ms", "GFLOP", "x", "memory"), *large], num_words=2),
        "",
        f"rankers, {sizes.candidates} candidates; the paper's on an RTX 2080 at 1024 and 7680 px",
        *aligned([("ranker", "px", "ms", "paper", "memory"), *ranked]),
    ]
