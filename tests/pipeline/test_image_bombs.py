"""Small files that would take much memory, and headers that lie, are refused or read as what they announce."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import update_index
from pipeline.images.decode import MAX_PIXELS, ImageError, decode_image, read_image
from pipeline.images.header import header_size
from pipeline.workspace.layout import Workspace
from workflows.cli.main import cli
from workflows.cli.options import max_pixels

HERE = Path("picture")
PICTURE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, packed: bytes, *more: bytes, depth: int = 8, color: int = 2) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _zeros(num_bytes: int) -> bytes:
    packer, block = zlib.compressobj(9), bytes(1_000_000)
    return b"".join(packer.compress(block) for _ in range(num_bytes // len(block))) + packer.flush()


def _encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, PICTURE[..., ::-1])[1].tobytes()


def _rows(picture: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in picture)


def test_sixty_thousand_pixels_square_in_fifty_kilobytes_are_never_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(60_000, 60_000, _zeros(50_000_000), depth=1, color=0))
    assert 45_000 < path.stat().st_size < 55_000
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="60000 x 60000 pixels are more than 200,000,000"):
        read_image(path)


def test_pixels_beyond_what_the_header_announces_are_not_unpacked() -> None:
    packed = zlib.compress(_rows(PICTURE)) + _zeros(300_000_000)
    assert np.array_equal(decode_image(_png(60, 40, packed), HERE), PICTURE)
    more = zlib.compress(_rows(PICTURE) + bytes(50_000_000))
    try:
        assert np.array_equal(decode_image(_png(60, 40, more), HERE), PICTURE)
    except ImageError as refusal:
        assert "damaged" in refusal.reason  # noqa: PT017 - either will do


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt", b"tEXt"])
def test_words_of_a_png_cost_nothing(kind: bytes) -> None:
    head = {b"iTXt": b"Comment\0\1\0\0\0", b"tEXt": b"Comment\0"}.get(kind, b"Comment\0\0")
    words = bytes(5_000_000) if kind == b"tEXt" else _zeros(300_000_000)
    data = _png(60, 40, zlib.compress(_rows(PICTURE)), _chunk(kind, head + words))
    assert np.array_equal(decode_image(data, HERE), PICTURE)


def test_an_exif_block_of_many_megabytes_is_passed_over() -> None:
    jpeg = _encoded(".jpg")
    exif = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    data = jpeg[:2] + exif * 100 + jpeg[2:]
    assert np.array_equal(decode_image(data, HERE), decode_image(jpeg, HERE))


def test_the_thumbnail_inside_does_not_pass_for_the_image(tmp_path: Path) -> None:
    jpeg, thumbnail = _encoded(".jpg"), cv2.imencode(".jpg", PICTURE[:8, :8])[1].tobytes()
    block = b"Exif\0\0" + thumbnail
    data = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]
    assert header_size(data, "JPEG") == (60, 40)
    assert decode_image(data, HERE).shape == (40, 60, 3)


def _jpeg_with_two_frames() -> bytes:
    jpeg = _encoded(".jpg")
    start = jpeg.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", jpeg, start + 2)
    large = bytearray(jpeg[start : start + 2 + length])
    large[5:9] = struct.pack(">HH", 60_000, 60_000)
    return jpeg[: start + 2 + length] + bytes(large) + jpeg[start + 2 + length :]


def _png_with_two_headers() -> bytes:
    second = _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return _png(60, 40, zlib.compress(_rows(PICTURE)), second)


def _webp_with_another_canvas() -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "words"
    Image.fromarray(PICTURE).save(file, "WebP", lossless=True, exif=exif)
    data = bytearray(file.getvalue())
    assert data[12:16] == b"VP8X"
    data[24:27] = (9).to_bytes(3, "little")
    return bytes(data)


def _bmp_without_pixels() -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 5000, 5000, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "lie", [_jpeg_with_two_frames, _png_with_two_headers, _webp_with_another_canvas, _bmp_without_pixels]
)
def test_a_file_that_says_two_things_is_refused(lie) -> None:
    with pytest.raises(ImageError, match=r"damaged|cut short"):
        decode_image(lie(), HERE)


def test_the_limit_is_a_key_of_the_configuration_and_is_minded_at_once(tmp_path: Path) -> None:
    assert CacheConfig().max_pixels == MAX_PIXELS  # so the fingerprints of older workspaces hold
    data, workspace = tmp_path / "data", Workspace(tmp_path / "run")
    data.mkdir()
    (data / "a.png").write_bytes(_encoded(".png"))
    (data / "b.png").write_bytes(cv2.imencode(".png", PICTURE[:10])[1].tobytes())
    low = CacheConfig(max_megapixels=0.001).max_pixels
    assert update_index(workspace, data, "images").index.ok_rows == (0, 1)
    refused = update_index(workspace, data, "images", max_pixels=low)
    assert refused.index.ok_rows == (1,)
    assert refused.unreadable == [("a.png", "its 60 x 40 pixels are more than 1,000")]
    assert update_index(workspace, data, "images").index.ok_rows == (0, 1)


def test_an_image_that_was_indexed_with_a_higher_limit_is_read_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(_encoded(".png"))
    index = update_index(Workspace(tmp_path / "run"), tmp_path, "images").index
    monkeypatch.setattr("pipeline.dataset.index.MAX_PIXELS", 100)
    assert np.array_equal(index.read_image(0), PICTURE)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with one picture of 60 x 40 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(_encoded(".png"))
    return folder


COMMANDS = {
    "validate": ["dataset", "validate", "photos"],
    "collect": ["dataset", "collect", "photos", "--out", "mine"],
    "doctor": ["doctor", "--data", "photos", "--out", "run"],
    "detect": ["detect", "photos/a.png"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_that_read_images_themselves_take_the_limit_as_an_option(
    command: list[str], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)

    def run(megapixels: str) -> Result:
        return CliRunner().invoke(cli, [*command, "--max-megapixels", megapixels])

    assert run("0.0024").exit_code == 0
    refused = run("0.0023")  # also by what knows the image from the run before
    assert refused.exit_code == 1
    assert "its 60 x 40 pixels are more than 2,300" in " ".join(refused.output.split())
    assert run("0").exit_code == run("1001").exit_code == 2


def test_the_doctors_limit_is_else_that_of_the_configuration(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("low.toml").write_text("[cache]\nmax_megapixels = 0.001\n")
    command = [*COMMANDS["doctor"], "--config", "low.toml"]
    assert "more than 1,000" in " ".join(CliRunner().invoke(cli, command).output.split())
    assert CliRunner().invoke(cli, [*command, "--max-megapixels", "1"]).exit_code == 0


def test_without_an_option_every_command_has_the_configurations_default() -> None:
    assert max_pixels(None) == CacheConfig().max_pixels == MAX_PIXELS
