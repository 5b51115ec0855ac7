"""Published checkpoints turned into safetensors files that name their source."""

from pathlib import Path

from torch import nn

from crface.weights import save_state
from detectors.base import create, file_sha256
from detectors.weights import load_network


def import_checkpoint(
    source: str | Path, detector_name: str, destination: str | Path, sha256: str | None = None
) -> str:
    """Write a checkpoint's weights as a safetensors file with metadata, and return the source's SHA-256.

    The metadata hold the detector, the source's file name and its hash. A given `sha256` is compared with the
    source's before anything else in the file is read. The destination appears whole or not at all; the same source
    gives the same bytes.

    Raises ValueError when the hash differs, the detector is unknown or has no weights, the checkpoint does
    not fit it (naming the network that it fits, or every kind of difference), or the destination is the
    source or cannot be written.
    """
    source, destination = Path(source), Path(destination)
    if destination.resolve() == source.resolve():
        raise ValueError(f"{source} would be written over itself: choose another file for the weights")
    found = check_sha256(source, sha256)
    network = getattr(create(detector_name, weights=None), "network", None)
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"the detector {detector_name} has no network of ours: there is nothing to import weights into"
        )
    load_network(network, source, detector_name)
    metadata = {"detector": detector_name, "source": source.name, "source_sha256": found}
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(save_state(network.state_dict(), metadata))
        partial.replace(destination)
    except OSError as error:
        raise ValueError(f"cannot write the weights to {destination}: {error.strerror}") from error
    return found


def check_sha256(path: str | Path, expected: str | None) -> str:
    """A file's SHA-256 as 64 hexadecimal digits, after a comparison with the expected one if there is one.

    Raises ValueError when they differ, naming both, or the file cannot be read.
    """
    found = file_sha256(path)
    if expected is not None and found != expected.strip().lower():
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {expected}: it is another file or damaged, fetch it again"
        )
    return found
