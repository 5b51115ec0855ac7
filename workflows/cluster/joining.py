"""Joining a running Dask cluster within a time limit, or failing without leaving anything behind in this process."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from distributed import Client

_CLOSE_S: Final = 10
_PROBE_S: Final = 1.0
_MAX_FRAMES: Final = 16  # of a scheduler's first message, which has one or two


class JoiningClient(Client):
    """A client that gives up in time, and closes itself and its event loop before it raises the error.

    Dask leaves the closing to the garbage collector. A client that is collected while another one starts its event
    loop waits for ever for a lock held by its own thread, and the loop of a client that never connected is a thread
    that nothing ends. Dask also waits indefinitely for the first message of a peer that accepts the connection and
    stays silent, such as a hanging scheduler or another kind of server.
    """

    def start(self, **options: Any) -> None:
        """Connect in at most twice `options["timeout"]` seconds; Client's constructor calls it.

        Raises what Dask raises, TimeoutError among it.
        """
        try:
            super().start(**options, callback_timeout=2 * options["timeout"])  # type: ignore[no-untyped-call]
        except BaseException:  # Ctrl-C too
            with suppress(TimeoutError):
                self.close(timeout=_CLOSE_S)
            self._loop_runner.stop()  # close() does not, of one that Dask has closed
            raise


def is_another_service(address: str) -> bool:
    """Whether something at `tcp://HOST:PORT` speaks, and not as a Dask scheduler does.

    A scheduler speaks first: its message begins with the number of its frames, 8 bytes. What is silent until it is
    spoken to is asked as a web server would be. False for what does not speak at all, or only encrypted.
    """
    kind, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if kind != "tcp" or not port.isdecimal():
        return False
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE_S) as connection:
            said = _first_bytes(connection)
            if not said:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                said = _first_bytes(connection)
    except (OSError, OverflowError):
        return False
    return bool(said) and not 0 < int.from_bytes(said[:8], "little") <= _MAX_FRAMES


def _first_bytes(connection: socket.socket) -> bytes:
    try:
        return connection.recv(8)
    except TimeoutError:
        return b""
