"""The TOML descriptor: all that the adapter has to be told about an ONNX file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from crface.file_kind import kind_of_bytes
from crface.text import cropped, in_words
from detectors.onnx_adapter.bins import Bins
from detectors.onnx_adapter.canvas import InputSpec
from detectors.onnx_adapter.centre_map import CentreMap
from detectors.onnx_adapter.per_stride import PerStride
from detectors.onnx_adapter.ready_boxes import ReadyBoxes
from detectors.onnx_adapter.section import Section
from detectors.toml_text import MAX_BYTES, parse_toml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SHIPPED: Final = Path(__file__).parent.parent / "descriptors"
_OF_OUTPUTS: Final = {"boxes", "scores", "objectness", "outputs", "heat", "size", "offset"}
"""Keys of `[decoding]` that name outputs."""
_SCHEMES: Final[dict[str | int, type[BaseModel]]] = {
    "centre-map": CentreMap,
    "per-stride": PerStride,
    "bins": Bins,
    "boxes": ReadyBoxes,
}


class Descriptor(Section):
    """A described model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name that its candidates are filed under."""
    model: Path | None = None
    """ONNX file, relative to the descriptor's folder; absent in shipped descriptors, whose users name the file."""
    input: InputSpec = InputSpec()
    """How an image becomes the network's input."""
    decoding: Annotated[CentreMap | PerStride | Bins | ReadyBoxes, Field(discriminator="scheme")]
    """How the network's outputs become boxes."""

    def parts(self) -> dict[str, object]:
        """All that decides candidates, as JSON values: everything but names that a user may change."""
        return self.model_dump(mode="json", include={"input", "decoding"})

    def with_outputs(self, names: Mapping[str, str]) -> "Descriptor":
        """The same descriptor for a file whose outputs have other names, those that `names` maps to."""
        changed = {
            key: tuple(names.get(name, name) for name in value)
            if isinstance(value, tuple)
            else names.get(str(value), value)
            for key, value in self.decoding.model_dump(include=_OF_OUTPUTS).items()
        }
        return self.model_copy(update={"decoding": self.decoding.model_copy(update=changed)})


def shipped_descriptor(name: str) -> Descriptor:
    """The descriptor of that name that comes with the package."""
    return read_descriptor(_SHIPPED / f"{name}.toml")


def read_descriptor(path: Path) -> Descriptor:
    """The descriptor in a TOML file; its `model`, if it names one, becomes an absolute path.

    Raises ValueError when the file cannot be read or is no descriptor, naming each wrong key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the descriptor {path} cannot be read: {error.strerror}") from error
    kind = kind_of_bytes(data[:1024])
    if kind is not None:
        remedy = (
            "write a TOML file that describes it (see docs/detectors.md)" if kind.is_onnx else kind.remedy
        )
        raise ValueError(f"the descriptor {path} is not valid TOML but {kind.name}: {remedy}")
    try:
        content = parse_toml(data)
    except ValueError as error:
        raise ValueError(
            f"the descriptor {path} is not valid TOML ({error}): write onnx@DESCRIPTOR.toml"
        ) from error
    try:
        descriptor = Descriptor.model_validate(content)
    except ValidationError as error:
        complaints = in_words([_complaint(one["loc"], one["type"], _message(one)) for one in error.errors()])
        raise ValueError(f"the descriptor {path} is wrong: {complaints}") from error
    if descriptor.model is None:
        return descriptor
    return descriptor.model_copy(update={"model": path.absolute().parent / descriptor.model})


def _complaint(location: tuple[int | str, ...], kind: str, message: str) -> str:
    """A wrong key's path as the file has it, and what is wrong with it."""
    sections: dict[tuple[int | str, ...], type[BaseModel]] = {(): Descriptor, ("input",): InputSpec}
    section = sections.get(location[:-1])
    if location[:1] == ("decoding",) and len(location) > 1:  # pydantic puts the scheme between table and key
        section = _SCHEMES.get(location[1])
        location = ("decoding", *location[2:])
    if kind.startswith("union_tag"):
        location = (*location, "scheme")
    key = cropped(".".join(str(part) for part in location))
    words = message.removeprefix("Value error, ")
    if kind == "extra_forbidden" and section is not None:
        words += f", the keys are {', '.join(section.model_fields)}"
    return f"{key}: {words}" if key else words


def _message(error: "ErrorDetails") -> str:
    """What pydantic says, with the scheme that a descriptor names cropped."""
    tag = str(error.get("ctx", {}).get("tag", ""))
    return error["msg"].replace(tag, cropped(tag)) if tag else error["msg"]
