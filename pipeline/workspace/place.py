"""Where a workspace's files lie: in a folder of this machine, or below a URL that fsspec knows (`s3://bucket/run`).

A folder is a `pathlib.Path`, with all that it can do. A URL is a `UrlPath`, which answers to those of its methods
that the pipeline uses, so that the rest of the code need not ask which of the two it has. What it cannot do (rename,
lock, fsync) an object store does not need: an object is there whole, or not at all.

Credentials are those of the environment (`AWS_ACCESS_KEY_ID`, `~/.aws`, fsspec's configuration). A `UrlPath` holds
and pickles none, and its errors repeat no words that could hold any.
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
    """What `stat` tells of an object, under the names of `os.stat_result`."""

    st_size: int
    st_mtime: float
    """By the store's clock; 0 where it does not say."""


@dataclass(frozen=True, slots=True, order=True)
class UrlPath:
    """A place below a URL, as `pathlib.Path` would have it; OSError from all that asks the store."""

    url: str
    """`scheme://...`, without a slash at its end and without credentials."""

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
        """The last part's ending, with its dot; empty for none."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "UrlPath":
        """The place above; at the top, the place itself."""
        above = self.url.rpartition("/")[0]
        return self if above.endswith(":/") else UrlPath(above)

    @property
    def parents(self) -> Sequence["UrlPath"]:
        """The places above, the nearest first."""
        found: list[UrlPath] = []
        place = self
        while (above := place.parent) != place:
            found.append(above)
            place = above
        return found

    def relative_to(self, other: "UrlPath") -> PurePosixPath:
        """Give the way from a place above; ValueError if `other` is not above."""
        return PurePosixPath(self.url).relative_to(other.url)

    def absolute(self) -> "UrlPath":
        """Give the place itself."""
        return self

    def exists(self) -> bool:
        """Tell whether there is an object, or any below."""
        with self._telling():
            return bool(self._store.exists(self.url))

    def is_file(self) -> bool:
        """Tell whether there is an object."""
        with self._telling():
            return bool(self._store.isfile(self.url))

    def stat(self) -> UrlStatus:
        """Give an object's size and time of change; FileNotFoundError if there is none."""
        with self._telling():
            return _status(self._store.info(self.url))

    def open(self, mode: str = "rb") -> io.BufferedIOBase:
        """Open an object for reading, which fetches the parts that are read."""
        if mode != "rb":
            raise ValueError(f"{self.url} opens for reading only, not as {mode!r}: write it as a whole")
        with self._telling():
            file: io.BufferedIOBase = self._store.open(self.url, "rb")
            return file

    def read_bytes(self) -> bytes:
        """Fetch an object."""
        with self._telling():
            return bytes(self._store.cat_file(self.url))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Fetch an object as text, its line ends as they are."""
        return self.read_bytes().decode(encoding)

    def write(self, data: bytes) -> None:
        """Store an object by one request: readers see all of it, or what was there before."""
        with self._telling():
            self._store.pipe_file(self.url, data)

    def create(self, data: bytes) -> None:
        """Store an object where there is none, FileExistsError where there is; the store decides who is first."""
        with self._telling():
            self._store.pipe_file(self.url, data, mode="create")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        try:
            with self._telling():
                if not missing_ok or self._store.exists(self.url):
                    self._store.rm_file(self.url)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def below(self) -> dict[str, int]:
        """Give the sizes of all objects below, by their way from here: one request for a thousand of them."""
        with self._telling():
            found = self._store.find(self.url, detail=True)
            start = len(self._store._strip_protocol(self.url)) + 1
            return {name[start:]: int(info["size"]) for name, info in found.items()}

    @property
    def _store(self) -> Any:
        # a listing that another process has outdated is worse than another request
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
            # its words may hold an address with a password, so only its kind is told; so no `from error`
            why = f"the store does not answer as it should ({type(error).__name__})"
            raise OSError(errno.EIO, why, self.url) from None


Place = Path | UrlPath
"""A file or folder of a workspace."""


def parse_place(text: str) -> Place:
    """Give the place that a user means: a folder's path, or a URL of a store that fsspec knows.

    Raises UsageError for a URL with credentials in it (which are not repeated), of an unknown kind, or of a kind
    whose package is not installed.
    """
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"the {parts.scheme}:// address has a user, a password or a query in it, which logs would repeat: leave "
            "them out, and give credentials by the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, ...)"
        )
    if parts.scheme in _OF_THIS_MACHINE:
        return Path(parts.netloc + parts.path)
    if "::" in text or ".." in parts.path.split("/") or not parts.netloc:
        raise UsageError(f"the address {text!r} is not of the form scheme://bucket/folder")
    try:
        fsspec.get_filesystem_class(parts.scheme)
    except ValueError:
        raise UsageError(
            f"there is no store {parts.scheme}://: give a folder, s3://bucket/folder, or another kind that fsspec knows"
        ) from None
    except ImportError as error:
        advice = "pip install 'crface[s3]'" if parts.scheme in ("s3", "s3a") else str(error)
        raise UsageError(f"{parts.scheme}:// needs a package that is not installed: {advice}") from None
    return UrlPath(text.rstrip("/"))


def listed(folder: Place, pattern: str) -> list[Place]:
    """List the files in a folder whose name matches (or, with slashes, in folders below), sorted; none without it."""
    if isinstance(folder, Path):
        return sorted(folder.glob(pattern))
    depth = pattern.count("/")
    names = (name for name in folder.below() if name.count("/") == depth)
    return [folder / name for name in sorted(names) if PurePosixPath(name).match(pattern)]


def ways_down(place: Place, depth: int) -> list[PurePosixPath]:
    """List the ways to the folders so many levels below, sorted; an object store has those that hold something."""
    if isinstance(place, Path):
        found = [path for path in place.glob("/".join("*" * depth)) if path.is_dir()]
        return sorted(PurePosixPath(path.relative_to(place)) for path in found)
    ways = {tuple(name.split("/")[:depth]) for name in place.below() if name.count("/") >= depth}
    return [PurePosixPath(*way) for way in sorted(ways)]


def remove_leftovers(folder: Place, pattern: str) -> None:
    """Remove what killed writers left half written; an object store has none of that."""
    if isinstance(folder, Path):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """Give a file of this machine with the place's content, for libraries that take nothing else.

    Raises OSError when it cannot be fetched.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="crface-") as folder:
        path = Path(folder, place.name)
        path.write_bytes(place.read_bytes())
        yield path


def in_memory(place: Place) -> io.BytesIO:
    """Give a whole file to read from; OSError when it cannot be had."""
    return io.BytesIO(place.read_bytes())


def _status(info: dict[str, Any]) -> UrlStatus:
    when = info.get("LastModified") or info.get("mtime") or info.get("created") or 0.0
    return UrlStatus(int(info["size"]), when.timestamp() if isinstance(when, datetime) else float(when))
