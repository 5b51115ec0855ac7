"""Published checkpoints turned into safetensors files that say where they come from."""

from pathlib import Path

from torch import nn

from detectors.base import create, file_sha256
from detectors.weights import load_network, save_state


def import_checkpoint(
    source: str | Path, detector_name: str, destination: str | Path, sha256: str | None = None
) -> str:
    """Write a checkpoint's weights as a safetensors file with metadata; gives the source's SHA-256.

    The metadata tell the detector, the source's file name and its hash. `sha256`, if given, must be the
    source's. The destination appears whole or not at all.

    Raises ValueError when the hash differs, the detector is unknown or has no weights, the checkpoint does
    not fit it (naming every kind of difference), or the destination cannot be written.
    """
    network = getattr(create(detector_name, weights=None), "network", None)
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"the detector {detector_name} has no network of ours: there is nothing to import weights into"
        )
    found = file_sha256(source)
    if sha256 is not None and found != sha256.lower():
        raise ValueError(
            f"{source} has SHA-256 {found}, expected {sha256}: it is another file or damaged, fetch it again"
        )
    load_network(network, source, detector_name)
    metadata = {"detector": detector_name, "source": Path(source).name, "source_sha256": found}
    destination = Path(destination)
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(save_state(network.state_dict(), metadata))
        partial.replace(destination)
    except OSError as error:
        raise ValueError(f"cannot write the weights to {destination}: {error.strerror}") from error
    return found
