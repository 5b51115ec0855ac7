"""`crface export-ranker`: a trained ranker as an ONNX file."""

from pathlib import Path

import click


@click.command("export-ranker")
@click.argument("ranker", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
def export_ranker(ranker: Path, output: Path) -> None:
    """Export a ranker as an ONNX file.

    RANKER is a ranker.safetensors, OUTPUT the file to write. It is only written if onnxruntime gives the same
    confidences as PyTorch. Its inputs are described in crface/ranker/onnx_export.py; images may have any size.

    \b
    Example:  crface export-ranker runs/demo/rankers/0123456789abcdef/ranker.safetensors ranker.onnx
    """
    from workflows.commands.export_ranker import write_onnx

    difference = write_onnx(ranker, output)
    click.echo(f"export-ranker: {output}, differs from PyTorch by at most {difference:.1e}")
