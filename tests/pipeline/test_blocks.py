"""What has to be computed, and why, is decided from records alone."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks.ledger import LedgerRow
from pipeline.blocks.plan import Block, Cause, describe, num_to_compute, plan_blocks

SIZES = (1000, 20)


def recorded(start: int, *digests: str, shard_bytes: tuple[int, ...] = SIZES, size: int = 4) -> LedgerRow:
    stop = start + max(1, len(digests))
    return LedgerRow(
        block=start // size, start=start, stop=stop, row_digests=digests, shard_bytes=shard_bytes
    )


def test_without_any_record_every_block_is_computed_whole() -> None:
    blocks = plan_blocks(["a"] * 6, {}, {}, 4)
    assert [(block.number, block.start, block.stop, list(block.rows)) for block in blocks] == [
        (0, 0, 4, [0, 1, 2, 3]),
        (1, 4, 6, [4, 5]),
    ]
    assert describe(blocks) == ["6 images not computed yet"]
    assert blocks[1].reason == "2 images not computed yet"


def test_when_everything_is_recorded_nothing_is_computed() -> None:
    ledger = {0: recorded(0, "a", "b", "c", "d"), 1: recorded(4, "e")}
    blocks = plan_blocks(["a", "b", "c", "d", "e"], ledger, {0: SIZES, 1: SIZES}, 4, 5)
    assert blocks == []
    assert describe(blocks) == []


def test_a_shard_without_a_record_is_computed_again() -> None:
    (block,) = plan_blocks(["a"] * 4, {}, {0: SIZES}, 4, 4)
    assert block.reason == "4 images not computed yet"


@pytest.mark.parametrize("found", [{}, {0: (999, 20)}, {0: (1000, 19)}])
def test_a_record_without_its_whole_shard_is_computed_again(found: dict[int, tuple[int, ...]]) -> None:
    (block,) = plan_blocks(["a"], {0: recorded(0, "a")}, found, 4, 1)
    assert block.reason == "1 image in a missing or damaged shard"


def test_only_the_changed_images_of_a_block_are_computed() -> None:
    ledger = {0: recorded(0, "a", "b", "c", "d")}
    (block,) = plan_blocks(["a", "B", "c", "D"], ledger, {0: SIZES}, 4, 4)
    assert list(block.rows) == [1, 3]
    assert block.reason == "2 images changed"


def test_added_images_fill_the_short_last_block_and_follow_it() -> None:
    ledger = {0: recorded(0, "a", "b")}
    blocks = plan_blocks(["a", "b", *"cdefg"], ledger, {0: SIZES}, 4, 2)
    assert [list(block.rows) for block in blocks] == [[2, 3], [4, 5, 6]]
    assert describe(blocks) == ["5 images added"]


def test_changed_and_added_images_of_one_block_are_both_named() -> None:
    (block,) = plan_blocks(["A", "b", "c"], {0: recorded(0, "a", "b")}, {0: SIZES}, 4, 2)
    assert block.reason == "1 image changed, 1 image added"


def test_a_block_whose_record_was_taken_back_is_computed_whole() -> None:
    (block,) = plan_blocks(["a", "b"], {0: recorded(0)}, {0: SIZES}, 4, 2)
    assert list(block.rows) == [0, 1]
    assert block.reason == "2 images left unfinished"


def test_an_image_that_is_gone_keeps_what_was_stored_for_it() -> None:
    assert plan_blocks(["a", ""], {0: recorded(0, "a", "b")}, {0: SIZES}, 4, 2) == []


def test_an_image_that_could_not_be_read_is_tried_again_only_when_it_is_readable() -> None:
    ledger = {0: recorded(0, "a", "")}
    assert plan_blocks(["a", ""], ledger, {0: SIZES}, 4, 2) == []
    (block,) = plan_blocks(["a", "b"], ledger, {0: SIZES}, 4, 2)
    assert list(block.rows) == [1]


def test_a_block_stays_a_small_message_however_many_rows_it_has() -> None:
    (block,) = plan_blocks(["a" * 64] * 4096, {}, {}, 4096)
    assert len(pickle.dumps(block)) < 500


digests = st.sampled_from(["", "a", "b", "c"])


@st.composite
def workspaces(draw: st.DrawFn) -> tuple[list[str], dict[int, LedgerRow], dict[int, tuple[int, ...]], int]:
    size = draw(st.integers(1, 5))
    wanted = draw(st.lists(digests, max_size=12))
    numbers = range(-(-len(wanted) // size))
    ledger, found = {}, {}
    for number in numbers:
        if draw(st.booleans()):
            row_digests = draw(st.lists(digests, max_size=size))
            ledger[number] = recorded(number * size, *row_digests, size=size)
        if draw(st.booleans()):
            found[number] = draw(st.sampled_from([SIZES, (1, 1)]))
    return wanted, ledger, found, size


@given(workspaces())
@settings(max_examples=300, deadline=None)
def test_a_row_is_computed_exactly_when_the_records_do_not_vouch_for_it(
    workspace: tuple[list[str], dict[int, LedgerRow], dict[int, tuple[int, ...]], int],
) -> None:
    wanted, ledger, found, size = workspace

    def is_vouched_for(row: int) -> bool:
        record = ledger.get(row // size)
        if record is None or found.get(row // size) != record.shard_bytes or not record.row_digests:
            return False
        place = row % size
        return place < len(record.row_digests) and wanted[row] in ("", record.row_digests[place])

    blocks = plan_blocks(wanted, ledger, found, size, len(wanted))
    planned = [row for block in blocks for row in block.rows]
    assert planned == [row for row in range(len(wanted)) if not is_vouched_for(row)]
    assert num_to_compute(blocks) == len(planned)
    for block in blocks:
        assert_is_well_formed(block, size, len(wanted))


def assert_is_well_formed(block: Block, size: int, num_rows: int) -> None:
    assert block.start == block.number * size
    assert block.stop == min(block.start + size, num_rows)
    assert block.start <= block.rows[0] <= block.rows[-1] < block.stop
    assert sum(count for _, count in block.causes) == len(block.rows)
    assert {cause for cause, _ in block.causes} <= set(Cause)
