"""A job: one configuration, applied to one data set, in one workspace."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config.sections import RunConfig
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the user asked for; everything else is derived from it."""

    config: RunConfig
    out: Place | None = None
    """The workspace; None: a folder in `runs` named after the data set."""
    data: Path | None = None
    """The data set's folder; None: the one the workspace was made from, else the embedded data set."""
    cluster: str = "local"
    """Where blocks are computed, as `open_cluster` takes it."""
    ground_truth: Path | None = None
    """Folder of the official .mat files; None: where WIDER FACE has them."""
    ranker: Place | None = None
    """The ranker to apply; None: the one trained with this configuration."""
    split: str | None = None
    """The only split to work on; None: all for the cache stage, val or the only one for later stages."""

    @property
    def workspace(self) -> Workspace:
        """The workspace, named after the data set unless the user chose one."""
        if self.out is not None:
            return Workspace(self.out.absolute())
        name = "demo" if self.data is None else self.data.absolute().name
        return Workspace(Path("runs").absolute() / name)

    def with_config(self, config: RunConfig) -> "Job":
        """The same job with another configuration."""
        return replace(self, config=config)
