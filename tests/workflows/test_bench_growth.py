"""`crface bench growth`: every command runs on every size, and how it grows follows from its times."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.growth import AXES, COMMANDS, LIMITS_S, Grown, Growth, as_lines, as_svg, sizes_along
from pipeline.bench.made_up_data import MadeUp, StandIn, write_made_up
from pipeline.bench.pairs import Times
from pipeline.dataset.annotations import parse_annotations
from workflows.cli.main import main


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
                *["bench", "growth", "--axis", "faces", "--largest", "1", "--images", "2"],
                *["--json", str(file), "--svg", str(picture)],
            ]
        )
    assert ended.value.code == 0
    (growth,) = json.loads(file.read_text())["growth"]
    (one,) = growth["grown"]
    assert one["size"] == {"images": 2, "candidates": 100, "faces": 1, "side_px": 1024}
    assert list(one["commands"]) == list(COMMANDS)
    assert all(times["cpu_seconds"][0] > 0 for times in one["commands"].values())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert b"<svg" in picture.read_bytes()


def test_the_power_is_that_of_a_commands_own_part() -> None:
    assert _growth("images", {100: 3.0, 200: 4.0, 400: 6.0}).exponent("cache") == pytest.approx(1)
    squared = _growth("images", {0: 3.0, 10: 4.0, 40: 19.0})
    assert squared.exponent("cache") == pytest.approx(2)
    assert (
        _growth("images", {100: 3.0, 200: 4.0}).exponent("cache") is None
    )  # a line through two points tells nothing


def test_the_tables_fit_a_terminal_and_the_limits_are_of_commands() -> None:
    growths = [_growth(axis, dict.fromkeys(values, 12_345.0)) for axis, values in AXES.items()]
    assert max(map(len, as_lines(growths))) <= 80
    assert as_svg(growths) == as_svg(growths)
    assert set(LIMITS_S) <= set(COMMANDS)


def test_a_made_up_data_set_has_what_it_is_asked_for(tmp_path: Path) -> None:
    spec = write_made_up(tmp_path, MadeUp(images=3, candidates=7, faces=5, side_px=64))
    files = sorted(tmp_path.rglob("*.png"))
    assert len({file.read_bytes() for file in files}) == 3
    text = tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    assert [len(image.faces) for image in parse_annotations(text.read_bytes(), text)] == [5, 5, 5]
    assert Path(spec.partition("@")[2]).read_text() == "7"
    (found,) = StandIn(7).candidates([np.zeros((48, 64, 3), np.uint8)])
    assert found.shape == (7, 5)
    assert (np.diff(found[:, 4]) < 0).all()
    assert (found[:, :4] >= 0).all()
    assert (found[:, :4] <= [64, 48, 64, 48]).all()


def test_a_crowd_covers_the_picture_no_more_than_a_few_faces_do(tmp_path: Path) -> None:
    covered = []
    for size in sizes_along("faces", (50, 1000), num_images=1):
        assert size.candidates >= 2 * size.faces
        write_made_up(tmp_path / str(size.faces), size)
        text = tmp_path / str(size.faces) / "wider_face_split" / "wider_face_val_bbx_gt.txt"
        (image,) = parse_annotations(text.read_bytes(), text)
        covered.append(np.prod(image.faces[:, 2:] - image.faces[:, :2], axis=1).sum())
    assert covered[1] == pytest.approx(covered[0], rel=0.3)
