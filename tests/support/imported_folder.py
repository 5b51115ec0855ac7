"""A data set whose detections come from elsewhere, and the commands that import and use them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from wider_folder import Picture, write_data_set

from pipeline.blocks.complete import open_complete
from pipeline.dataset.index import Index, load_index
from pipeline.imports.imported import plan_imported
from pipeline.workspace.layout import CandidateKey, Workspace
from workflows.cli.main import cli


class Folder:
    """A data set, and a workspace that the commands make from it."""

    def __init__(self, root: Path, pictures: Sequence[Picture]):
        self.root = root
        self.data = write_data_set(root / "data", pictures)
        self.workspace = Workspace(root / "w")

    def crface(self, command: str, *arguments: str | Path) -> Result:
        options = ["--data", self.data, "--out", self.workspace.root]
        return CliRunner().invoke(cli, [command, *map(str, [*arguments, *options])])

    def imports(self, source: Path, *arguments: str | Path, name: str = "far") -> Result:
        return self.crface("import-candidates", source, "--name", name, *arguments)

    def index(self) -> Index:
        return load_index(self.workspace, "val")

    def key(self, name: str = "far") -> CandidateKey:
        return plan_imported(self.workspace, self.index(), f"imported:{name}", 4).key

    def candidates(self, name: str = "far") -> dict[str, np.ndarray]:
        index = self.index()
        found = open_complete(self.workspace, index, self.key(name))
        return {row.path: found.read(row.row) for row in index.all_rows}
