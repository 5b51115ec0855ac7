"""A cluster that cannot be joined leaves nothing behind that could stop the next one."""

import contextlib
import gc
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed.utils import LoopRunner

from pipeline.errors import UserError
from workflows.cluster import local
from workflows.cluster.open import open_cluster
from workflows.cluster.tls import tls_required

pytestmark = pytest.mark.timeout(300)


@contextlib.contextmanager
def nobody(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    yield f"tcp://127.0.0.1:{port}"


@contextlib.contextmanager
def one_that_says_nothing(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []  # open until the test is over

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    answer(held[-1])

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


@contextlib.contextmanager
def an_ssh_server(folder: Path) -> Iterator[str]:
    with listening(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as address:
        yield address


@contextlib.contextmanager
def a_database_that_complains(folder: Path) -> Iterator[str]:
    def complain(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"-ERR unknown command\r\n")

    with listening(complain) as address:
        yield address


@contextlib.contextmanager
def one_that_sends_zeros(folder: Path) -> Iterator[str]:
    with listening(lambda connection: connection.sendall(bytes(64))) as address:
        yield address


@contextlib.contextmanager
def one_whose_first_frame_is_too_short(folder: Path) -> Iterator[str]:
    with listening(
        lambda connection: connection.sendall(
            (1).to_bytes(8, "little") + (5).to_bytes(8, "little") + b"hello"
        )
    ) as address:
        yield address


@contextlib.contextmanager
def a_web_server(folder: Path) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # who hangs up before the answer is no news

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def one_that_must_not_be_open(folder: Path) -> Iterator[str]:
    with tls_required(folder), nobody(folder) as address:
        yield address


@contextlib.contextmanager
def one_that_asks_for_a_certificate(folder: Path) -> Iterator[str]:
    yield "tls://127.0.0.1:9"


@contextlib.contextmanager
def one_that_is_no_address(folder: Path) -> Iterator[str]:
    yield "tcp://127.0.0.1:none"


@contextlib.contextmanager
def file_of_a_scheduler_that_is_gone(folder: Path) -> Iterator[str]:
    file = folder / "scheduler.json"
    with nobody(folder) as address:
        file.write_text(f'{{"address": "{address}"}}')
    yield str(file)


UNREACHABLE = [
    nobody,
    one_that_says_nothing,
    one_that_must_not_be_open,
    one_that_asks_for_a_certificate,
    one_that_is_no_address,
    file_of_a_scheduler_that_is_gone,
]


STRANGERS = [
    an_ssh_server,
    a_database_that_complains,
    one_that_sends_zeros,
    one_whose_first_frame_is_too_short,
    a_web_server,
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.cluster.open._WAIT_S", 0.3)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Have what a failed join leaves stay until it is looked for."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def loops() -> int:
    return sum(thread.name == "IO loop" for thread in threading.enumerate())


@pytest.mark.parametrize("unreachable", UNREACHABLE)
def test_a_failed_join_leaves_no_thread_and_no_client_that_waits_for_dasks_lock(
    unreachable: Callable[[Path], contextlib.AbstractContextManager[str]],
    tmp_path: Path,
    impatient: None,
    no_collection: None,
) -> None:
    before = loops()
    complaint = "no Dask scheduler answers"
    with unreachable(tmp_path) as address, pytest.raises(UserError, match=complaint), open_cluster(address):
        pass
    assert loops() == before
    with (
        LoopRunner._lock
    ):  # as while the next client starts its loop; a client that is open would wait here for ever
        gc.collect()


@pytest.mark.parametrize("stranger", STRANGERS)
def test_another_service_at_the_address_is_said_to_be_no_scheduler(
    stranger: Callable[[Path], contextlib.AbstractContextManager[str]], tmp_path: Path, impatient: None
) -> None:
    before = loops()
    with stranger(tmp_path) as address:
        complaint = f"what answers at {address} is no Dask scheduler: .* usually 8786, and 8787 .* dashboard"
        with pytest.raises(UserError, match=complaint), open_cluster(address):
            pass
    assert loops() == before


def test_after_many_failed_joins_in_one_process_a_cluster_that_answers_is_joined(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loops()
    for _ in range(3):
        for unreachable in UNREACHABLE:
            with unreachable(tmp_path) as address, pytest.raises(UserError), open_cluster(address):
                pass
    assert loops() == before
    monkeypatch.undo()
    with open_cluster("local:1") as own, open_cluster(own.scheduler.address) as joined:
        assert joined.submit(sum, [1, 2]).result(120) == 3
    assert loops() == before


# Dask leaves the socket open with which it asked for the port
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dashboards_port_that_is_taken_after_it_was_found_free_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(local, "_free_port", lambda: port)
        with open_cluster("local:1") as client:
            assert client.submit(sum, [1, 2]).result(120) == 3
            assert f":{port}/" not in client.dashboard_link
