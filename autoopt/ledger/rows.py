"""What the ledger hands out and takes in: frozen rows with parsed values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from autoopt.values import AttemptState, Budget, Measurement, Measures, StudyState, TrialState

Source = Literal["portfolio", "planner", "recipe", "again", "ensemble"]
"""Where a recipe came from: known-good ones, Optuna, the user's --recipe, a trial that was stopped, or several trials
whose predictions are averaged at a session's end."""
UNBUDGETED: Final = "ensemble"
"""The source whose trials use up none of a budget of trials: they come on top, within the time."""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A study. `owner` is the pid of the live process that runs it, None when nobody does."""

    id: int
    name: str
    spec: dict[str, Any]
    state: StudyState
    note: str
    budget: Budget
    spent_s: float
    epoch: int
    created_at: str  # ISO 8601, UTC, like every time of the ledger
    owner: int | None


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial and, once it has one, its result. `measures`: the final pass where there is one, else the search's."""

    number: int
    recipe: dict[str, Any]
    recipe_sha256: str
    source: str
    state: TrialState
    reason: str
    message: str
    measures: Measures
    artifact_key: str
    artifact_sha256: str
    stages: list[dict[str, Any]]
    notes: list[str]
    created_at: str
    finished_at: str | None
    seconds: float | None
    attempts: int
    duplicate_of: int | None
    slot_index: int | None  # of the last attempt

    @property
    def counts(self) -> bool:
        """Whether it used up one trial of the budget."""
        return self.state.counts and self.source != UNBUDGETED


@dataclass(frozen=True, kw_only=True)
class AttemptRow:
    """One try at a trial; `attempt` counts from 0."""

    number: int
    attempt: int
    token: str
    slot_index: int
    state: AttemptState
    reason: str
    message: str
    detail: str
    started_at: str
    finished_at: str | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """One point of a learning curve; a `value` that was not finite reads as NaN."""

    attempt: int
    step: int
    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class RungRow:
    """What a trial's training had when it came to a rung: a share of its plan."""

    number: int
    share: float
    known: Mapping[str, float]  # by measure's name


@dataclass(frozen=True, kw_only=True)
class ExportRow:
    """One exported artifact; `test` is None when the test split was not looked at."""

    number: int
    role: str
    path: str
    sha256: str
    artifact_key: str
    test: Measurement | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class OutboxRow:
    """Something that MLflow has yet to be told."""

    id: int
    payload: dict[str, Any]
    created_at: str


@dataclass(frozen=True, kw_only=True)
class Totals:
    """How many trials stand where; ensembles, which use up none of the budget, left out."""

    complete: int = 0
    pruned: int = 0
    infeasible: int = 0
    failed: int = 0
    stopped: int = 0
    duplicate: int = 0
    running: int = 0

    @property
    def counted(self) -> int:
        """Trials that used up budget."""
        return self.complete + self.pruned + self.infeasible + self.failed


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """A trial's result. ValueError for a state that is no result and for measures that are not finite."""

    state: TrialState
    reason: str = ""
    message: str = ""
    detail: str = ""  # for the attempt: a traceback, the end of its stderr
    measures: Measures = field(default_factory=dict)
    artifact_key: str = ""
    artifact_sha256: str = ""
    stages: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.state in (TrialState.RUNNING, TrialState.DUPLICATE):
            raise ValueError(f"{self.state} is no result of a trial")
        check_measures(self.measures)

    @property
    def attempt_state(self) -> AttemptState:
        """What the attempt that brought this result came to."""
        ended = {
            TrialState.FAILED: AttemptState.FAILED,
            TrialState.PRUNED: AttemptState.STOPPED,
            TrialState.STOPPED: AttemptState.STOPPED,
        }
        return ended.get(self.state, AttemptState.DONE)


def check_measures(measures: Measures) -> None:
    """ValueError unless every figure is finite: SQLite would store NaN as nothing."""
    for name, m in measures.items():
        if not all(x is None or math.isfinite(x) for x in (m.value, m.low, m.high)):
            raise ValueError(f"{name} is not finite: {m}")
