"""The gallery: the images of the split that changed most, before and after."""

from dataclasses import dataclass

from markupsafe import Markup

from pipeline.evaluate.plan import EvaluationInput
from pipeline.ground_truth.truth import GroundTruth
from pipeline.report.templating import environment


@dataclass(frozen=True, slots=True)
class GallerySection:
    """A part of the page that brings its own style and script."""

    markup: Markup
    """What stands in the page below the heading "Look at the mistakes"; empty where there is nothing to show."""
    css: str
    """Rules beside those of `style.css`, whose colours they may use."""
    script: str
    """JavaScript that runs once the page is read; empty for none. The page permits this text by its hash."""


def gallery_section(evaluation: EvaluationInput, truth: GroundTruth, num_pictures: int) -> GallerySection:
    """The most changed images of every detector; `num_pictures` are shared among them, at least 4 each.

    Raises UserError when candidates or scores are missing or damaged.
    """
    from pipeline.report.gallery.pictures import gallery  # with torch

    sources = evaluation.sources
    each = max(4, num_pictures // max(1, len(sources)))
    galleries = [
        (
            source.key.detector,
            gallery(evaluation.workspace, evaluation.index, source, truth, evaluation.config, each),
        )
        for source in sources
    ]
    templates = environment("pipeline.report.gallery", ".")
    markup = templates.get_template("gallery.html.j2").render(galleries=galleries)
    assert templates.loader is not None
    css, _, _ = templates.loader.get_source(templates, "gallery.css")
    return GallerySection(Markup(markup.strip()), css, "")  # noqa: S704 - the template escapes every value
