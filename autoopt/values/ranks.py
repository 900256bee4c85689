"""A rank: one process of a gang, which runs one attempt on several slots."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A process's place in its gang. Number 0 leads. In `folder`, which is the gang's own, its processes meet.

    A gang can be one process that has several slots to itself: `devices` are the numbers of theirs, its own first.
    """

    number: int
    size: int
    folder: str = ""
    devices: tuple[int, ...] = ()

    @property
    def leads(self) -> bool:
        """Whether its result is the gang's."""
        return self.number == 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "devices": list(self.devices)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Rank":
        return cls(**{**raw, "devices": tuple(raw["devices"])})
