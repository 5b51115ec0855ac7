"""Damaged and hostile files are refused in a sentence, or read as a slow reader reads them; nothing else happens."""

from pathlib import Path

import fuzz_files
import fuzz_texts
import pytest
from damage import damaged
from fuzz_target import Target
from hypothesis import HealthCheck, Phase, given, settings

TARGETS = (*fuzz_texts.TARGETS, *fuzz_files.TARGETS)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_input_is_refused_in_a_sentence_or_read_right(target: Target, tmp_path: Path) -> None:
    samples = target.samples()
    for sample in samples:
        assert target.accepts(sample, tmp_path)

    @settings(
        max_examples=target.num_inputs,
        derandomize=True,  # the same inputs everywhere; `make fuzz` looks for new ones
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(data=damaged(samples))
    def holds(data: bytes) -> None:
        target.accepts(data, tmp_path)

    holds()


def test_the_suite_reads_ten_thousand_damaged_inputs() -> None:
    assert sum(target.num_inputs for target in TARGETS) >= 10_000
