"""The viewer's answers: from a request's target to a status, a type and bytes. Nothing in a target is ever a path.

Images are numbers of rows, detectors are places in a menu, and files of the report are looked up among those that are
there. What is neither is not found.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from typing import Final
from urllib.parse import unquote

from pipeline.errors import UserError
from pipeline.report import palette
from pipeline.report.gallery import asset, gallery_markup
from pipeline.report.templating import environment
from pipeline.view.reports import report_files
from pipeline.view.split import LARGE_PX, SMALL_PX, Missing, SplitView
from pipeline.workspace.layout import Workspace

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML, _JS, _CSS = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_JSON, _JPEG, _TEXT = "application/json", "image/jpeg", "text/plain; charset=utf-8"
_KEPT: Final = "private, max-age=600"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Viewer:
    """A split to look at, and the report beside it."""

    view: SplitView
    workspace: Workspace
    title: str

    def answer(self, target: str) -> Answer:
        """The answer to a GET of `target`; never raises for what a request or a damaged store can cause."""
        path = target.partition("?")[0]
        try:
            for pattern, respond in _ROUTES:
                if (match := pattern.fullmatch(path)) is not None:
                    return respond(self, *match.groups())
        except Missing as error:
            return _text(HTTPStatus.NOT_FOUND, str(error))
        except UserError as error:
            return _text(HTTPStatus.CONFLICT, str(error))
        return _text(HTTPStatus.NOT_FOUND, "there is nothing of this name")

    def page(self) -> Answer:
        """The page around the gallery."""
        markup = (
            environment("pipeline.view", ".")
            .get_template("page.html.j2")
            .render(
                title=self.title,
                gallery=gallery_markup(None),
                num_images=self.view.num_images,
                has_report="index.html" in report_files(self.workspace),
            )
        )
        return Answer(HTTPStatus.OK, _HTML, markup.encode(), {"Content-Security-Policy": _POLICY})

    def report(self, name: str) -> Answer:
        """A file of the report, which brings its own policy."""
        name = unquote(name) or "index.html"
        place = report_files(self.workspace).get(name)
        if place is None:
            return _text(HTTPStatus.NOT_FOUND, "the report has no such file: run `crface report`")
        kind = {"html": _HTML, "svg": "image/svg+xml", "pdf": "application/pdf"}.get(place.suffix[1:], _TEXT)
        return Answer(HTTPStatus.OK, kind, place.read_bytes())


def _text(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(status, _TEXT, sentence.encode(errors="backslashreplace"))


def _ok(content_type: str, body: bytes, cache: str = "no-store") -> Answer:
    return Answer(HTTPStatus.OK, content_type, body, {"Cache-Control": cache})


def _style() -> bytes:
    style = files("pipeline.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    return f"{palette.css()}\n{style}".encode()


_N = "([0-9]{1,9})"
_ROUTES: Final[list[tuple[re.Pattern[str], Callable[..., Answer]]]] = [
    (re.compile(pattern), respond)
    for pattern, respond in (
        ("/", Viewer.page),
        (r"/gallery\.js", lambda _: _ok(_JS, asset("gallery.js").encode())),
        (r"/gallery\.css", lambda _: _ok(_CSS, asset("gallery.css").encode())),
        (r"/style\.css", lambda _: _ok(_CSS, _style())),
        (r"/split\.json", lambda viewer: _ok(_JSON, viewer.view.split_json())),
        (rf"/detector/{_N}/survey\.json", lambda viewer, n: _ok(_JSON, viewer.view.survey_json(int(n)))),
        (
            rf"/detector/{_N}/image/{_N}\.json",
            lambda viewer, n, row: _ok(_JSON, viewer.view.image_json(int(n), int(row))),
        ),
        (
            rf"/picture/{_N}\.jpg",
            lambda viewer, row: _ok(_JPEG, viewer.view.picture(int(row), LARGE_PX), _KEPT),
        ),
        (
            rf"/small/{_N}\.jpg",
            lambda viewer, row: _ok(_JPEG, viewer.view.picture(int(row), SMALL_PX), _KEPT),
        ),
        (r"/report/(.*)", Viewer.report),
    )
]
