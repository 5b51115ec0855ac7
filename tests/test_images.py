"""Reading images: what comes out of every kind of file, and that a damaged one is an error with a reason."""

import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.image_header import header_size, image_format, jpeg_damage
from pipeline.images import ImageError, decode_image, image_size, read_image

HERE = Path("picture.jpg")


def _picture(height: int = 40, width: int = 60) -> np.ndarray:
    """RGB: red grows to the right, green grows downwards, blue is 30."""
    columns, rows = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.dstack([columns, rows, np.full_like(rows, 30)]).astype(np.uint8)


def _encode(suffix: str, rgb: np.ndarray, *options: int) -> bytes:
    ok, data = cv2.imencode(suffix, rgb[..., ::-1] if rgb.ndim == 3 else rgb, list(options))
    assert ok
    return data.tobytes()


def _png_announcing(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


JPEG = _encode(".jpg", _picture())
PROGRESSIVE = _encode(".jpg", _picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = _encode(".jpg", _picture(), cv2.IMWRITE_JPEG_RST_INTERVAL, 1)


def _reason(path: Path, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    assert isinstance(caught.value, UserError)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_images_come_back_exactly_in_rgb_order(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(_encode(suffix, _picture()))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, _picture())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_images_come_back_closely_in_rgb_order(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(_encode(suffix, _picture()))
    assert np.abs(read_image(path).astype(int) - _picture()).mean() < 4  # swapped channels differ by 80


def test_the_format_is_told_by_the_bytes_and_not_by_the_name(tmp_path: Path):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(_encode(".png", _picture()))
    np.testing.assert_array_equal(read_image(path), _picture())


def test_grey_becomes_three_equal_channels():
    grey = _picture()[..., 0]
    np.testing.assert_array_equal(decode_image(_encode(".png", grey), HERE), np.dstack([grey] * 3))


def test_sixteen_bits_keep_their_high_byte():
    deep = np.array([[0, 255, 256, 65535, 0x1234]], dtype=np.uint16)
    np.testing.assert_array_equal(decode_image(_encode(".png", deep), HERE)[0, :, 0], [0, 0, 1, 255, 0x12])


def test_transparency_is_dropped_and_the_colour_below_it_stays():
    transparent = np.dstack([_picture()[..., ::-1], np.zeros((40, 60), np.uint8)])
    ok, data = cv2.imencode(".png", transparent)
    assert ok
    np.testing.assert_array_equal(decode_image(data.tobytes(), HERE), _picture())


def _with_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_come_as_stored_whatever_the_exif_orientation_says(tmp_path: Path, orientation: int):
    turned = _with_orientation(JPEG, orientation)
    if orientation > 1:  # the tag is a real one: OpenCV turns the picture if it is let
        seen = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
        assert not np.array_equal(seen, decode_image(JPEG, HERE)[..., ::-1])
    np.testing.assert_array_equal(decode_image(turned, HERE), decode_image(JPEG, HERE))
    path = tmp_path / "a.jpg"
    path.write_bytes(turned)
    assert image_size(path) == (60, 40)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", ()),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".png", ()),
        (".bmp", ()),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),  # lossless: another header
    ],
)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (37, 5), (1, 300)])
def test_image_size_agrees_with_decoding(
    tmp_path: Path, suffix: str, options: tuple[int, ...], width: int, height: int
):
    path = tmp_path / "a"
    path.write_bytes(_encode(suffix, _picture(height, width), *options))
    assert image_size(path) == (width, height)
    assert read_image(path).shape == (height, width, 3)


def test_image_size_of_a_webp_with_transparency():
    ok, data = cv2.imencode(".webp", np.full((7, 11, 4), 99, np.uint8))
    assert ok
    assert header_size(data.tobytes(), "WebP") == (11, 7)


def test_image_size_finds_a_header_behind_a_long_colour_profile(tmp_path: Path):
    segment = b"\xff\xe2" + struct.pack(">H", 65_535) + bytes(65_533)
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG[:2] + segment * 3 + JPEG[2:])
    assert image_size(path) == (60, 40)


@pytest.mark.parametrize("jpeg", [JPEG, PROGRESSIVE, RESTARTS], ids=["baseline", "progressive", "restarts"])
def test_a_jpeg_cut_anywhere_is_an_error(jpeg: bytes):
    for length in range(1, len(jpeg)):
        with pytest.raises(ImageError):
            decode_image(jpeg[:length], HERE)


@pytest.mark.parametrize("jpeg", [JPEG, PROGRESSIVE, RESTARTS], ids=["baseline", "progressive", "restarts"])
def test_a_jpeg_whose_tail_was_never_written_is_an_error(jpeg: bytes):
    for length in range(1, len(jpeg) - 1):
        with pytest.raises(ImageError):
            decode_image(jpeg[:length] + bytes(len(jpeg) - length), HERE)


def test_a_cut_jpeg_that_opencv_would_fill_with_grey_is_an_error():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    cut = _encode(".jpg", noise)[:-6] + bytes(6)
    assert cv2.imdecode(np.frombuffer(cut, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(ImageError, match="cut short: the end-of-image marker is missing"):
        decode_image(cut, HERE)


def test_the_end_marker_of_an_embedded_thumbnail_is_not_the_end_of_the_image():
    with_thumbnail = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(JPEG) + 2) + JPEG + JPEG[2:]
    assert jpeg_damage(with_thumbnail) == ""
    assert jpeg_damage(with_thumbnail[:-2]) != ""


@pytest.mark.parametrize("jpeg", [JPEG, PROGRESSIVE, RESTARTS], ids=["baseline", "progressive", "restarts"])
def test_bytes_after_the_end_of_a_jpeg_do_no_harm(jpeg: bytes):
    np.testing.assert_array_equal(decode_image(jpeg + b"\0trailing\xff\xc0", HERE), decode_image(jpeg, HERE))


def test_a_marker_in_the_middle_of_the_image_data_is_damage():
    large = _encode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    middle = len(large) - 1000
    with pytest.raises(ImageError, match="damaged: marker FFC0 in the middle"):
        decode_image(large[:middle] + b"\xff\xc0" + large[middle + 2 :], HERE)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_other_formats_cut_short_are_errors_too(suffix: str):
    data = _encode(suffix, _picture())
    for length in range(1, len(data) - 12, 7):  # the last 12 bytes of a PNG hold no pixels
        with pytest.raises(ImageError):
            decode_image(data[:length], HERE)


def test_every_flipped_byte_of_png_pixels_is_noticed():
    data = _encode(".png", _picture())
    start = data.index(b"IDAT") + 4
    for position in range(start, len(data) - 12, 5):
        damaged = data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1 :]
        with pytest.raises(ImageError):
            decode_image(damaged, HERE)


@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", JPEG[:2], JPEG[:300], JPEG[:-30], b"BM", b"RIFF"]),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_an_image_or_an_image_error(data: bytes, start: bytes):
    try:
        image = decode_image(start + data, HERE, max_pixels=1_000_000)
    except ImageError:
        return  # any other exception fails the test
    assert image.shape[2] == 3


def test_an_image_above_the_limit_is_refused_by_its_header(tmp_path: Path):
    path = tmp_path / "bomb.png"
    path.write_bytes(_png_announcing(100_000, 100_000))  # 30 GB of pixels, none of them there
    assert "100000 x 100000 pixels are more than 200,000,000" in _reason(path)
    assert image_size(path) == (100_000, 100_000)


def test_the_limit_itself_is_still_read(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(_encode(".png", _picture()))
    assert read_image(path, max_pixels=60 * 40).shape == (40, 60, 3)
    assert "more than 2,399" in _reason(path, max_pixels=60 * 40 - 1)


def test_a_file_larger_than_any_image_is_not_even_read(tmp_path: Path):
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)  # sparse
    assert "10,000,000,000 bytes are more than" in _reason(path)


@pytest.mark.parametrize("read", [read_image, image_size])
def test_what_is_no_image_is_told_apart(tmp_path: Path, read):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("<html>404 Not Found</html>")
    (tmp_path / "head.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, reason in {
        "absent.jpg": "there is no such file",
        "absent/a.jpg": "there is no such file",
        "empty.jpg": "the file is empty",
        "text.jpg": "it is no JPEG, PNG, WebP or BMP image",
        "head.png": "PNG header does not tell its size",
        ".": "it is no file",
    }.items():
        with pytest.raises(ImageError) as caught:
            read(tmp_path / name)
        assert reason in caught.value.reason


def test_an_image_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(ImageError(Path("a/b.jpg"), "the file is empty")))
    assert (str(error), error.path, error.reason) == (
        "cannot read the image a/b.jpg: the file is empty",
        Path("a/b.jpg"),
        "the file is empty",
    )


def test_an_unknown_format_has_no_name():
    assert image_format(b"GIF89a......") is None
    assert image_format(b"") is None


def test_every_real_photograph_is_read_and_its_header_agrees(shared: Path):
    paths = [
        *sorted((shared / "real" / "wider_original").rglob("*.jpg")),
        *(shared / "real" / "large").glob("*"),
    ]
    assert len(paths) == 26
    for path in paths:
        height, width, _ = read_image(path).shape
        assert image_size(path) == (width, height)
