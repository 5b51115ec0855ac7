"""A dataclass is a Parquet table: what is written is read back, and damage or other columns are one sentence."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jaxtyping import Float64, Int64

from pipeline.errors import UserError
from pipeline.workspace.tables import Table, as_json, schema_of


@dataclass(frozen=True, slots=True)
class _Inner:
    ap: float
    images: int
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    name: str
    detections: int | None
    ap: float
    recall: Float64[np.ndarray, " threshold"]
    count: Int64[np.ndarray, " bin"]


@dataclass(frozen=True, slots=True)
class _Outer:
    seed: int
    row: _Inner


def test_columns_follow_the_fields_and_a_nested_dataclass_stands_for_its_own() -> None:
    assert schema_of(_Curve) == pa.schema(
        [
            ("name", pa.string()),
            ("detections", pa.int64()),
            ("ap", pa.float64()),
            ("recall", pa.list_(pa.float64())),
            ("count", pa.list_(pa.int64())),
        ]
    )
    assert schema_of(_Outer).names == ["seed", "ap", "images", "kind"]
    assert as_json(_Outer(1, _Inner(math.nan, 2, "x"))) == {"seed": 1, "ap": None, "images": 2, "kind": "x"}


def test_nan_is_null_in_a_column_and_nan_in_an_array_and_none_stays_none(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.parquet", _Curve, "crface x")
    recall, count = np.array([0.5, math.nan]), np.array([3, 0])
    table.write([_Curve("a", None, math.nan, recall, count), _Curve("b", 7, 0.5, recall[:0], count[:0])])
    stored = pq.read_table(table.path)
    assert stored.column("ap").to_pylist() == [None, 0.5]
    assert stored.column("recall").null_count == 0
    first, second = table.read()
    assert (first.name, first.detections, math.isnan(first.ap)) == ("a", None, True)
    np.testing.assert_array_equal(first.recall, recall)
    np.testing.assert_array_equal(first.count, count)
    assert (second.detections, second.ap, len(second.recall), len(second.count)) == (7, 0.5, 0, 0)


def test_a_table_can_keep_nan_as_it_is(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.parquet", _Inner, "crface x", is_nan_null=False)
    table.write([_Inner(math.nan, 1, "x")])
    assert pq.read_table(table.path).column("ap").null_count == 0
    assert math.isnan(table.read()[0].ap)


def test_the_record_lies_beside_the_rows_and_both_are_empty_without_a_file(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.parquet", _Inner, "crface x")
    assert (table.read_if_there(), table.record()) == ([], {})
    table.write([_Inner(0.5, 1, "x")], {"parts": {"a": 1}})
    assert (table.read(), table.record()) == ([_Inner(0.5, 1, "x")], {"parts": {"a": 1}})


def test_what_cannot_be_read_is_a_sentence_that_names_the_file_and_the_command(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.parquet", _Inner, "crface x")
    with pytest.raises(UserError, match=r"there are no results .*t\.parquet: run `crface x`"):
        table.read()
    table.write([_Inner(0.5, 1, "x")])
    with pytest.raises(UserError, match=r"do not have this version's columns: run `crface x` again"):
        table.record()
    with pytest.raises(UserError, match=r"do not have this version's columns: run `crface x` again"):
        Table(table.path, _Curve, "crface x").read()
    table.path.write_bytes(table.path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"t\.parquet are damaged \(.*\): run `crface x` again"):
        table.read()
