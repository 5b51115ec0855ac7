"""`crface weights`: published checkpoints into this project's files, and a check of them."""

from pathlib import Path

import click

from pipeline.errors import UserError


@click.group()
def weights() -> None:
    """Import published checkpoints and verify weights."""


@weights.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--detector",
    required=True,
    metavar="NAME",
    help="The detector whose network takes them (see `crface detectors`).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: SOURCE with the ending .safetensors, in the current folder]",
)
@click.option("--sha256", help="Refuse SOURCE unless its SHA-256 is this.")
def import_(source: Path, detector: str, output: Path | None, sha256: str | None) -> None:
    """Convert a published checkpoint (.pth, .pt, .safetensors) strictly into a safetensors file.

    Missing, unexpected and misshapen keys are listed in an error; weights of another network are refused with its
    name. Nothing in the file is ever executed. docs/weights.md lists where published checkpoints come from.

    \b
    Example:  crface weights import mobilenet0.25_Final.pth --detector retinaface-mobilenet0.25
    """
    from detectors.conversion import import_checkpoint  # with torch, which --help need not wait for

    destination = output or Path(source.with_suffix(".safetensors").name)
    try:
        import_checkpoint(source, detector, destination, sha256=sha256)
    except ValueError as error:
        raise UserError(str(error)) from error
    click.echo(f"wrote {destination}; use it as {detector}@{destination}")


@weights.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--detector", required=True, metavar="NAME", help="The detector that the weights should fit.")
@click.option("--sha256", help="Fail unless the file's SHA-256 is this.")
def verify(file: Path, detector: str, sha256: str | None) -> None:
    """Check that a weights file is whole and fits a detector's network, key by key; exit status 1 if not.

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
