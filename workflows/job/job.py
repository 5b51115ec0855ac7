"""A job: one configuration on one data set in one workspace, as the commands hand it to the stages."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config.sections import RunConfig
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a user asked for; everything else is derived from it."""

    config: RunConfig
    out: Place | None = None
    """The workspace; None: a folder named after the data set."""
    data: Path | None = None
    """The data set's folder; None: what the workspace was made from, else the embedded data set."""
    cluster: str = "local"
    ground_truth: Path | None = None
    """The folder of the official .mat files; None: where WIDER FACE has them."""
    ranker: Place | None = None
    """The ranker to apply; None: the one that is trained with this configuration."""
    split: str | None = None

    @property
    def workspace(self) -> Workspace:
        """The workspace, whose name tells the data set unless the user chose one."""
        if self.out is not None:
            return Workspace(self.out.absolute())
        name = "demo" if self.data is None else self.data.absolute().name
        return Workspace(Path("runs").absolute() / name)

    def with_config(self, config: RunConfig) -> "Job":
        """Give the same job with another configuration."""
        return replace(self, config=config)
