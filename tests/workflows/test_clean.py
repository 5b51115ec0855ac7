"""`crface status` says what is stored and who refers to it; `crface clean` removes what nobody does, and only that."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cache_job import DETECTOR
from wider_folder import Picture, write_data_set

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.toml import load_config
from pipeline.dataset.index import update_index
from pipeline.imports.imported import imported_key, imported_parts, record_import
from pipeline.results.ablation import AblationRow, write_rows
from pipeline.results.protocols import ComparisonRow, write_comparison
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.writing import write_atomically
from workflows.cli.main import main

NEWER = "fake_detector:NEWER"
"""The detector of DETECTOR in another version: its candidates have another fingerprint."""
TRAINED = "a" * 16

Command = Callable[..., tuple[int, str, str]]


class World:
    """A workspace with the candidates of both versions on two labelled images."""

    def __init__(self, root: Path) -> None:
        self.data = write_data_set(
            root / "data", [Picture("event", "1", [(2, 2, 20, 20)]), Picture("event", "2")]
        )
        for stem in ("1", "2"):  # the pretended detector answers with as many candidates as the image is red
            path = self.data / "WIDER_val" / "images" / "event" / f"{stem}.jpg"
            assert cv2.imwrite(str(path), np.full((24, 32, 3), (0, 0, 4), np.uint8))
        self.workspace = Workspace(root / "run")
        self.current, self.old = self.cache(DETECTOR), self.cache(NEWER)

    def cache(self, detector: str) -> CandidateKey:
        index = update_index(self.workspace, self.data, "val").index
        plan: CachePlan = plan_cache(self.workspace, index, detector, load_config("demo").cache)
        prepare_cache(plan)
        for block in plan.blocks:
            assert cache_block(plan.spec, block).errors == ()
        finish_cache(plan)
        return plan.key

    def has(self, key: CandidateKey) -> bool:
        places = self.workspace.candidates(key), self.workspace.candidates_ledger(key)
        there = {place.exists() for place in places}
        assert len(there) == 1  # a store and its ledger go together
        return there.pop()

    def files(self) -> dict[Path, int]:
        assert isinstance(self.workspace.root, Path)
        return {
            path: path.stat().st_mtime_ns
            for path in self.workspace.root.rglob("*")
            if path.is_file() and path.name != ".lock"
        }


def compared_row(key: CandidateKey, ranker: str) -> ComparisonRow:
    """A line of `results/protocols.parquet` about two images."""
    return ComparisonRow(
        split=key.split, detector=key.detector, weights="", protocol=key.protocol, input_size="original",
        fingerprint=key.fingerprint, confidence="ranked", candidates="above 0.02", ranker=ranker, ground_truth="",
        iou=0.5, nms_iou=0.4, score_threshold=0.02, setting="easy", definition="by height", kind="official",
        ap=0.5, ap_low=0.4, ap_high=0.6, gain=0.0, gain_low=0.0, gain_high=0.0, recovered=0.0, images=2, faces=1,
        line="single, rank", trained_on=0, split_images=9, median_ms=1.0, timed_images=1, device="cpu", threads=1,
        oracle_ap=0.9,
    )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def crface(world: World, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command on that workspace, with the first version of the detector unless another one is named."""

    def run(*arguments: str) -> tuple[int, str, str]:
        detector = () if "--detector" in arguments else ("--detector", DETECTOR)
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *detector, "--out", str(world.workspace.root)])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


def status(crface: Command, *arguments: str) -> dict[str, Any]:
    code, output, errors = crface("status", "--json", *arguments)
    assert code == 0, errors
    found: dict[str, Any] = json.loads(output)
    return found


# ---------------------------------------------------------------------------------------------------- status


def test_status_says_of_every_piece_whether_it_is_current(world: World, crface: Command) -> None:
    found = status(crface)
    states = {piece["fingerprint"]: piece["state"] for piece in found["pieces"] if piece["fingerprint"]}
    assert states == {world.current.fingerprint: "current", world.old.fingerprint: "unused"}
    assert found["bytes"] == sum(path.stat().st_size for path in world.files())
    assert [entry["stage"] for entry in found["to_do"]] == ["evaluate", "report"]


def test_status_prints_a_table_that_fits_and_what_is_to_do(world: World, crface: Command) -> None:
    code, output, _ = crface("status")
    assert code == 0
    assert [
        line for line in output.splitlines() if len(line) > 80 and str(world.workspace.root) not in line
    ] == []
    assert f"fake_detector-ENTRY on val {world.current.fingerprint[:8]} current" in " ".join(output.split())
    assert "nothing refers to 1 piece" in output
    assert "to do: evaluate: all of it" in output


def test_status_writes_nothing(world: World, crface: Command) -> None:
    before = world.files()
    crface("status")
    assert world.files() == before


def test_status_of_another_configuration_says_so(crface: Command) -> None:
    code, output, _ = crface("status", "--detector", "hrnet-slim")
    assert code == 0
    assert "nothing here is of this configuration" in output


@pytest.mark.parametrize("command", ["status", "clean"])
def test_without_a_workspace_none_is_made(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--out", str(tmp_path / "none")])
    assert ended.value.code == 1
    assert "there is no workspace" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


# ----------------------------------------------------------------------------------------------------- clean


def test_a_dry_run_names_what_would_go_and_removes_nothing(world: World, crface: Command) -> None:
    before = world.files()
    code, output, errors = crface("clean", "--dry-run", "--yes")
    assert code == 0, errors
    assert world.old.fingerprint[:8] in output
    assert world.current.fingerprint[:8] not in output
    assert output.endswith("nothing was removed\n")
    assert world.files() == before


def test_what_nothing_refers_to_is_removed_and_all_else_works_on(world: World, crface: Command) -> None:
    assert crface("evaluate")[0] == 0
    code, output, errors = crface("clean", "--yes")
    assert (code, "clean: removed 1 piece" in output) == (0, True), errors
    assert (world.has(world.current), world.has(world.old)) == (True, False)
    assert "nothing to do, the results are up to date" in crface("evaluate")[1]
    assert "nothing to do" in crface("clean", "--yes")[1]


def test_files_of_others_and_folders_with_them_stay(world: World, crface: Command) -> None:
    store = world.workspace.candidates(world.old)
    mine = store / "mine.txt"
    write_atomically(mine, b"mine")
    assert crface("clean", "--yes")[0] == 0
    assert isinstance(store, Path)
    assert [path.name for path in store.rglob("*")] == ["mine.txt"]


def test_what_results_were_computed_from_stays(world: World, crface: Command) -> None:
    assert crface("evaluate", "--detector", NEWER)[0] == 0
    code, output, _ = crface("clean", "--yes")
    assert (code, "nothing to do" in output, world.has(world.old)) == (0, True, True)


def test_a_ranker_that_an_ablation_names_stays_with_the_candidates_it_was_trained_from(
    world: World, crface: Command
) -> None:
    parts = {"split": "val", "candidates": {"1 fake": f"single {world.old.fingerprint}"}}
    for name in (TRAINED, "b" * 16):
        write_atomically(world.workspace.ranker(name) / "parts.json", json.dumps(parts).encode())
    row = AblationRow(
        split="val", detector="x", protocol="single", confidence="ranked", training=TRAINED, seconds=1.0,
        ap_easy=0.5, ap_medium=0.5, ap_hard=0.5,
    )  # fmt: skip
    write_rows(world.workspace, "c" * 16, [row])
    assert crface("clean", "--yes")[0] == 0
    assert world.workspace.ranker(TRAINED).exists()
    assert not world.workspace.ranker("b" * 16).exists()
    assert world.has(world.old)


def test_imported_candidates_stay(world: World, crface: Command) -> None:
    parts = imported_parts("far", "imported", "0")
    record_import(world.workspace, "val", parts)
    imported = world.workspace.candidates(imported_key("val", parts)) / "zarr.json"
    write_atomically(imported, b"{}")
    assert crface("clean", "--yes")[0] == 0
    assert imported.exists()


def test_the_views_that_kept_candidates_were_fused_from_stay(world: World, crface: Command) -> None:
    fused = {"attributes": {"parts": {"views": {"short-500": world.old.fingerprint}}}}
    parts = imported_parts("far", "imported", "0")
    record_import(world.workspace, "val", parts)
    path = world.workspace.candidates(imported_key("val", parts)) / "zarr.json"
    write_atomically(path, json.dumps(fused).encode())
    assert crface("clean", "--yes")[0] == 0
    assert world.has(world.old)


def test_a_subset_that_neither_configuration_nor_results_name_goes_as_a_whole(
    world: World, crface: Command
) -> None:
    for number in (6, 7):  # the configuration `demo` compares six images
        write_atomically(world.workspace.subset(number).index("val"), b"")
        write_atomically(world.workspace.subset(number).candidates(world.current) / "zarr.json", b"{}")
    assert load_config("demo").comparison.images == 6
    assert crface("clean", "--config", "demo", "--yes")[0] == 0
    assert world.workspace.subset(6).index("val").exists()
    assert not world.workspace.subset(7).root.exists()


def test_scores_are_kept_by_results_of_the_same_candidates_alone(world: World, crface: Command) -> None:
    scores = {key: world.workspace.scores(key, "d" * 16) / "zarr.json" for key in (world.current, world.old)}
    for path in scores.values():
        write_atomically(path, b"{}")
    assert crface("evaluate")[0] == 0  # without a ranker
    write_comparison(world.workspace, [compared_row(world.old, "d" * 16)], [], {})
    assert crface("clean", "--yes")[0] == 0
    assert [scores[key].exists() for key in (world.current, world.old)] == [False, True]


def test_a_comparison_over_a_few_images_refers_to_their_subset_alone(world: World, crface: Command) -> None:
    write_atomically(world.workspace.subset(2).index("val"), b"")
    write_comparison(world.workspace, [compared_row(world.old, "d" * 16)], [], {})
    assert crface("clean", "--yes")[0] == 0
    assert world.workspace.subset(2).index("val").exists()
    assert not world.has(world.old)


def test_a_configuration_that_made_nothing_here_removes_nothing(world: World, crface: Command) -> None:
    before = world.files()
    code, _, errors = crface("clean", "--yes", "--detector", "hrnet-slim")
    assert (code, "nothing was removed" in errors) == (1, True)
    assert world.files() == before


def test_results_that_cannot_be_read_might_refer_to_anything(world: World, crface: Command) -> None:
    write_atomically(world.workspace.protocols, b"damaged")
    code, _, errors = crface("clean", "--yes")
    assert (code, "protocols.parquet" in errors) == (1, True)
    assert world.has(world.old)


@pytest.mark.parametrize(("answer", "is_kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_a_person_is_asked_and_no_is_the_default(
    world: World, crface: Command, monkeypatch: pytest.MonkeyPatch, answer: str, is_kept: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert crface("clean")[0] == 0
    assert world.has(world.old) == is_kept


def test_a_script_has_to_say_yes(world: World, crface: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, output, errors = crface("clean")
    assert (code, "--yes" in errors, world.old.fingerprint[:8] in output) == (2, True, True)
    assert world.has(world.old)


def test_while_another_command_writes_only_a_dry_run_is_possible(world: World, crface: Command) -> None:
    with world.workspace.locked("crface train --out run"):
        code, _, errors = crface("clean", "--yes")
        assert (code, "crface train --out run" in errors) == (1, True)
        assert crface("clean", "--dry-run")[0] == 0
    assert world.has(world.old)
