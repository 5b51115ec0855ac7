"""Reading images: what comes out of every kind of file, and that a damaged one is an error with a reason."""

import io
import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.errors import UserError
from pipeline.images.decode import MAX_SIDE, ImageError, decode_image, read_image
from pipeline.images.header import header_size, image_format, jpeg_damage

HERE = Path("picture.jpg")


def announced_size(path: Path) -> tuple[int, int] | None:
    """Width and height that a file's header tells, without decoding it."""
    data = path.read_bytes()
    kind = image_format(data)
    assert kind is not None
    return header_size(data, kind)


def _picture(height: int = 40, width: int = 60) -> np.ndarray:
    """RGB: red grows to the right, green grows downwards, blue is 30."""
    columns, rows = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.dstack([columns, rows, np.full_like(rows, 30)]).astype(np.uint8)


def _encode(suffix: str, rgb: np.ndarray, *options: int) -> bytes:
    ok, data = cv2.imencode(suffix, rgb[..., ::-1] if rgb.ndim == 3 else rgb, list(options))
    assert ok
    return data.tobytes()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode with Pillow, which writes kinds of files that OpenCV does not."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


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


def test_grey_with_transparency_becomes_three_equal_channels():
    grey = _picture()[..., 0]
    data = _saved(Image.merge("LA", [Image.fromarray(grey), Image.new("L", (60, 40))]), "PNG")
    np.testing.assert_array_equal(decode_image(data, HERE), np.dstack([grey] * 3))


def test_a_grey_jpeg_becomes_three_equal_channels():
    grey = _picture()[..., 0]
    image = decode_image(_encode(".jpg", grey), HERE)
    assert (image == image[..., :1]).all()
    assert np.abs(image[..., 0].astype(int) - grey).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
@pytest.mark.parametrize("colors", [2, 16, 200])
def test_a_palette_becomes_its_colours(kind: str, colors: int):
    reduced = Image.fromarray(_picture()).convert("P", palette=Image.Palette.ADAPTIVE, colors=colors)
    np.testing.assert_array_equal(
        decode_image(_saved(reduced, kind), HERE), np.asarray(reduced.convert("RGB"))
    )


def test_a_transparent_palette_entry_shows_its_colour():
    reduced = Image.fromarray(_picture()).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    data = _saved(reduced, "PNG", transparency=0)
    np.testing.assert_array_equal(decode_image(data, HERE), np.asarray(reduced.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_one_bit_becomes_black_and_white(kind: str):
    checks = Image.fromarray(np.indices((5, 9)).sum(axis=0) % 2 == 0)
    np.testing.assert_array_equal(decode_image(_saved(checks, kind), HERE), np.asarray(checks.convert("RGB")))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_high_byte_in_grey_and_in_colour(channels: int):
    values = np.array([[0, 128, 255, 256, 383, 384, 65535, 0x12FF]], dtype=np.uint16)
    ok, data = cv2.imencode(".png", np.dstack([values] * channels))
    assert ok
    expected = np.dstack([[[0, 0, 0, 1, 1, 1, 255, 0x12]]] * 3)
    np.testing.assert_array_equal(decode_image(data.tobytes(), HERE), expected)


@pytest.mark.parametrize("kind", ["PNG", "WebP", "BMP"])
@pytest.mark.parametrize("alpha", [0, 128])
def test_transparency_is_dropped_and_the_stored_colour_shows(kind: str, alpha: int):
    transparent = np.dstack([_picture(), np.full((40, 60), alpha, np.uint8)])
    options = {"lossless": True, "exact": True} if kind == "WebP" else {}
    data = _saved(Image.fromarray(transparent), kind, **options)
    np.testing.assert_array_equal(decode_image(data, HERE), _picture())


@pytest.mark.parametrize("black", [0, 100, 255])
def test_a_cmyk_jpeg_becomes_rgb_by_the_plain_formula(black: int):
    inks = np.dstack([_picture(), np.full((40, 60), black, np.uint8)])
    data = _saved(Image.frombytes("CMYK", (60, 40), inks.tobytes()), "JPEG", quality=98)
    assert b"Adobe" in data
    cyan_magenta_yellow = inks[..., :3].astype(float)
    expected = (255 - cyan_magenta_yellow) * (255 - black) / 255
    assert np.abs(decode_image(data, HERE) - expected).mean() < 2


def test_an_ink_or_colour_profile_and_a_gamma_change_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    image = Image.fromarray(_picture())
    np.testing.assert_array_equal(decode_image(_saved(image, "PNG", icc_profile=profile), HERE), _picture())
    png = _encode(".png", _picture())
    gamma = b"gAMA" + struct.pack(">I", 100_000)
    with_gamma = png[:33] + struct.pack(">I", 4) + gamma + struct.pack(">I", zlib.crc32(gamma)) + png[33:]
    np.testing.assert_array_equal(decode_image(with_gamma, HERE), _picture())


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_an_animation_gives_its_first_frame(kind: str):
    later = Image.new("RGB", (60, 40), (255, 0, 0))
    data = _saved(Image.fromarray(_picture()), kind, save_all=True, append_images=[later], lossless=True)
    np.testing.assert_array_equal(decode_image(data, HERE), _picture())


@pytest.mark.parametrize(
    ("kind", "name"),
    [("TIFF", "TIFF"), ("GIF", "GIF"), ("JPEG2000", "JPEG 2000"), ("AVIF", "AVIF"), ("BigTIFF", "TIFF")],
)
def test_a_format_that_is_not_read_is_refused_by_its_name(tmp_path: Path, kind: str, name: str):
    options = {"big_tiff": True} if kind == "BigTIFF" else {}
    path = tmp_path / "a.jpg"
    path.write_bytes(_saved(Image.fromarray(_picture()), kind.removeprefix("Big"), **options))
    assert _reason(path) == f"it is a {name} image, which is not read here: convert it to PNG or JPEG"


def test_the_photographs_of_a_telephone_are_refused_by_their_name():
    with pytest.raises(ImageError, match="it is a HEIC image"):
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", HERE)


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
    assert announced_size(path) == (60, 40)


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_in_a_png_or_webp_turns_nothing_either(kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _saved(Image.fromarray(_picture()), kind, exif=exif, lossless=True)
    np.testing.assert_array_equal(decode_image(data, HERE), _picture())
    assert header_size(data, kind) == (60, 40)


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
def test_the_size_in_the_header_agrees_with_decoding(
    tmp_path: Path, suffix: str, options: tuple[int, ...], width: int, height: int
):
    path = tmp_path / "a"
    path.write_bytes(_encode(suffix, _picture(height, width), *options))
    assert announced_size(path) == (width, height)
    assert read_image(path).shape == (height, width, 3)


@pytest.mark.parametrize(
    ("suffix", "length"), [(".jpg", 65_500), (".png", 200_000), (".bmp", 200_000), (".webp", 16_383)]
)
@pytest.mark.parametrize("is_wide", [True, False])
def test_an_image_one_pixel_thin_is_read_at_any_length(
    tmp_path: Path, suffix: str, length: int, is_wide: bool
):
    shape = (1, length) if is_wide else (length, 1)
    path = tmp_path / "a"
    path.write_bytes(_encode(suffix, np.full((*shape, 3), 77, np.uint8)))
    assert announced_size(path) == shape[::-1]
    image = read_image(path)
    assert image.shape == (*shape, 3)
    assert np.abs(image.astype(int) - 77).max() <= 1


def test_an_image_longer_than_any_decoder_takes_is_refused_by_its_header(tmp_path: Path):
    path = tmp_path / "thread.png"
    path.write_bytes(_png_announcing(MAX_SIDE + 1, 1))
    assert _reason(path) == "a side of its 1000001 x 1 pixels is longer than 1,000,000"


def test_the_header_of_a_webp_with_transparency_tells_its_size():
    ok, data = cv2.imencode(".webp", np.full((7, 11, 4), 99, np.uint8))
    assert ok
    assert header_size(data.tobytes(), "WebP") == (11, 7)


def test_the_size_of_a_jpeg_is_found_behind_a_long_colour_profile(tmp_path: Path):
    segment = b"\xff\xe2" + struct.pack(">H", 65_535) + bytes(65_533)
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG[:2] + segment * 3 + JPEG[2:])
    assert announced_size(path) == (60, 40)


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
    assert announced_size(path) == (100_000, 100_000)


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


def test_what_is_no_image_is_told_apart(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("404 Not Found")
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
            read_image(tmp_path / name)
        assert reason in caught.value.reason


def test_a_file_that_stands_for_an_image_is_named_for_what_it_is(tmp_path: Path):
    path = tmp_path / "photo.jpg"
    for content, kind in {
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n": "a Git LFS pointer",
        b"<html>404 Not Found</html>": "a web page",
        b"%PDF-1.7": "a PDF document",
    }.items():
        path.write_bytes(content)
        with pytest.raises(ImageError, match=f"it is no JPEG, PNG, WebP or BMP image but {kind}.*: "):
            read_image(path)


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
        assert announced_size(path) == (width, height)
