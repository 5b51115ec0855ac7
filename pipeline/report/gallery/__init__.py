"""The gallery: the images of the split that changed, before and after, to look through with or without a script."""

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from pipeline.evaluate.plan import EvaluationInput
from pipeline.ground_truth.truth import GroundTruth
from pipeline.report.templating import environment

if TYPE_CHECKING:
    from pipeline.report.gallery.page import Contents

PAGE_BYTES: Final = 12_000_000
"""What pictures and records may take of a page."""


@dataclass(frozen=True, slots=True)
class GallerySection:
    """A part of the page that brings its own style and script."""

    markup: Markup
    """What stands in the page below the heading "Look at the mistakes"; empty where there is nothing to show."""
    css: str
    """Rules beside those of `style.css`, whose colours they may use."""
    script: str
    """JavaScript that runs once the page is read; empty for none. The page permits this text by its hash."""


def gallery_section(
    evaluation: EvaluationInput, truth: GroundTruth, budget_bytes: int = PAGE_BYTES
) -> GallerySection:
    """The changed images of every detector, the most changed first, as many as the budget holds.

    Raises UserError when candidates or scores are missing or damaged.
    """
    from pipeline.report.gallery.page import contents  # with torch

    found = contents(evaluation, truth, budget_bytes)
    if not found.pictures:
        return GallerySection(Markup("<p>No image changed.</p>"), "", "")
    return GallerySection(gallery_markup(found), asset("gallery.css"), asset("gallery.js"))


def gallery_markup(found: "Contents | None") -> Markup:
    """The gallery's part of a page; without contents, that of a page whose script asks a server for them."""
    templates = environment("pipeline.report.gallery", ".")
    markup = templates.get_template("gallery.html.j2").render(found=found)
    return Markup(markup.strip())  # noqa: S704 - the template escapes every value


def asset(name: str) -> str:
    """The text of one of the gallery's files for browsers."""
    return files("pipeline.report.gallery").joinpath(name).read_text(encoding="utf-8")
