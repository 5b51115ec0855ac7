"""The viewer's web server: this machine alone can reach it, and only under its own name."""

import errno
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from pipeline.errors import UsageError
from pipeline.view.answers import Answer, Viewer

ADDRESS: Final = "127.0.0.1"
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ViewServer(ThreadingHTTPServer):
    """Answers for one viewer until it is shut down."""

    daemon_threads = True

    def __init__(self, viewer: Viewer, port: int) -> None:
        self.viewer = viewer
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"


def open_server(viewer: Viewer, port: int) -> ViewServer:
    """A server that listens on `port` of this machine; on a free one if it is 0.

    Raises UsageError when the port is taken or not allowed.
    """
    try:
        return ViewServer(viewer, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UsageError(
            f"port {port} cannot be used ({error.strerror}): give another with --port, or 0 for a free one"
        ) from error


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "crface", ""  # which Python answers is nobody's business
    timeout = 60  # seconds; a connection that nobody uses holds no thread for longer

    def do_GET(self) -> None:
        self._send(self._answer())

    def do_HEAD(self) -> None:
        self._send(self._answer(), has_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page says what fails."""

    def _answer(self) -> Answer:
        # a page elsewhere whose name was made to point here must not read this one's answers
        if self.headers.get("Host") not in self._own_names():
            return Answer(HTTPStatus.FORBIDDEN, "text/plain", f"ask for {self.server.url}".encode())
        return self.server.viewer.answer(self.path)

    def _own_names(self) -> set[str]:
        return {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}

    def _send(self, answer: Answer, *, has_body: bool = True) -> None:
        try:
            self.send_response(answer.status)
            headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
            for name, value in (headers | _SECURITY | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if has_body:
                self.wfile.write(answer.body)
        except ConnectionError:
            self.close_connection = True  # the reader has gone on
