"""Places for a workspace's files: a folder on this machine, or a URL that fsspec supports (`s3://bucket/run`).

A folder is a `pathlib.Path`. A URL is a `UrlPath`, which has those of `Path`'s methods that the pipeline uses, so
that the rest of the code need not know which of the two it has. An object store does not need what is missing
(rename, lock, fsync): an object is there whole or not at all.

Credentials come from the environment (`AWS_ACCESS_KEY_ID`, `~/.aws`, fsspec's configuration). A `UrlPath` neither
holds nor pickles any, and its errors quote nothing that could contain them.
"""

import errno
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec

from pipeline.errors import UsageError

_OF_THIS_MACHINE = ("file", "local")


@dataclass(frozen=True, slots=True)
class UrlStatus:
    """The `stat` of an object, under the names of `os.stat_result`."""

    st_size: int
    st_mtime: float
    """The time of the last change by the store's clock, in seconds; 0 if the store does not tell."""


@dataclass(frozen=True, slots=True, order=True)
class UrlPath:
    """A place below a URL, in the manner of `pathlib.Path`; every method that asks the store may raise OSError."""

    url: str
    """The address, `scheme://...`, without a trailing slash and without credentials."""

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str | PurePath) -> "UrlPath":
        tail = name.as_posix() if isinstance(name, PurePath) else name
        return UrlPath(f"{self.url}/{tail}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of the last part, with its dot; empty if there is none."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "UrlPath":
        """The place above; the place itself at the top."""
        above = self.url.rpartition("/")[0]
        return self if above.endswith(":/") else UrlPath(above)

    @property
    def parents(self) -> Sequence["UrlPath"]:
        """The places above, nearest first."""
        found: list[UrlPath] = []
        place = self
        while (above := place.parent) != place:
            found.append(above)
            place = above
        return found

    def relative_to(self, other: "UrlPath") -> PurePosixPath:
        """The path relative to a place above; ValueError if `other` is not above."""
        return PurePosixPath(self.url).relative_to(other.url)

    def absolute(self) -> "UrlPath":
        """The place itself."""
        return self

    def exists(self) -> bool:
        """Whether there is an object here, or any below."""
        with self._telling():
            return bool(self._store.exists(self.url))

    def is_file(self) -> bool:
        """Whether there is an object here."""
        with self._telling():
            return bool(self._store.isfile(self.url))

    def stat(self) -> UrlStatus:
        """The object's size and time of change; FileNotFoundError if there is none."""
        with self._telling():
            return _status(self._store.info(self.url))

    def open(self, mode: str = "rb") -> io.BufferedIOBase:
        """The object opened for reading; only the parts that are read are fetched."""
        if mode != "rb":
            raise ValueError(f"{self.url} opens for reading only, not as {mode!r}: write it as a whole")
        with self._telling():
            file: io.BufferedIOBase = self._store.open(self.url, "rb")
            return file

    def read_bytes(self) -> bytes:
        """The object's bytes."""
        with self._telling():
            return bytes(self._store.cat_file(self.url))

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object as text, with its line endings unchanged."""
        return self.read_bytes().decode(encoding)

    def write(self, data: bytes) -> None:
        """Store an object in one request: readers see all of it, or what was there before."""
        with self._telling():
            self._store.pipe_file(self.url, data)

    def create(self, data: bytes) -> None:
        """Store a new object; FileExistsError if there is one already. The store decides who comes first."""
        with self._telling():
            self._store.pipe_file(self.url, data, mode="create")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        try:
            with self._telling():
                if not missing_ok or self._store.exists(self.url):
                    self._store.rm_file(self.url)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def below(self) -> dict[str, int]:
        """The sizes of all objects below, by their relative paths; one request per thousand objects."""
        with self._telling():
            found = self._store.find(self.url, detail=True)
            start = len(self._store._strip_protocol(self.url)) + 1
            return {name[start:]: int(info["size"]) for name, info in found.items()}

    @property
    def _store(self) -> Any:
        # another request is better than a listing that another process has made stale
        return fsspec.filesystem(urlsplit(self.url).scheme, use_listings_cache=False)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url) from None
        except FileExistsError:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.url) from None
        except PermissionError:
            why = "the store refuses access: look at the credentials of this environment"
            raise PermissionError(errno.EACCES, why, self.url) from None
        except Exception as error:
            # the message may quote an address with a password, so only the type is named, without `from error`
            why = f"the store does not answer as it should ({type(error).__name__})"
            raise OSError(errno.EIO, why, self.url) from None


Place = Path | UrlPath
"""A file or folder of a workspace."""


def parse_place(text: str) -> Place:
    """The place a user means: the path of a folder, or a URL that fsspec supports.

    Raises UsageError for a URL that contains credentials (which are not repeated), is of an unknown scheme, or
    needs a package that is not installed.
    """
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"the {parts.scheme}:// address has a user, a password or a query in it, which logs would repeat: leave "
            "them out, and pass credentials in the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, ...)"
        )
    if parts.scheme in _OF_THIS_MACHINE:
        return Path(parts.netloc + parts.path)
    if "::" in text or ".." in parts.path.split("/") or not parts.netloc:
        raise UsageError(f"the address {text!r} is not of the form scheme://bucket/folder")
    try:
        fsspec.get_filesystem_class(parts.scheme)
    except ValueError:
        raise UsageError(
            f"there is no store {parts.scheme}://: give a folder, s3://bucket/folder, or another URL fsspec supports"
        ) from None
    except ImportError as error:
        advice = "pip install 'crface[s3]'" if parts.scheme in ("s3", "s3a") else str(error)
        raise UsageError(f"{parts.scheme}:// needs a package that is not installed: {advice}") from None
    return UrlPath(text.rstrip("/"))


def listed(folder: Place, pattern: str) -> list[Place]:
    """The files in a folder that match `pattern` (with slashes, in folders below), sorted; none without the folder."""
    if isinstance(folder, Path):
        return sorted(folder.glob(pattern))
    depth = pattern.count("/")
    names = (name for name in folder.below() if name.count("/") == depth)
    return [folder / name for name in sorted(names) if PurePosixPath(name).match(pattern)]


def ways_down(place: Place, depth: int) -> list[PurePosixPath]:
    """The relative paths of the folders `depth` levels below, sorted; an object store has no empty ones."""
    if isinstance(place, Path):
        found = [path for path in place.glob("/".join("*" * depth)) if path.is_dir()]
        return sorted(PurePosixPath(path.relative_to(place)) for path in found)
    ways = {tuple(name.split("/")[:depth]) for name in place.below() if name.count("/") >= depth}
    return [PurePosixPath(*way) for way in sorted(ways)]


def remove_leftovers(folder: Place, pattern: str) -> None:
    """Remove the half-written files of killed writers; an object store has none."""
    if isinstance(folder, Path):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """A file on this machine with the place's content, for libraries that need one.

    Raises OSError when the content cannot be fetched.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="crface-") as folder:
        path = Path(folder, place.name)
        path.write_bytes(place.read_bytes())
        yield path


def in_memory(place: Place) -> io.BytesIO:
    """A whole file in memory, to read from; OSError when it cannot be fetched."""
    return io.BytesIO(place.read_bytes())


def _status(info: dict[str, Any]) -> UrlStatus:
    when = info.get("LastModified") or info.get("mtime") or info.get("created") or 0.0
    return UrlStatus(int(info["size"]), when.timestamp() if isinstance(when, datetime) else float(when))
