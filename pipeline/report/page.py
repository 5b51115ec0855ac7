"""The page and the files beside it: what is known about each source, handed to the template."""

import base64
import hashlib
import json
from collections.abc import Sequence

from pipeline.config.sections import RunConfig
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import SETTINGS, load_ground_truth
from pipeline.report import palette
from pipeline.report.ablation_figures import ablation_figures
from pipeline.report.cost import cost_figure
from pipeline.report.curves import joint_curves, protocol_curves
from pipeline.report.face_heights import height_figure
from pipeline.report.facts import (
    data_facts,
    embedded_settings,
    machine_facts,
)
from pipeline.report.files import Rendered, table_files
from pipeline.report.gallery import gallery_section
from pipeline.report.measured import Measured
from pipeline.report.paper_tables import missing_tables, paper_tables
from pipeline.report.plots import figure_files, saved
from pipeline.report.resolutions import resolution_figures
from pipeline.report.result_grids import result_grids
from pipeline.report.sections import Section, all_sections
from pipeline.report.side_by_side import SHOWN_ABOVE, side_by_side
from pipeline.report.side_by_side_plot import side_by_side_plot
from pipeline.report.study_grids import protocol_grids, resolution_grids, timing_grids
from pipeline.report.summary import summary
from pipeline.report.templating import environment
from pipeline.report.timings import timing_table
from pipeline.results.ablation import SWEEPS, read_sweep
from pipeline.results.ablation_figures import read_sweep_figures
from pipeline.results.ap import read_notes
from pipeline.results.protocol_curves import read_line_curves
from pipeline.results.protocols import ComparisonRow, compared_tables, read_comparison
from pipeline.results.resolutions import read_resolutions
from pipeline.results.text import counted


def render(evaluation: EvaluationInput, config: RunConfig, title: str) -> Rendered:
    """The page's HTML and the files that it links.

    Raises UserError when something that it is made from is missing or damaged.
    """
    workspace, index, sources = evaluation.workspace, evaluation.index, evaluation.sources
    truth = load_ground_truth(index, evaluation.ground_truth)
    sections = all_sections(evaluation, truth)
    compared = read_comparison(workspace)
    measured = Measured(
        data=title,
        split=index.split,
        images=counted(sections[0].table.images if sections else 0, "image"),
        is_wider_val=truth.is_official_val,
        ap=[row for section in sections for row in section.rows],
        compared=compared,
        sweeps={sweep: read_sweep(workspace, sweep) for sweep in SWEEPS},
    )
    tables = paper_tables(measured)
    grids = result_grids([(section.table, section.findings) for section in sections], measured.where)
    gallery = gallery_section(evaluation, truth)
    figures = resolution_figures(read_resolutions(workspace))
    comparison, timings = compared_tables(compared), timing_table(workspace)
    curves = joint_curves(
        "curves-all",
        "Precision and recall of all detectors",
        [(section.table.detector, section.rows, section.curve_rows) for section in sections],
    )
    heights, cost = height_figure(measured.ap), cost_figure(compared)
    sides = side_by_side(workspace, compared, evaluation.config, index.data_root, evaluation.ground_truth)
    figures_of_sweeps = ablation_figures(
        {sweep: read_sweep_figures(workspace, sweep) for sweep in SWEEPS}, measured.sweeps
    )
    of_protocols = protocol_curves(read_line_curves(workspace)) if compared else []
    drawn = [
        curves,
        *of_protocols,
        *figures_of_sweeps,
        *(figure for section in sections for figure in section.figures),
        heights,
        *(figure.figure for figure in figures),
        cost,
    ]
    contents = [
        ("summary", "Did ranking help?"),
        ("evaluated", "What was evaluated"),
        ("tables", "The paper's tables"),
        *([("ablations", "Losses and pairs as curves")] if figures_of_sweeps else []),
        ("curves", "Precision and recall of all"),
        *((f"detector-{number}", section.table.detector) for number, section in enumerate(sections, 1)),
        *([("side-by-side", "One scale, several scales, and ranked")] if sides else []),
        *([("gallery", "Look at the mistakes")] if gallery.markup else []),
        *([("heights", "Faces by height")] if heights else []),
        *([("resolutions", "AP by resolution")] if figures else []),
        *([("protocols", "Protocols over the same images")] if comparison else []),
        *([("timings", "What an image costs")] if timings else []),
        ("repeat", "To repeat it"),
    ]
    page = (
        environment("pipeline.report", "templates")
        .get_template("page.html.j2")
        .render(
            title=title,
            about=_about(sections, evaluation),
            palette=palette.css(),
            embedded=embedded_settings(index.data_root),
            summaries=[
                summary(section.rows, _of_detector(compared, source))
                for section, source in zip(sections, sources, strict=True)
            ],
            contents=contents,
            data=data_facts(index, truth),
            notes=read_notes(workspace),
            tables=tables,
            missing=missing_tables(measured),
            sections=sections,
            ablations=figures_of_sweeps,
            curves=curves,
            sides=sides,
            shown_above=SHOWN_ABOVE,
            heights=heights,
            figures=figures,
            cost=cost,
            protocol_curves=of_protocols,
            comparison=comparison,
            settings=SETTINGS,
            timings=timings,
            gallery=gallery,
            script_policy=_script_policy(gallery.script),
            machine=machine_facts(),
            config=json.dumps(config.model_dump(mode="json"), indent=2),
        )
    )
    studied = [
        *protocol_grids(comparison, title),
        *resolution_grids(figures, title),
        *timing_grids(timings, title),
    ]
    files = table_files([*tables, *grids, *studied]) | figure_files(figure for figure in drawn if figure)
    for shown in sides:
        files |= saved(shown.name, side_by_side_plot(shown))
    return Rendered(page, files)


def _about(sections: Sequence[Section], evaluation: EvaluationInput) -> str:
    """What was run on what, in a sentence."""
    detectors = ", ".join(section.table.detector for section in sections)
    index = evaluation.index
    faces = sum(len(index.row(row).faces) for row in index.ok_rows)
    is_ranked = any(source.ranker for source in evaluation.sources)
    return (
        f"{detectors} on {counted(len(index.ok_rows), 'image')} of the split {index.split} with {faces:,} labelled "
        f"faces, {'before and after a confidence ranker' if is_ranked else 'without a ranker'}."
    )


def _script_policy(script: str) -> str:
    """The rule that lets the page run this script and no other; empty for none."""
    if not script:
        return ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"; script-src 'sha256-{digest}'"


def _of_detector(compared: Sequence[ComparisonRow], source: Source) -> list[ComparisonRow]:
    """The compared protocols of a source's detector; none unless the source itself is one pass at the image's size."""
    if source.key.protocol != "single":
        return []
    own = (source.key.detector, source.weights, source.key.split)
    return [row for row in compared if (row.detector, row.weights, row.split) == own]
