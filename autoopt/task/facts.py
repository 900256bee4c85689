"""What is known of a task once its data were read, checked and split. Plain values: a worker gets them as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from autoopt.values import Direction


class Kind(StrEnum):
    """What is to be learned."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def classifies(self) -> bool:
        return self is not Kind.REGRESSION


class Role(StrEnum):
    """What a column is taken for. Only number, boolean and category are learned from, for now."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    DATE = "date"
    TEXT = "text"
    TARGET = "target"
    SPLIT = "split"
    TIME = "time"


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """One column as it was understood."""

    name: str
    role: Role
    used: bool
    missing: int = 0  # rows without a value
    distinct: int = 0  # different values, missing not counted
    note: str = ""  # why it was left out, or what was done with it
    whole: bool = (
        False  # a number column in which every value is a whole number: `Snapshot.frame` gives int64 if it can
    )


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """A task, as its snapshot on disk describes it."""

    name: str  # e.g. "adult.csv" or "demo:digits"
    modality: str  # "tabular"; "images", "text" and "module" come later
    kind: Kind
    metric: str
    metric_direction: Direction
    target: str
    classes: tuple[str, ...]  # labels in the order of the probability columns; empty for regression
    numeric_classes: bool  # labels were numbers in the file: predictions are written as such
    columns: tuple[ColumnFacts, ...]
    rows: Mapping[str, int]  # {"train": ..., "valid": ..., "test": ...}
    fingerprint: str  # SHA-256 over the content of the data, the roles, the split and its seed
    warnings: tuple[str, ...] = ()
    split: str = ""  # how the rows were split, in a user's words
    seed: int = 0  # of the split

    @property
    def positive_class(self) -> str | None:
        """Of two classes the second: F1, precision, recall and average precision are about it. None otherwise."""
        return self.classes[1] if self.kind is Kind.BINARY else None

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Number and boolean columns, in file order: float64 in a snapshot, NaN where missing."""
        return tuple(c.name for c in self.columns if c.used and c.role in (Role.NUMBER, Role.BOOLEAN))

    @property
    def category_columns(self) -> tuple[str, ...]:
        """Category columns, in file order: text in a snapshot, '' where missing."""
        return tuple(c.name for c in self.columns if c.used and c.role is Role.CATEGORY)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "TaskFacts":
        columns = tuple(ColumnFacts(**{**c, "role": Role(c["role"])}) for c in raw["columns"])
        changed = {"kind": Kind(raw["kind"]), "columns": columns, "classes": tuple(raw["classes"])}
        return cls(**{**raw, **changed, "warnings": tuple(raw["warnings"])})
