"""A scheduler file that cannot be used is named, and one that is being written is waited for."""

import json
import threading
from pathlib import Path

import pytest

from pipeline.errors import UserError
from workflows.cluster import scheduler_file
from workflows.cluster.open import open_cluster
from workflows.cluster.scheduler_file import scheduler_address

ADDRESS = "tcp://10.0.0.7:8786"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_file, "_WAIT_S", 0.0)


def test_the_address_is_read(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"type": "Scheduler", "address": ADDRESS, "workers": {}}))
    assert scheduler_address(file) == ADDRESS


@pytest.mark.parametrize("begun", ["", '{"type": "Scheduler", "addr'])
def test_a_file_that_is_being_written_is_waited_for(
    begun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(begun)
    looked = threading.Event()

    def sleep(seconds: float) -> None:
        looked.set()
        writer.join()

    def write() -> None:
        looked.wait()
        file.write_text(json.dumps({"address": ADDRESS}))

    monkeypatch.setattr(scheduler_file.time, "sleep", sleep)
    writer = threading.Thread(target=write)
    writer.start()
    assert scheduler_address(file) == ADDRESS


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ('{"address": "tcp://10.0', "is not whole, or no JSON"),
        ("address: tcp://10.0.0.7:8786", "is not whole, or no JSON"),
        ("[1, 2]", "is no scheduler file"),
        ('"tcp://10.0.0.7:8786"', "is no scheduler file"),
        ('{"images": []}', "is no scheduler file"),
        ('{"address": 8786}', "is no scheduler file"),
        ('{"address": "10.0.0.7"}', "is no scheduler file"),
    ],
)
def test_an_empty_cut_or_foreign_file_is_named(
    content: str, complaint: str, tmp_path: Path, impatient: None
) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(content)
    with pytest.raises(UserError, match=complaint) as raised, open_cluster(str(file)):
        pass
    assert str(file) in str(raised.value)


def test_a_picture_is_no_scheduler_file(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(UserError, match="is not whole, or no JSON"):
        scheduler_address(file)
