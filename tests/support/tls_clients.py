"""Clients that have no certificate of a cluster's authority, for tests."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import pytest
from distributed import Client

from pipeline.errors import UserError
from workflows.cluster.open import open_cluster
from workflows.cluster.tls import CERTIFICATE, KEY, tls_required


def check_that_others_are_turned_away(client: Client, ours: Path, theirs: Path) -> None:
    """See that scheduler, workers and nannies speak to who has a certificate of the folder `ours`, and to nobody else.

    Certificates of another authority are made in `theirs`.
    """
    with tls_required(theirs):
        pass
    workers = client.scheduler_info(n_workers=-1)["workers"]
    servers = [client.scheduler.address, *workers, *(worker["nanny"] for worker in workers.values())]
    assert len(servers) > 2
    for address in servers:
        assert address.startswith("tls://")
        assert _speaks(address, ours)  # so that the others' silence means something
        assert not _speaks(address, theirs)
        assert not _speaks(address, None)
    for address in (servers[0], servers[0].replace("tls://", "tcp://")):
        with (
            _without_tls(),
            pytest.raises(UserError, match="no Dask scheduler answers"),
            open_cluster(address),
        ):
            pass


def _speaks(address: str, certificates: Path | None) -> bool:
    """Whether what listens at an address says anything to who shows this certificate; Dask speaks first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who breaks in does not ask whom he meets
    if certificates:
        context.load_cert_chain(certificates / CERTIFICATE, certificates / KEY)
    host, _, port = address.removeprefix("tls://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        try:
            with context.wrap_socket(plain) as secured:
                return bool(secured.recv(1))
        except (ssl.SSLError, ConnectionError):
            return False


@contextmanager
def _without_tls() -> Iterator[None]:
    """Have this process know of no certificate, and ask for no encryption."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("DASK_DISTRIBUTED__COMM__"):
                patch.delenv(name)
        dask.config.refresh()
        yield
    dask.config.refresh()
