"""The benchmark of scaling measures what it says, on a few images."""

from workflows.commands.scaling import as_lines, measure_index, measure_spread


def test_every_step_of_the_driver_and_every_block_is_measured_and_told_in_80_columns() -> None:
    steps = measure_index(70, 32)
    assert [step.what for step in steps][-2:] == ["a worker: its block's images", "plan, all done"]
    done: list[int] = []
    spread = measure_spread(10, 4, 2, 0.01, done.append)
    assert sum(done) == 10
    assert (spread.num_blocks, spread.num_workers) == (3, 2)
    assert len(spread.rss_mb) == 4  # before, and after each block, as there are fewer than ten
    assert spread.seconds >= 0.02  # one of the two has two blocks
    assert 0 < spread.overhead < 1
    assert all(len(line) <= 80 for line in as_lines(steps, spread))
