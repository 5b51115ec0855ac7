"""What several test files need."""

import os
from collections.abc import Iterator
from pathlib import Path

# the suite runs as many processes as there are cores; what threads do is tested where it matters
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# how long an input takes says something about the machine, and decides no test
settings.register_profile("crface", deadline=None)
settings.load_profile("crface")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto` one process more than there are cores: much of what a test does is to wait for another one."""
    return 1 + (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photographs, published weights and reference values, which lie beside a developer's checkout."""
    folder = Path(os.environ.get("CRFACE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "reference").is_dir():
        pytest.skip(
            "real photographs and reference values are not on this machine: set CRFACE_SHARED to their folder"
        )
    return folder


@pytest.fixture(scope="session", autouse=True)
def any_dashboard_port() -> Iterator[None]:
    """Have every cluster's dashboard take any port: tests that run side by side would take it from each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflows.cluster.local._DASHBOARD_PORT", 0)
        yield


@pytest.fixture
def on_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands that a test calls compute in its process, whatever --cluster says."""
    from thread_cluster import STAND_INS  # with Dask, which few tests need

    for name, stand_in in STAND_INS.items():
        monkeypatch.setattr(name, stand_in)
