"""Reading and checking of configuration files, by name or path."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from crface.text import cropped, in_words, quoted
from detectors.toml_text import MAX_BYTES, parse_toml
from pipeline.config.sections import RunConfig
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Config = TypeVar("Config", bound=BaseModel)


def load_config(name_or_path: str) -> RunConfig:
    """A run's configuration, by the name of a shipped one (`demo`, `paper`, `smoke`) or the path of a TOML file.

    Raises UsageError that names the key, its value and what is allowed.
    """
    return read_toml(name_or_path, RunConfig)


def read_toml(name_or_path: str, kind: type[Config]) -> Config:
    """A TOML file, from `pipeline/configs` or the user's own, read as an object of `kind`.

    Raises UsageError that names the key, its value and what is allowed.
    """
    folder = resources.files("pipeline") / "configs"
    shipped = folder / f"{name_or_path}.toml"
    try:
        is_shipped = "/" not in name_or_path and shipped.is_file()
        with (shipped if is_shipped else Path(name_or_path)).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        names = ", ".join(sorted(file.name.removesuffix(".toml") for file in folder.iterdir()))
        raise UsageError(
            f"cannot read the configuration {name_or_path}: {error.strerror or error}; "
            f"give a TOML file, or one of {names}"
        ) from error
    try:
        content = parse_toml(data)
    except ValueError as error:
        raise UsageError(f"{name_or_path} is not valid TOML: {error}") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        complaints = in_words([_complaint(kind, item) for item in error.errors()])
        raise UsageError(f"{name_or_path}: {complaints}") from error


def _complaint(kind: type[BaseModel], error: "ErrorDetails") -> str:
    key = cropped(".".join(str(part) for part in error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"there is no key {key}; there are {', '.join(_keys_beside(kind, error['loc']))}"
    return f"{key} = {quoted(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _keys_beside(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        if isinstance(part, int):  # an entry in a list of sections, which all have the same keys
            continue
        section = kind.model_fields[part].annotation
        if get_origin(section) is tuple:
            section = get_args(section)[0]
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        kind = section
    return list(kind.model_fields)
