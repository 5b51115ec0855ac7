"""What all tables of a descriptor have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a descriptor: it cannot be changed, and a key that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
