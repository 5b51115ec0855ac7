"""What the adapter has to be told about an ONNX file: the TOML descriptor."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from detectors.onnx_adapter.bins import Bins
from detectors.onnx_adapter.canvas import InputSpec
from detectors.onnx_adapter.centre_map import CentreMap
from detectors.onnx_adapter.per_stride import PerStride
from detectors.onnx_adapter.ready_boxes import ReadyBoxes
from detectors.onnx_adapter.section import Section
from detectors.toml_text import MAX_BYTES, parse_toml

_SHIPPED: Final = Path(__file__).parent.parent / "descriptors"


class Descriptor(Section):
    """A described model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """What its candidates are filed under."""
    model: Path | None = None
    """The ONNX file, relative to the descriptor's folder; absent in descriptors that ship, whose users name it."""
    input: InputSpec = InputSpec()
    """How an image becomes the network's input."""
    decoding: Annotated[CentreMap | PerStride | Bins | ReadyBoxes, Field(discriminator="scheme")]
    """How the network's outputs become boxes."""

    def parts(self) -> dict[str, object]:
        """Give all that decides candidates, as JSON values: everything but names that a user may change."""
        return self.model_dump(mode="json", include={"input", "decoding"})


def shipped_descriptor(name: str) -> Descriptor:
    """Read the descriptor of that name that comes with the package."""
    return read_descriptor(_SHIPPED / f"{name}.toml")


def read_descriptor(path: Path) -> Descriptor:
    """Read a TOML descriptor; its `model`, if it names one, becomes a path that holds from anywhere.

    Raises ValueError when the file cannot be read or describes nothing, naming each wrong key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the descriptor {path} cannot be read: {error.strerror}") from error
    try:
        content = parse_toml(data)
    except ValueError as error:
        raise ValueError(
            f"the descriptor {path} is not valid TOML ({error}): write onnx@DESCRIPTOR.toml"
        ) from error
    try:
        descriptor = Descriptor.model_validate(content)
    except ValidationError as error:
        complaints = "; ".join(_complaint(*item) for item in ((e["loc"], e["msg"]) for e in error.errors()))
        raise ValueError(f"the descriptor {path} is wrong: {complaints}") from error
    if descriptor.model is None:
        return descriptor
    return descriptor.model_copy(update={"model": path.absolute().parent / descriptor.model})


def _complaint(location: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(part) for part in location)
    return f"{key}: {message.removeprefix('Value error, ')}" if key else message
