"""The local viewer: what it answers, and that nothing beside the data set and the report can be asked for."""

import dataclasses
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from gallery_world import HELPED, PATHS, SAME, gallery_run
from report_world import RANKER, Run, report_run, store_rows, store_source

from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import update_index
from pipeline.errors import UsageError, UserError
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import load_ground_truth
from pipeline.view.answers import Answer, Viewer
from pipeline.view.server import ViewServer, open_server
from pipeline.view.split import SplitView, menu_names
from pipeline.view.stored import evaluate_config, stored_sources
from pipeline.workspace.layout import Workspace

SECRET = "not to be read"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("view")
    (folder / "secret.html").write_text(SECRET)
    run = gallery_run(folder)
    run.build()
    return run


@pytest.fixture(scope="module")
def viewer(run: Run) -> Viewer:
    return viewer_of(run)


@pytest.fixture
def server(viewer: Viewer) -> Iterator[ViewServer]:
    with open_server(viewer, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def viewer_of(run: Run) -> Viewer:
    truth = load_ground_truth(run.index) if run.index.is_labelled else None
    sources = stored_sources(run.workspace, run.index.split)
    view = SplitView(run.workspace, run.index, truth, sources, evaluate_config(run.workspace))
    return Viewer(view, run.workspace, "a title")


def record(answer: Answer) -> dict:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def asked(server: ViewServer, target: str, method: str = "GET", host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, target, skip_host=host is not None)
    if host:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_every_image_and_every_detector_is_there(viewer: Viewer):
    split = record(viewer.answer("/split.json"))
    assert [name[:2] for name in split["names"]] == [[row, path] for row, path in enumerate(PATHS)]
    assert [(one["name"], one["after"]) for one in split["detectors"]] == [
        ("some-detector", "ranked"),
        ("other-detector", "oracle"),
    ]


def test_an_image_that_did_not_change_can_be_looked_at(viewer: Viewer):
    found = record(viewer.answer(f"/detector/0/image/{PATHS.index(SAME)}.json"))
    assert [box[4:7] for box in found["boxes"]] == [[0.7, 0.7, 1.0]]


def test_the_survey_has_a_line_for_every_image(viewer: Viewer):
    found = record(viewer.answer("/detector/0/survey.json"))
    assert [line[0] for line in found["lines"]] == list(range(len(PATHS)))
    assert found["steps"][found["start"]] == [1.0, 0.6, 0.7]


@pytest.mark.parametrize(("kind", "width"), [("picture", 300), ("small", 160)])
def test_pictures_are_read_on_demand_and_reduced(viewer: Viewer, kind: str, width: int):
    answer = viewer.answer(f"/{kind}/0.jpg")
    assert answer.content_type == "image/jpeg"
    pixels = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[1] == width


@pytest.mark.parametrize(
    "target",
    [
        *("/picture/6.jpg", "/picture/-1.jpg", "/picture/0x1.jpg", "/picture/1e0.jpg", "/picture/.jpg"),
        *(
            "/picture/99999999999999999999.jpg",
            "/picture/\u0661.jpg",
            "/picture/%31.jpg",
            "/picture/1.jpg%00",
        ),
        *("/detector/2/survey.json", "/detector/-1/survey.json", "/detector/0/image/6.json"),
        *("/detector/0/image/../../../split.json", "/detector/a/image/0.json"),
        *("/../secret.html", "//secret.html", "/secret.html", "/etc/passwd", "/%2e%2e/secret.html"),
        *("/report/../../secret.html", "/report/%2e%2e/%2e%2e/secret.html", "/report//etc/passwd"),
        *("/report/inputs.json", "/report/..%2finputs.json", "/report/tables/../../../secret.html"),
        *("/0--March/helped.jpg", "/picture/0--March/helped.jpg", "", "*", "/gallery.html.j2"),
    ],
)
def test_what_is_no_number_of_something_there_is_not_found(viewer: Viewer, target: str):
    answer = viewer.answer(target)
    assert answer.status == 404
    assert SECRET.encode() not in answer.body


def test_a_question_after_the_name_changes_nothing(viewer: Viewer):
    assert viewer.answer("/split.json?file=/etc/passwd").body == viewer.answer("/split.json").body


def test_the_report_is_served_with_its_files_and_nothing_that_it_links_to(run: Run, viewer: Viewer):
    assert b"Look at the mistakes" in viewer.answer("/report/").body
    assert viewer.answer("/report/index.html").body == viewer.answer("/report/").body
    link = run.workspace.report / "stolen.html"
    link.symlink_to(run.workspace.root.parent / "secret.html")
    folder = run.workspace.report / "elsewhere"
    folder.symlink_to(run.workspace.root.parent, target_is_directory=True)
    try:
        assert viewer.answer("/report/stolen.html").status == 404
        assert viewer.answer("/report/elsewhere/secret.html").status == 404
    finally:
        link.unlink()
        folder.unlink()


def test_an_image_replaced_by_a_link_out_of_the_data_set_is_not_shown(tmp_path: Path):
    run = gallery_run(tmp_path)
    outside = tmp_path / "private.jpg"
    run.index.image_path(0).rename(outside)
    run.index.image_path(0).symlink_to(outside)
    answer = viewer_of(run).answer("/picture/0.jpg")
    assert answer.status == 404
    assert b"leads out of the data set" in answer.body


def test_a_deleted_image_is_missing_and_its_boxes_are_not(tmp_path: Path):
    run = gallery_run(tmp_path)
    run.index.image_path(0).unlink()
    viewer = viewer_of(run)
    assert viewer.answer("/picture/0.jpg").status == 404
    assert len(record(viewer.answer("/detector/0/image/0.json"))["boxes"]) == 3


def test_a_damaged_store_is_named_and_the_viewer_goes_on(tmp_path: Path):
    run = gallery_run(tmp_path)
    shard, _ = CandidateStore.open(run.workspace.candidates(run.sources[0].key)).block_files(0)
    shard.write_bytes(b"\x00" * shard.stat().st_size)
    viewer = viewer_of(run)
    answer = viewer.answer("/detector/0/image/0.json")
    assert (answer.status, b"is damaged" in answer.body) == (409, True)
    assert viewer.answer("/detector/1/image/0.json").status == 200


def test_a_folder_without_labels_is_shown_without_judgements(tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), np.zeros((50, 60, 3), np.uint8))
    workspace = Workspace(tmp_path / "run")
    index = update_index(workspace, folder, "images").index
    boxes = {"a.jpg": [(0, 0, 20, 20, 0.9, 0.9), (30, 0, 50, 20, 0.4, 0.4)]}
    source = store_source(workspace, index, "some-detector", "", boxes)
    run = dataclasses.replace(
        report_run(tmp_path / "other"), workspace=workspace, index=index, sources=[source]
    )
    viewer = viewer_of(run)
    split = record(viewer.answer("/split.json"))
    assert (split["isLabelled"], split["detectors"][0]["after"]) == (False, "")
    found = record(viewer.answer("/detector/0/survey.json"))
    assert found["steps"][0][1] == 0.9
    assert found["steps"][found["start"]] == [5.0, 0.4, 0.0]  # five boxes an image, if there are so many
    assert [box[6:] for box in record(viewer.answer("/detector/0/image/0.json"))["boxes"]] == [
        [None, 5, -1]
    ] * 2


def test_a_second_ranker_is_another_entry_of_the_menu(tmp_path: Path):
    run = gallery_run(tmp_path)
    key = run.sources[0].key
    rows = [np.full(3, 0.5, np.float32)] * len(run.index)
    store_rows(ScoreStore, run.workspace.scores(key, "fedcba9876543210"), rows)
    sources = stored_sources(run.workspace, "val")
    assert menu_names(sources) == [
        "some-detector (feed, ranker 012345)",
        "other-detector",
        "some-detector (feed, ranker fedcba)",
    ]
    assert [source.ranker for source in sources] == [RANKER, "", "fedcba9876543210"]


def test_scores_that_cannot_be_opened_are_left_out(tmp_path: Path):
    run = gallery_run(tmp_path)
    scores = run.workspace.scores(run.sources[0].key, RANKER)
    (scores / "scores" / "zarr.json").write_text("{}")
    assert [source.ranker for source in stored_sources(run.workspace, "val")] == ["", ""]


def test_the_evaluated_settings_are_those_of_the_results(tmp_path: Path):
    run = gallery_run(tmp_path)
    record_file = run.workspace.results / "inputs.json"
    stored = json.loads(record_file.read_text())
    stored["parts"]["evaluate"]["nms_iou"] = 0.6
    record_file.write_text(json.dumps(stored))
    assert evaluate_config(run.workspace).nms_iou == 0.6
    for damaged in ("{", "[]", '{"parts": 3}', '{"parts": {"evaluate": {"nms_iou": 7}, "sources": 3}}'):
        record_file.write_text(damaged)
        assert evaluate_config(run.workspace) == EvaluateConfig()
        assert len(stored_sources(run.workspace, "val")) == 2


def test_without_candidates_the_next_step_is_said(tmp_path: Path):
    with pytest.raises(UserError, match="run `crface cache`"):
        stored_sources(Workspace(tmp_path), "val")


def test_a_store_in_a_folder_that_is_not_its_own_is_left_out(run: Run, tmp_path: Path):
    moved = Workspace(tmp_path)
    source = store_source(moved, run.index, "a", "", {path: [(0, 0, 9, 9, 0.5, 0.5)] for path in PATHS})
    moved.candidates(source.key).rename(moved.candidates(source.key).parent / "else")
    assert [one.key for one in stored_sources(moved, "val")] == [
        dataclasses.replace(source.key, fingerprint="else")
    ]
    (moved.root / "candidates.zarr" / "val" / "a").rename(moved.root / "candidates.zarr" / "val" / "b")
    with pytest.raises(UserError, match="has no candidates"):
        stored_sources(moved, "val")


def test_this_machine_alone_can_reach_the_server_and_only_by_its_own_name(server: ViewServer):
    assert server.server_address[0] == "127.0.0.1"
    port = server.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert asked(server, "/split.json", host=host)[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port}.evil.example",
        "[::1]",
    ):
        status, body = asked(server, "/split.json", host=host)
        assert (status, HELPED.encode() in body) == (403, False)


def test_only_reading_is_possible(server: ViewServer):
    assert {asked(server, "/", method)[0] for method in ("POST", "PUT", "DELETE", "OPTIONS")} == {501}
    assert asked(server, "/", "HEAD") == (200, b"")


def test_the_page_allows_no_script_but_its_own(viewer: Viewer):
    page = viewer.answer("/")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert b"6 images" in page.body
    assert b'href="report/"' in page.body


def test_a_port_that_is_taken_is_said(server: ViewServer, viewer: Viewer):
    with pytest.raises(UsageError, match="--port"):
        open_server(viewer, server.server_port)


def test_sources_without_results_come_by_name(run: Run, tmp_path: Path):
    workspace = Workspace(tmp_path)
    boxes = {path: [(0, 0, 9, 9, 0.5, 0.5)] for path in PATHS}
    for detector in ("zeta", "alpha"):
        store_source(workspace, run.index, detector, "", boxes)

    def name(source: Source) -> str:
        return source.key.detector

    assert [name(source) for source in stored_sources(workspace, "val")] == ["alpha", "zeta"]
