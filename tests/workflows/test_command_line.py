"""The installed command as a user meets it: one small data set taken through all stages, and mistakes of all kinds."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from installed_command import Ended, crface

from pipeline.blocks.ledger import Ledger, LedgerRow
from workflows.cli.options import make_job
from workflows.commands.plan import plan

CONFIG = """
[dataset]
train_images = 12
val_images = 8
long_side_px = 320

[cache]
block_images = 4

[train]
num_candidates = 100
image_side_px = 64
batch_size = 4
iterations = {iterations}
num_pairs = {num_pairs}
checkpoint_every = 2
"""


def planned(*arguments: str | Path, cwd: Path) -> dict[str, str]:
    """Give what is to be done, by stage and subject; nothing to do is left out."""
    ended = crface("plan", "--json", *arguments, cwd=cwd)
    assert ended.status == 0, ended.errors
    return {f"{e['stage']} {e['what']}".strip(): e["todo"] for e in json.loads(ended.output) if e["todo"]}


def write_config(path: Path, iterations: int = 4, num_pairs: int = 10) -> Path:
    path.write_text(CONFIG.format(iterations=iterations, num_pairs=num_pairs))
    return path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A workspace that `crface demo` made, with what it printed; not to be written to."""
    folder = tmp_path_factory.mktemp("demo")
    config = write_config(folder / "small.toml")
    return folder, crface("demo", "--config", config, "--out", "w", "--cluster", "local:1", cwd=folder)


@pytest.fixture
def workspace(demo: tuple[Path, Ended], tmp_path: Path) -> Path:
    """A copy of that workspace's folder, to be spoilt; the data set's own place is in it."""
    folder = tmp_path / "copy"
    shutil.copytree(demo[0], folder)
    return folder


def test_demo_ends_with_a_table_of_predicted_ranked_and_oracle_ap_and_the_report(
    demo: tuple[Path, Ended],
) -> None:
    folder, ended = demo
    assert ended.status == 0, ended.errors
    lines = ended.output.splitlines()
    at = next(number for number, line in enumerate(lines) if "predicted" in line)
    assert lines[at].split() == ["faces", "predicted", "ranked", "gain", "oracle"]
    assert [line.split()[0] for line in lines[at + 1 : at + 5]] == [
        "retinaface-mobilenet0.25",
        "easy",
        "medium",
        "hard",
    ]
    assert "embedded data set" in ended.output
    assert any(line.endswith("report/index.html") for line in lines)
    assert lines[-2].startswith("ranking, in AP points of easy / medium / hard: retinaface-mobilenet0.25")
    assert (folder / "w" / "report" / "index.html").stat().st_size > 10_000


def test_output_fits_into_80_columns(demo: tuple[Path, Ended]) -> None:
    too_long = [line for line in demo[1].output.splitlines() if len(line) > 80 and str(demo[0]) not in line]
    assert too_long == []


def test_evaluate_prints_a_screen_and_its_details_on_request(demo: tuple[Path, Ended]) -> None:
    options = ("--config", "small.toml", "--out", "w")
    short, long = (crface("evaluate", *options, *more, cwd=demo[0]) for more in ((), ("-v",)))
    assert len(short.output.splitlines()) < 24
    assert "failures of retinaface-mobilenet0.25" not in short.output
    details = ("every score a threshold", "failures of retinaface", "calibration of retinaface")
    assert all(words in long.output for words in details)
    answer = short.output.partition("exact AP")[0]
    assert long.output.startswith(answer)
    assert [line for line in long.output.splitlines() if len(line) > 80 and str(demo[0]) not in line] == []


def test_second_demo_computes_nothing_and_says_so(demo: tuple[Path, Ended]) -> None:
    folder, _ = demo
    before = {
        path: path.stat().st_mtime_ns
        for path in (folder / "w").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    again = crface("demo", "--config", "small.toml", "--out", "w", cwd=folder)
    after = {
        path: path.stat().st_mtime_ns
        for path in (folder / "w").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    assert again.status == 0
    assert again.output.count("nothing to do") == 6  # cache of two splits, train, rank, evaluate, report
    assert after == before


def test_plan_of_a_finished_workspace_is_empty(demo: tuple[Path, Ended]) -> None:
    assert planned("--config", "small.toml", "--out", "w", cwd=demo[0]) == {}


def test_a_plan_reads_each_ledger_once_and_each_file_of_weights_once_a_split(
    demo: tuple[Path, Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = demo
    ledgers: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    read, path_open = Ledger.read, Path.open

    def counted_read(ledger: Ledger) -> dict[int, LedgerRow]:
        ledgers[ledger.folder.relative_to(folder / "w" / "ledger").parts[0]] += 1
        return read(ledger)

    def counted_open(path: Path, *arguments: Any, **options: Any) -> IO[Any]:
        if path.suffix == ".safetensors":
            weights[path.name] += 1
        return path_open(path, *arguments, **options)

    monkeypatch.setattr(Ledger, "read", counted_read)
    monkeypatch.setattr(Path, "open", counted_open)
    plan(make_job(config=str(folder / "small.toml"), out=folder / "w"))
    assert ledgers == {"candidates": 2, "scores": 1}  # of train and val, and of val
    assert weights == {"retinaface-mobilenet0.25.safetensors": 2, "ranker.safetensors": 1}


def test_a_training_without_candidates_says_only_that_they_are_missing(workspace: Path) -> None:
    config = write_config(workspace / "small.toml", iterations=6)
    shutil.rmtree(workspace / "w" / "candidates.zarr")
    ended = crface("train", "--config", config, "--out", "w", cwd=workspace)
    assert ended.status == 1
    assert ended.output == ""
    assert ended.errors.startswith("crface: nothing is stored in ")
    assert ended.errors.endswith("run `crface cache` first\n")


def test_changing_one_training_option_trains_again_and_caches_nothing(workspace: Path) -> None:
    write_config(workspace / "small.toml", num_pairs=5)
    plan = planned("--config", "small.toml", "--out", "w", cwd=workspace)
    assert set(plan) == {"train small ranker", "rank", "evaluate", "report"}
    text = crface("plan", "--config", "small.toml", "--out", "w", cwd=workspace).output
    assert "train.num_pairs: 10 -> 5" in text


def test_a_changed_image_is_detected_again_alone(workspace: Path) -> None:
    images = sorted((workspace / "w" / "data" / "WIDER_val").rglob("*.jpg"))
    shutil.copyfile(images[0], images[1])
    plan = planned("--config", "small.toml", "--out", "w", cwd=workspace)
    assert plan["index of val"] == "1 rows"
    assert plan["cache retinaface-mobilenet0.25 on val"] == "1 images in 1 blocks"
    assert plan["rank retinaface-mobilenet0.25 on val"] == "1 images in 1 blocks"
    assert "train small ranker" not in plan
    assert "cache retinaface-mobilenet0.25 on train" not in plan


def test_added_images_are_the_only_ones_computed(workspace: Path) -> None:
    val = workspace / "w" / "data" / "WIDER_val" / "images"
    listing = workspace / "w" / "data" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    source = sorted(val.rglob("*.jpg"))[0]
    names = [f"{source.parent.name}/added_{i}.jpg" for i in range(10)]
    for name in names:
        shutil.copyfile(source, val / name)
    listing.write_text(
        listing.read_text() + "".join(f"{name}\n1\n10 10 20 20 0 0 0 0 0 0\n" for name in names)
    )
    moved = workspace / "photographs"
    (workspace / "w" / "data").rename(moved)  # no longer the embedded data set, but the user's
    (workspace / "w").rename(workspace / "other")
    data = ("--data", moved, "--config", "small.toml", "--out", "other")
    plan = planned(*data, cwd=workspace)
    assert plan["index of val"] == "10 rows"
    # blocks are of 4 images: the last block of the old 8 is full, so 10 new images are three blocks
    assert plan["cache retinaface-mobilenet0.25 on val"] == "10 images in 3 blocks"
    ended = crface("cache", *data, cwd=workspace, on_thread=True)
    assert ended.status == 0, ended.errors
    assert "cache retinaface-mobilenet0.25 on val: 10 images done" in ended.output
    assert "cache retinaface-mobilenet0.25 on train: nothing to do" in ended.output


def test_other_weights_are_another_cache(workspace: Path) -> None:
    import detectors
    from crface.weights import save_state

    made = detectors.create("retinaface-mobilenet0.25", weights=None)
    (workspace / "other.safetensors").write_bytes(save_state(made.network.state_dict(), {}))  # type: ignore[attr-defined]
    options = (
        "--config",
        "small.toml",
        "--out",
        "w",
        "--detector",
        "retinaface-mobilenet0.25@other.safetensors",
    )
    plan = planned(*options, cwd=workspace)
    assert plan["cache retinaface-mobilenet0.25 on train"] == "12 images in 3 blocks"
    assert plan["cache retinaface-mobilenet0.25 on val"] == "8 images in 2 blocks"


def test_a_damaged_image_is_named_and_the_rest_goes_on(workspace: Path) -> None:
    images = sorted((workspace / "w" / "data" / "WIDER_val").rglob("*.jpg"))
    data = images[0].read_bytes()
    images[0].write_bytes(data[: len(data) // 2])
    (images[1]).unlink()
    options = ("--config", "small.toml", "--out", "w")
    ended = crface("cache", *options, cwd=workspace, on_thread=True)
    assert ended.status == 0, ended.errors
    assert images[0].name in ended.errors
    assert images[1].name in ended.errors
    assert crface("rank", *options, cwd=workspace, on_thread=True).status == 0
    result = crface("evaluate", *options, "--json", cwd=workspace)
    assert result.status == 0, result.errors
    assert {row["images"] for row in json.loads(result.output)} == {6}


def test_evaluate_json_has_a_number_for_every_setting_and_confidence(demo: tuple[Path, Ended]) -> None:
    folder, _ = demo
    rows = json.loads(crface("evaluate", "--config", "small.toml", "--out", "w", "--json", cwd=folder).output)
    official = {
        (r["confidence"], r["candidates"], r["setting"]): r["ap"] for r in rows if r["kind"] == "official"
    }
    assert {setting for _, _, setting in official} >= {"easy", "medium", "hard", "all"}
    assert len({(confidence, candidates) for confidence, candidates, _ in official}) == 4
    for setting in ("easy", "medium", "hard"):
        # a sum of a thousand terms may end a rounding below 1
        assert official["oracle", "all", setting] > official["predicted", "above 0.02", setting] - 1e-9


@pytest.mark.parametrize("confidence", ["predicted", "ranked"])
def test_exported_detections_score_what_evaluate_said(demo: tuple[Path, Ended], confidence: str) -> None:
    folder, _ = demo
    options = ("--config", "small.toml", "--out", "w")
    ended = crface("export-detections", confidence, "--confidence", confidence, *options, cwd=folder)
    assert ended.status == 0, ended.errors
    scored = crface("score", confidence, "--ground-truth", "w/data", "--json", cwd=folder)
    assert scored.status == 0, scored.errors
    rows = json.loads(crface("evaluate", *options, "--json", cwd=folder).output)
    evaluated = {
        row["setting"]: row["ap"]
        for row in rows
        if row["confidence"] == confidence
        and row["kind"] == "official"
        and row["setting"] in ("easy", "medium", "hard")
    }
    found = json.loads(scored.output)
    # three decimals of a box may move an overlap of all but 0.5
    assert {setting: found[setting] for setting in evaluated} == pytest.approx(evaluated, abs=0.01)


MISTAKES: list[tuple[Sequence[str], int, Sequence[str]]] = [
    (["cache", "--data", "nowhere"], 1, ["nowhere", "does not exist"]),
    (["cache", "--data", "empty"], 1, ["empty", "WIDER FACE"]),
    (["cache", "--data", "plain", "--detector", "retinanet"], 2, ["retinanet", "retinaface-mobilenet0.25"]),
    (["cache", "--data", "plain", "--detector", "retinaface-mobilenet0.25@gone.pth"], 2, ["gone.pth"]),
    (["cache", "--data", "plain", "--config", "gone.toml"], 2, ["gone.toml", "demo"]),
    (["cache", "--data", "plain", "--config", "broken.toml"], 2, ["broken.toml", "TOML"]),
    (["cache", "--data", "plain", "--config", "typo.toml"], 2, ["train.itertions", "iterations"]),
    (
        ["cache", "--data", "plain", "--config", "range.toml"],
        2,
        ["train.num_pairs", "0", "greater than or equal to 1"],
    ),
    (["cache", "--data", "plain", "--cluster", "mainframe"], 2, ["mainframe", "local"]),
    (["cache", "--data", "escape"], 1, ["../../secret.jpg", "wider_face_val_bbx_gt.txt"]),
    (["train", "--out", "fresh"], 1, ["crface cache"]),
    (["rank", "--out", "fresh"], 1, ["crface cache"]),
    (["report", "--out", "fresh"], 1, ["crface cache"]),
    (["report", "plain"], 2, ["plain", "--out", "--compare"]),
    (["report", "--compare", "plain"], 2, ["at least two workspaces"]),
    (["report", "--compare", "plain", "plain"], 2, ["plain", "given twice"]),
    (["report", "--compare", "plain", "empty"], 1, ["plain", "no results", "crface evaluate"]),
    (["report", "--compare", "plain", "empty", "--split", "val"], 2, ["leave out --split"]),
    (["cache", "--data", "plain", "--out", "a-file"], 2, ["a-file"]),
    (
        ["weights", "import", "not-weights.pth", "--detector", "retinaface-mobilenet0.25"],
        1,
        ["not-weights.pth"],
    ),
    (["score", "plain", "--ground-truth", "nowhere"], 2, ["nowhere", "does not exist"]),
    (["export-detections", "out", "--out", "fresh"], 1, ["crface cache"]),
    (["unknown-command"], 2, ["unknown-command"]),
    (["cache", "--protocol", "sideways"], 2, ["sideways", "single"]),
]


@pytest.mark.parametrize(("arguments", "status", "words"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_sentence_that_names_it_and_no_traceback(
    arguments: Sequence[str], status: int, words: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "x.jpg").write_bytes(b"no image at all")
    (tmp_path / "broken.toml").write_text("[train\n")
    (tmp_path / "typo.toml").write_text("[train]\nitertions = 3\n")
    (tmp_path / "range.toml").write_text("[train]\nnum_pairs = 0\n")
    (tmp_path / "a-file").write_text("")
    (tmp_path / "not-weights.pth").write_text("text")
    (tmp_path / "escape" / "WIDER_val" / "images").mkdir(parents=True)
    (tmp_path / "escape" / "wider_face_split").mkdir()
    (tmp_path / "escape" / "wider_face_split" / "wider_face_val_bbx_gt.txt").write_text(
        "../../secret.jpg\n1\n1 1 5 5 0 0 0 0 0 0\n"
    )
    ended = crface(*arguments, cwd=tmp_path)
    assert ended.status == status, ended.errors
    assert "Traceback" not in ended.errors
    for word in words:
        assert word in ended.errors


def test_a_stage_on_another_data_set_than_the_workspace_was_made_from_is_refused(
    demo: tuple[Path, Ended],
) -> None:
    folder, _ = demo
    (folder / "other").mkdir(exist_ok=True)
    ended = crface("evaluate", "--data", "other", "--out", "w", "--config", "small.toml", cwd=folder)
    assert ended.status == 1
    assert "was made from" in ended.errors


def test_a_data_set_that_moved_is_told_by_its_new_place_and_nothing_is_computed_again(
    demo: tuple[Path, Ended], tmp_path: Path
) -> None:
    folder, _ = demo
    shutil.copytree(folder / "w", tmp_path / "w")
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "w" / "data", moved)
    options = ("--out", "w", "--config", str(folder / "small.toml"))
    # its index still names the folder of the workspace that it was copied from
    index = tmp_path / "w" / "dataset" / "val.parquet"
    before = index.read_bytes()
    told = crface("evaluate", *options, "--data", "moved", cwd=tmp_path)
    assert (told.status, told.errors) == (0, "")
    assert "nothing to do" in told.output
    assert index.read_bytes() != before
    planned = crface("plan", *options, cwd=tmp_path)
    assert "nothing to do" in planned.output
    assert "images in" not in planned.output
    shutil.move(moved, tmp_path / "again")
    for command in ("plan", "evaluate", "rank"):
        lost = crface(command, *options, cwd=tmp_path)
        assert lost.status == 1
        assert f"the data set {moved}" in lost.errors
        assert "--data" in lost.errors


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    ended = crface("cache", "--data", "nowhere", "--debug", cwd=tmp_path)
    assert ended.status == 1
    assert "Traceback" in ended.errors


def test_second_command_on_a_workspace_in_use_is_told_who_holds_it(tmp_path: Path) -> None:
    from pipeline.workspace.layout import Workspace

    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "x.jpg").write_bytes(b"no image at all")
    with Workspace(tmp_path / "w").locked("crface train --out w"):
        ended = crface("cache", "--data", "plain", "--out", "w", cwd=tmp_path)
    assert ended.status == 1
    assert "crface train --out w" in ended.errors
    assert str(os.getpid()) in ended.errors
