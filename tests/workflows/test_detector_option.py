"""--detector names one detector or several, and a path in it may have spaces."""

from pathlib import Path

import pytest

from workflows.cli.options import make_job
from workflows.job.detectors import named_in


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my models").mkdir()
    for name in ("x.onnx", "x y.onnx"):
        (tmp_path / "my models" / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hrnet-slim", ["hrnet-slim"]),
        (" hrnet-slim   hambox-slim\n", ["hrnet-slim", "hambox-slim"]),
        ("scrfd@my models/x.onnx", ["scrfd@my models/x.onnx"]),
        ("scrfd@my models/x y.onnx", ["scrfd@my models/x y.onnx"]),
        ("hrnet-slim scrfd@my models/x.onnx a.b:C", ["hrnet-slim", "scrfd@my models/x.onnx", "a.b:C"]),
        ("scrfd@my models/x.onnx scrfd@my models/x y.onnx", ["scrfd@my models/x.onnx", "scrfd@my models/x y.onnx"]),
        ("imported:far hrnet-slim", ["imported:far", "hrnet-slim"]),
        # mistakes stay with what they are about
        ("scrfd@my modles/x.onnx hrnet-slim", ["scrfd@my modles/x.onnx", "hrnet-slim"]),
        ("hrnet-slim hambx-slim", ["hrnet-slim", "hambx-slim"]),
        ("", []),
    ],
)  # fmt: skip
def test_a_value_is_parted_at_spaces_between_detectors(value: str, expected: list[str], models: Path) -> None:
    assert named_in(value) == expected


def test_a_value_of_a_repeated_option_is_taken_whole(models: Path) -> None:
    job = make_job(detector=("scrfd@not there/x.onnx", "hrnet-slim"))
    assert job.config.cache.detectors == ("scrfd@not there/x.onnx", "hrnet-slim")


def test_one_option_may_name_several(models: Path) -> None:
    job = make_job(detector=("hrnet-slim scrfd@my models/x.onnx",))
    assert job.config.cache.detectors == ("hrnet-slim", "scrfd@my models/x.onnx")


def test_a_name_of_any_length_is_no_file() -> None:
    assert named_in("scrfd@" + "x" * 5000) == ["scrfd@" + "x" * 5000]
