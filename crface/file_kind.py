"""What a file is by its first bytes, whatever its name says: for messages about files of another kind than expected."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crface.text import cropped

_HEAD_BYTES: Final = 1024
_FETCH: Final = "download the file itself"

_STARTS: Final = {
    b"version https://git-lfs.github.com/spec/": (
        "a Git LFS pointer, which stands for the file",
        "run `git lfs pull` in its repository, or download the file itself",
    ),
    b"\x1f\x8b": ("a gzip archive", "unpack it and name the file inside"),
    b"BZh": ("a bzip2 archive", "unpack it and name the file inside"),
    b"\xfd7zXZ\x00": ("an xz archive", "unpack it and name the file inside"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard archive", "unpack it and name the file inside"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it and name the file inside"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it and name the file inside"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file, as Keras writes weights", "convert it where it was trained"),
    b"\x93NUMPY": ("a NumPy array", "convert it where it was trained"),
    b"\xff\xd8\xff": ("a JPEG image", "check the path"),
    b"\x89PNG\r\n\x1a\n": ("a PNG image", "check the path"),
    b"%PDF": ("a PDF document", _FETCH),
}
_IR_VERSION, _ONNX_FIELDS = 0x08, b"\x12\x1a\x22\x28\x32\x3a\x42"
_CHECKPOINT = "a PyTorch checkpoint"
_ONNX = "an ONNX file, which brings its own network"


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file, in words for a message."""

    name: str
    """The kind with its article, as in "it is ...": "a web page"."""
    remedy: str
    """The next step, as an imperative: "download the file itself"."""
    is_checkpoint: bool = False
    """Whether PyTorch wrote it, as a zip archive or as a pickle."""
    is_safetensors: bool = False
    """Whether it begins as a safetensors file does."""
    is_onnx: bool = False
    """Whether it begins as an ONNX model does."""


def file_kind(path: str | Path) -> FileKind | None:
    """The kind of an existing file; None if its first bytes do not tell.

    Raises OSError when the file cannot be read.
    """
    with Path(path).open("rb") as file:
        head = file.read(_HEAD_BYTES)
    kind = kind_of_bytes(head)
    if kind is not None or not head.startswith(b"PK"):
        return kind
    return _zip_kind(Path(path))


def kind_of_bytes(head: bytes) -> FileKind | None:
    """The kind of a file by its first kilobyte; None if that does not tell, as for a zip archive."""
    if not head:
        return FileKind("empty", "fetch it again")
    for start, (name, remedy) in _STARTS.items():
        if head.startswith(start):
            return FileKind(name, remedy)
    if head[257:262] == b"ustar":
        return FileKind("a tar archive", "unpack it and name the file inside")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"<!doctype html|<html|<head|<body", text) or b"<html" in text[:512]:
        return FileKind("a web page", f"{_FETCH}, not the page that links to it")
    if text.startswith((b"<?xml", b"<error")):
        return FileKind("an XML text, as servers answer with in place of a file", _FETCH)
    if re.match(rb'[{\[]\s*["\]}]', text):
        return FileKind("a JSON text, as servers answer with in place of a file", _FETCH)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return FileKind("a safetensors file", "give it the ending .safetensors", is_safetensors=True)
    if re.match(rb"\x80[\x02-\x05]", head):
        return FileKind(_CHECKPOINT, "give it the ending .pth", is_checkpoint=True)
    if len(head) > 2 and head[0] == _IR_VERSION and 0 < head[1] < 64 and head[2] in _ONNX_FIELDS:
        remedy = "use it as onnx@DESCRIPTOR.toml with a file that describes it"
        return FileKind(_ONNX, remedy, is_onnx=True)
    return None


def _zip_kind(path: Path) -> FileKind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return FileKind(_CHECKPOINT, "give it the ending .pth", is_checkpoint=True)
    found = ", ".join(map(cropped, names[:3])) + (", ..." if len(names) > 3 else "")
    return FileKind(f"a zip archive of {found or 'nothing'}", "unpack it and name the file inside")
