"""What libjpeg and libpng write to the terminal is told with the name of the file, and nothing else is lost."""

import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from places import ROOT

from pipeline.images.complaints import with_complaints
from pipeline.images.decode import ImageError, decode_image, examined_image
from workflows.cli.main import cli

X = Path("x.jpg")


def jpeg(side: int = 96) -> bytes:
    ok, data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))
    assert ok
    return data.tobytes()


def damaged() -> bytes:
    data = jpeg()
    return data[:-2] + bytes(419) + data[-2:]


def png_with_a_bad_profile() -> bytes:
    ok, data = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))
    assert ok
    png = data.tobytes()
    body = b"iCCPx\0\0" + zlib.compress(b"no profile")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


def test_a_damaged_jpeg_that_decodes_is_known_by_the_decoders_words(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pixels, complaint = examined_image(damaged(), X)
    assert complaint.startswith("Corrupt JPEG data: ")
    assert complaint.endswith("extraneous bytes before marker 0xd9")
    assert (pixels == decode_image(jpeg(), X)).all()
    assert capfd.readouterr().err == ""


def test_a_sound_image_has_no_complaint(capfd: pytest.CaptureFixture[str]) -> None:
    assert examined_image(jpeg(), X)[1] == ""
    assert capfd.readouterr().err == ""


def test_libpngs_words_are_captured_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert examined_image(png_with_a_bad_profile(), X)[1].startswith("libpng warning: iCCP")
    assert capfd.readouterr().err == ""


def test_of_many_images_decoded_at_once_each_has_its_own_complaint(capfd: pytest.CaptureFixture[str]) -> None:
    kinds = [damaged() if number % 7 == 0 else jpeg() for number in range(150)]
    with ThreadPoolExecutor(6) as pool:
        complaints = list(pool.map(lambda data: examined_image(data, X)[1], kinds))
    assert [bool(complaint) for complaint in complaints] == [number % 7 == 0 for number in range(150)]
    assert capfd.readouterr().err == ""


def test_what_else_is_written_meanwhile_goes_on_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    def decode() -> str:
        os.write(2, b"a line of somebody else\nCorrupt JPEG data: 3 extraneous bytes\n")
        return "decoded"

    assert with_complaints(decode) == ("decoded", "Corrupt JPEG data: 3 extraneous bytes")
    assert capfd.readouterr().err == "a line of somebody else\n"


def test_an_error_comes_out_and_leaves_the_terminal_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError):
        decode_image(jpeg()[:300] + bytes(40), X)
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


def test_images_are_decoded_without_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(damaged())
    program = (
        "import os, sys; os.close(2); from pathlib import Path; from pipeline.images.decode import examined_image; "
        "path = Path(sys.argv[1]); print(examined_image(path.read_bytes(), path)[0].shape)"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", program, str(file)], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True
    )
    assert said == "(96, 96, 3)\n"


@pytest.mark.parametrize(
    "command",
    [
        ["detect", "in", "--out", "drawn"],
        ["dataset", "validate", "in"],
        ["dataset", "index", "--data", "in", "--out", "w"],
        ["dataset", "collect", "in", "--out", "collected"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_each_command_that_meets_the_damage_first_names_the_file(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sound.jpg").write_bytes(jpeg(64))
    (tmp_path / "in" / "torn.jpg").write_bytes(damaged())
    ended = CliRunner().invoke(cli, command)
    assert ended.exit_code == 0, ended.output
    (line,) = [line for line in ended.output.splitlines() if "Corrupt JPEG data" in line]
    assert "torn.jpg: Corrupt JPEG data" in line
    assert "sound.jpg" not in line
    assert capfd.readouterr().err == ""  # nothing beside what the command says
