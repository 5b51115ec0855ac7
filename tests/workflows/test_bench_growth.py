"""`crface bench growth`: every command runs on every size, and how it grows follows from its times."""

import json
from pathlib import Path

import numpy as np
import pytest

import detectors
from pipeline.bench.growth import AXES, COMMANDS, LIMITS_S, Grown, Growth, as_lines, as_svg, sizes_along
from pipeline.bench.made_up_data import MadeUp, StandIn, write_made_up
from pipeline.bench.pairs import Times
from pipeline.dataset.annotations import parse_annotations
from workflows.cli.main import main
from workflows.commands.bench_growth import arguments_of


def _growth(axis: str, seconds: dict[int, float]) -> Growth:
    sizes = sizes_along(axis, list(seconds), num_images=8)
    return Growth(
        axis=axis,
        grown=tuple(
            Grown(size=size, commands=dict.fromkeys(COMMANDS, Times(seconds=(9.0,), cpu_seconds=(own,))))
            for size, own in zip(sizes, seconds.values(), strict=True)
        ),
    )


def test_every_command_is_measured_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "growth.json", tmp_path / "growth.svg"
    with pytest.raises(SystemExit) as ended:
        main(
            [
                *["bench", "growth", "--axis", "workers", "--largest", "1", "--images", "2"],
                *["--json", str(file), "--svg", str(picture)],
            ]
        )
    assert ended.value.code == 0
    (growth,) = json.loads(file.read_text())["growth"]
    (one,) = growth["grown"]
    data = {"images": 2, "candidates": 100, "faces": 3, "side_px": 64, "detectors": 1}
    assert one["size"] == {"data": data, "workers": 1}
    assert list(one["commands"]) == list(COMMANDS)
    assert all(times["cpu_seconds"][0] > 0 for times in one["commands"].values())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert b"<svg" in picture.read_bytes()


def test_every_detector_is_given_to_every_command_but_the_index_and_workers_to_those_that_have_any() -> None:
    arguments = arguments_of(Path("here"), ["one@1", "two@2"], workers=3)
    assert list(arguments) == list(COMMANDS)
    named = {command for command, words in arguments.items() if "one@1" in words and "two@2" in words}
    assert named == set(COMMANDS) - {"index"}
    assert {command for command, words in arguments.items() if "local:3" in words} == {"cache", "evaluate"}


def test_only_what_grows_is_larger() -> None:
    for axis, values in AXES.items():
        sizes = sizes_along(axis, values, num_images=8)
        assert [size.along(axis) for size in sizes] == list(values)
        others = set(AXES) - {axis, *(("candidates",) if axis == "faces" else ())}
        assert all(len({size.along(other) for size in sizes}) == 1 for other in others)


def test_the_power_is_that_of_a_commands_own_part() -> None:
    assert _growth("images", {100: 3.0, 200: 4.0, 400: 6.0}).exponent("cache") == pytest.approx(1)
    squared = _growth("images", {0: 3.0, 10: 4.0, 40: 19.0})
    assert squared.exponent("cache") == pytest.approx(2)
    assert (
        _growth("images", {100: 3.0, 200: 4.0}).exponent("cache") is None
    )  # a line through two points tells nothing


def test_what_differs_by_no_more_than_noise_has_no_power() -> None:
    assert _growth("images", {100: 3.0, 200: 3.01, 400: 3.1}).exponent("plan") == 0
    assert _growth("images", {0: 3.0, 10: 2.9, 40: 7.8}).exponent("plan") == pytest.approx(2)


def test_the_tables_fit_a_terminal_and_the_limits_are_of_commands() -> None:
    growths = [_growth(axis, dict.fromkeys(values, 12_345.0)) for axis, values in AXES.items()]
    assert max(map(len, as_lines(growths))) <= 80
    assert as_svg(growths) == as_svg(growths)
    assert set(LIMITS_S) <= set(COMMANDS)


def test_a_made_up_data_set_has_what_it_is_asked_for(tmp_path: Path) -> None:
    (spec,) = write_made_up(tmp_path, MadeUp(images=3, candidates=7, faces=5, side_px=64))
    files = sorted(tmp_path.rglob("*.png"))
    assert len({file.read_bytes() for file in files}) == 3
    text = tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    assert [len(image.faces) for image in parse_annotations(text.read_bytes(), text)] == [5, 5, 5]
    assert len(detectors.create(spec).candidates([np.zeros((48, 64, 3), np.uint8)])[0]) == 7
    (found,) = StandIn(7).candidates([np.zeros((48, 64, 3), np.uint8)])
    assert found.shape == (7, 5)
    assert (np.diff(found[:, 4]) < 0).all()
    assert (found[:, :4] >= 0).all()
    assert (found[:, :4] <= [64, 48, 64, 48]).all()


def test_stand_ins_are_filed_apart_and_prefer_boxes_of_their_own(tmp_path: Path) -> None:
    specs = write_made_up(tmp_path, MadeUp(images=1, candidates=9, faces=1, side_px=64, detectors=3))
    assert len({detectors.identify(spec)["detector"] for spec in specs}) == 3
    picture = np.zeros((48, 64, 3), np.uint8)
    found = [detectors.create(spec).candidates([picture])[0] for spec in specs]
    assert len({boxes[0].tobytes() for boxes in found}) == 3
    assert len({tuple(sorted(map(tuple, boxes[:, :4].tolist()))) for boxes in found}) == 1


def test_a_crowd_covers_the_picture_no_more_than_a_few_faces_do(tmp_path: Path) -> None:
    covered = []
    for size in sizes_along("faces", (50, 1000), num_images=1):
        faces = size.data.faces
        assert size.data.candidates >= 2 * faces
        write_made_up(tmp_path / str(faces), size.data)
        text = tmp_path / str(faces) / "wider_face_split" / "wider_face_val_bbx_gt.txt"
        (image,) = parse_annotations(text.read_bytes(), text)
        covered.append(np.prod(image.faces[:, 2:] - image.faces[:, :2], axis=1).sum())
    assert covered[1] == pytest.approx(covered[0], rel=0.3)
