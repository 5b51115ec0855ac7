"""A cluster whose one worker is a thread of the driver's process: up at once, and sees what a test has patched."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
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


def compute_on_thread() -> None:
    """Have the commands of this process compute in it, whatever --cluster says."""
    for name, stand_in in STAND_INS.items():
        module, _, function = name.rpartition(".")
        setattr(importlib.import_module(module), function, stand_in)


STAND_INS: dict[str, Callable[..., Any]] = {
    "workflows.spread.works.open_cluster": open_thread_cluster,
    "workflows.spread.works.dashboard_link": lambda client: None,
}
"""What has commands compute in their own process, by the name that it takes."""
