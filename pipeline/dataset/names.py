"""Which image a name means that another program wrote: one way to match names, whatever file they are read from."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from pipeline.images.header import REFUSED_SUFFIXES, SUFFIXES

_ENDINGS: Final = SUFFIXES | REFUSED_SUFFIXES
_DRIVE: Final = re.compile("[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """What foreign names mean; every name that was asked for is in exactly one of the four."""

    found: Mapping[str, str]
    """Foreign name to known name; no two foreign names mean the same image."""
    unknown: tuple[str, ...]
    """Foreign names that mean no known image."""
    ambiguous: Mapping[str, tuple[str, str]]
    """Foreign name to two of the known names that it could mean."""
    doubled: Mapping[str, str]
    """Foreign name to the other foreign name that means the same image, and is in `found`."""


def match_names(foreign: Iterable[str], known: Iterable[str], image_folder: str = "") -> Matches:
    """Match the names in a file of another program with those of a data set; the spelling closest to its own wins.

    A name means the known name that it equals, once slashes are forward, `./` is dropped, and what comes before
    and with `image_folder` is cut off. Failing that, one ending of an image file is dropped, from the known name or
    from the foreign one, never two. The same is then tried in Unicode's composed form, and last without regard to
    case. After these come names that differ in their ending (`a.png` for `a.jpg`), absolute paths that end in a
    known name, and names without a folder; these three, and a different Unicode form or case, give way to a name
    that means the image more exactly.
    """
    table = _Table(known, image_folder)
    closeness: dict[str, int] = {}
    meant: dict[str, str] = {}
    unknown: list[str] = []
    ambiguous: dict[str, tuple[str, str]] = {}
    for name in dict.fromkeys(foreign):
        level, hits = table.find(name)
        if len(hits) > 1:
            ambiguous[name] = hits[0], hits[1]
        elif hits:
            meant[name], closeness[name] = hits[0], level
        else:
            unknown.append(name)
    owner: dict[str, str] = {}
    found: dict[str, str] = {}
    doubled: dict[str, str] = {}
    for name in sorted(meant, key=lambda name: closeness[name]):
        image = meant[name]
        if image not in owner:
            owner[image] = name
            found[name] = image
        elif closeness[name] == _SURE or closeness[name] == closeness[owner[image]]:
            doubled[name] = owner[image]
        else:
            unknown.append(name)
    return Matches(found=found, unknown=tuple(unknown), ambiguous=ambiguous, doubled=doubled)


def without_ending(name: str) -> str:
    """The name without the ending of an image file; `event/a.b` and `event/a.b.jpg` both become `event/a.b`."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and not stem.endswith("/") and f".{ending.lower()}" in _ENDINGS else name


def image_name(path: str) -> str:
    """An image's name in the ground truth and in text results: `event/name` for `event/name.jpg`."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix else path


def text_names(paths: Iterable[str]) -> dict[str, str]:
    """Each path under its name in text results; where two images would share one, they keep their endings."""
    paths = list(paths)
    shared = {name for name, count in Counter(map(image_name, paths)).items() if count > 1}
    names = [path if image_name(path) in shared else image_name(path) for path in paths]
    clashing = {name for name, count in Counter(names).items() if count > 1}
    return {path if name in clashing else name: path for name, path in zip(names, paths, strict=True)}


def could_be_named(written: str, name: str) -> bool:
    """Whether a name written inside a file can be that of image `name`: only what follows the last slash counts."""
    written, name = (_case(tidy(text).rpartition("/")[2].strip()) for text in (written, name))
    return bool({written, without_ending(written)} & {name, without_ending(name)})


def is_same_spelling(one: str, other: str) -> bool:
    """Whether two names differ in slashes, Unicode form and case alone."""
    return _case(tidy(one)) == _case(tidy(other))


def tidy(name: str) -> str:
    """The name with forward slashes, and without empty and `.` folders; an absolute one stays absolute."""
    name = name.replace("\\", "/")
    start = "/" if name.startswith("/") else ""
    return start + "/".join(part for part in name.split("/") if part not in ("", "."))


def _as_it_is(name: str) -> str:
    return name


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _case(name: str) -> str:
    return unicodedata.normalize("NFC", _composed(name).casefold())


def _last(name: str) -> str:
    return name.rpartition("/")[2]


_Form = Callable[[str], str]

_FORMS: Final[Sequence[_Form]] = (_as_it_is, _composed, _case)
_SURE: Final = 0
"""How close the spelling is: this, then a form of Unicode, then case, then another ending, then another folder."""
_OTHER_ENDING: Final = len(_FORMS)
_OTHER_FOLDER: Final = _OTHER_ENDING + 1


class _Table:
    """The known names under every spelling; spellings that nobody asks for are never made."""

    def __init__(self, known: Iterable[str], image_folder: str):
        names = list(known)
        self._exact = frozenset(names)
        self._folder = tidy(image_folder)
        tidied = [(tidy(name), name) for name in names]

        @cache
        def spellings(form: _Form, ending: _Form, folder: _Form) -> Mapping[str, list[str]]:
            table: defaultdict[str, list[str]] = defaultdict(list)
            for key, name in tidied:
                table[form(folder(ending(key)))].append(name)
            return table

        self._spellings = spellings

    def find(self, name: str) -> tuple[int, Sequence[str]]:
        """How close the closest known names are, and these names; none for a name that means no image."""
        if name in self._exact:
            return _SURE, [name]
        for closeness, spelling, form, ending, folder in self._questions(name):
            if hits := self._spellings(form, ending, folder).get(form(spelling)):
                return closeness, hits
        return _SURE, []

    def _questions(self, name: str) -> Iterator[tuple[int, str, _Form, _Form, _Form]]:
        """What to look up, closest first: closeness, key, and the spelling of the known names."""
        given = tidy(name)
        if not given:
            return
        below = self._below_the_image_folder(given)
        for closeness, form in enumerate(_FORMS):
            for spelling in below:
                yield closeness, spelling, form, _as_it_is, _as_it_is
                yield closeness, spelling, form, without_ending, _as_it_is
                yield closeness, without_ending(spelling), form, _as_it_is, _as_it_is
        for form in _FORMS:
            for spelling in below:
                yield _OTHER_ENDING, without_ending(spelling), form, without_ending, _as_it_is
        ends, folder = [], _as_it_is
        if given.startswith("/") or _DRIVE.match(given):
            parts = given.split("/")
            ends = ["/".join(parts[start:]) for start in range(1, len(parts))]
        elif "/" not in given:
            ends, folder = [given], _last
        for form in _FORMS:
            for end in ends:
                yield _OTHER_FOLDER, end, form, _as_it_is, folder
                yield _OTHER_FOLDER, end, form, without_ending, folder
                yield _OTHER_FOLDER, without_ending(end), form, without_ending, folder

    def _below_the_image_folder(self, given: str) -> Sequence[str]:
        """The name as it is, and from its image folder on if that is in it."""
        if not self._folder:
            return [given]
        _, folder, below = f"/{given}".partition(f"/{self._folder}/")
        return [given, below] if folder and below else [given]
