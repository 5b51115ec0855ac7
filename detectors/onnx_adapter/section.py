"""What all tables of a descriptor have in common."""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_serializer


class Section(BaseModel):
    """A table of a descriptor: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    later_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys younger than stored candidates: left out where they are at their default, so that fingerprints stay."""

    @model_serializer(mode="wrap")
    def _as_before_later_keys(self, dump: Callable[[object], dict[str, Any]]) -> dict[str, Any]:
        found = dump(self)
        unused = {
            key for key in self.later_keys if getattr(self, key) == type(self).model_fields[key].default
        }
        return {key: value for key, value in found.items() if key not in unused}
