"""What the user says about a task; everything else is inferred."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options of `prepare_task`. None means: not given, find out."""

    target: str | None = None
    metric: str | None = None
    split_column: str | None = None  # its values name the part of each row
    time_column: str | None = None  # oldest rows train, newest test
    seed: int = 0  # of the hash split
