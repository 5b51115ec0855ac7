"""`crface bench loader`: what is said follows from what was measured."""

from pathlib import Path

import pytest
from ranker_world import World, small_config

from pipeline.bench.loader import LoaderBench, Rate, as_json, as_lines, bench_loader
from pipeline.blocks.complete import open_complete
from pipeline.errors import UserError

BENCH = LoaderBench(
    images=10, image_side_px=192, num_candidates=500, read_ms=5.0, candidates_ms=2.0, augment_ms=3.0, kept_ms=5.0,
    rates=(Rate(threads=1, images_per_s=90.0),),
)  # fmt: skip


def test_images_a_core_and_cores_for_a_gpu_follow_from_the_milliseconds() -> None:
    text = "\n".join(as_lines(BENCH))
    assert "all, from the files                            10.00               100" in text
    assert "all, image and candidates in memory             5.00               200" in text
    # 100,000 x 32 images in 86,400 s are 37 a second; at 10 ms that is 0.37 of a core
    assert "needed: 37 images/s for the paper's RTX 2080 (100,000 x 32 in a day), 0.37 cores;" in text
    assert "370 images/s for a GPU 10 times as fast (assumed), 3.7 cores" in text
    assert max(map(len, as_lines(BENCH))) <= 80 + 5
    assert as_json(BENCH)["all_ms"] == 10.0


def test_every_part_is_measured_on_as_many_images_as_asked_for_and_on_each_number_of_threads(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    stores = [open_complete(world.workspace, world.index(), world.cache())]
    found = bench_loader(world.index(), stores, small_config(iterations=100), 8, (1, 3))
    assert found.images == 8  # of a split of 6
    assert min(found.read_ms, found.candidates_ms, found.augment_ms) >= 0
    assert [rate.threads for rate in found.rates] == [1, 3]
    assert all(rate.images_per_s > 0 for rate in found.rates)


def test_a_split_without_candidates_is_refused_in_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    stores = [open_complete(world.workspace, world.index(), world.cache(empty_rows=range(6)))]
    with pytest.raises(UserError, match="no image of the train split has candidates"):
        bench_loader(world.index(), stores, small_config(), 4, (1,))
