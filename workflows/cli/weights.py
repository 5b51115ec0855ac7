"""`crface weights`: published checkpoints converted to safetensors, and weights files checked."""

from pathlib import Path

import click

from pipeline.errors import UserError


@click.group()
def weights() -> None:
    """Import or verify a detector's weights."""


@weights.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--detector",
    required=True,
    metavar="NAME",
    help="Detector that the weights are for (see `crface detectors`).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File to write.  [default: SOURCE's name with the suffix .safetensors, in the current folder]",
)
@click.option("--sha256", metavar="HASH", help="Refuse SOURCE unless it has this SHA-256.")
def import_(source: Path, detector: str, output: Path | None, sha256: str | None) -> None:
    """Convert a published checkpoint.

    SOURCE (.pth, .pt or .safetensors) is converted to a safetensors file. Missing, unexpected or misshapen keys are
    listed as an error; weights of another network are an error that names it. Nothing in the file is ever executed.
    docs/weights.md says where to find published checkpoints.

    \b
    Example:  crface weights import mobilenet0.25_Final.pth --detector retinaface-mobilenet0.25
    """
    # with torch, which --help need not wait for
    from crface.weights import read_metadata
    from detectors.conversion import import_checkpoint
    from pipeline.workspace.writing import refuse_to_replace

    destination = output or Path(source.with_suffix(".safetensors").name)
    if destination.resolve() != source.resolve():  # which has a sentence of its own
        refuse_to_replace(
            destination, "file of imported weights", lambda path: "source_sha256" in read_metadata(path)
        )
    try:
        import_checkpoint(source, detector, destination, sha256=sha256)
    except ValueError as error:
        raise UserError(str(error)) from error
    click.echo(f"wrote {destination}; use it as {detector}@{destination}")


@weights.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--detector", required=True, metavar="NAME", help="Detector that the weights must fit.")
@click.option("--sha256", metavar="HASH", help="Fail unless the file has this SHA-256.")
def verify(file: Path, detector: str, sha256: str | None) -> None:
    """Check a weights file.

    It must be undamaged and fit the detector's network key by key; the exit status is 1 if not.

    \b
    Example:  crface weights verify retinaface.safetensors --detector retinaface-mobilenet0.25
    """
    import detectors
    from detectors.conversion import check_sha256

    try:
        found = check_sha256(file, sha256)
        detectors.create(detector, weights=file)
    except ValueError as error:
        raise UserError(str(error)) from error
    click.echo(f"{file} fits {detector}; SHA-256 {found}")
