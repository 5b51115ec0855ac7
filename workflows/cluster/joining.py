"""A Dask cluster that runs already, joined in a given time or not at all, with nothing left behind in this process."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from distributed import Client

_CLOSE_S: Final = 10


class JoiningClient(Client):
    """A client that gives up in time, and is then closed with its event loop before the error comes out.

    Dask leaves the closing to the garbage collector. A client that is collected while another one starts its event
    loop waits for a lock that its own thread holds, for ever; and a loop whose client never connected is a thread
    that nobody ends. Dask also waits without end for the first words of what accepts the connection and is silent: a
    scheduler that hangs, or another kind of server.
    """

    def start(self, **options: Any) -> None:
        """Connect in at most twice `options["timeout"]` seconds; Client's constructor calls it.

        Raises what Dask raises, TimeoutError among it.
        """
        try:
            super().start(**options, callback_timeout=2 * options["timeout"])  # type: ignore[no-untyped-call]
        except BaseException:  # Ctrl-C too
            with suppress(TimeoutError):
                self.close(timeout=_CLOSE_S)  # type: ignore[no-untyped-call]
            self._loop_runner.stop()  # type: ignore[no-untyped-call] # close() does not, of one that Dask has closed
            raise
