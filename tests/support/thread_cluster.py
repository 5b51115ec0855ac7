"""A cluster whose one worker is a thread of the test's process: up at once, and sees what the test has patched."""

from collections.abc import Iterator
from contextlib import contextmanager

import dask
import pytest
from distributed import Client, LocalCluster

from workflows.cluster import dask_config


@contextmanager
def open_thread_cluster(address: str = "", num_blocks: int | None = None) -> Iterator[Client]:
    dask_config.silence_dask()
    with (
        dask.config.set(dask_config.DASK_SETTINGS),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
        ) as one,
        Client(one, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def on_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands compute in this process, whatever --cluster says."""
    monkeypatch.setattr("workflows.spread.works.open_cluster", open_thread_cluster)
    monkeypatch.setattr("workflows.spread.works.dashboard_link", lambda client: None)
