"""Reading: statements and the rows they become. Every function takes an open connection."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from autoopt.ledger.rows import (
    UNBUDGETED,
    AttemptRow,
    ExportRow,
    OutboxRow,
    RungRow,
    StepRow,
    StudyRow,
    Totals,
    TrialRow,
)
from autoopt.ledger.schema import attempts, exports, measures, outbox, rungs, steps, studies, trials
from autoopt.values import AttemptState, Budget, Measurement, StudyState, TrialState

FINAL_PASS = "final"
SEARCH_PASS = "search"


def find_study(connection: Connection, name: str) -> RowMapping | None:
    return connection.execute(select(studies).where(studies.c.name == name)).mappings().first()


def all_studies(connection: Connection) -> list[RowMapping]:
    return list(connection.execute(select(studies).order_by(studies.c.id)).mappings())


def study_row(row: RowMapping, owner: int | None) -> StudyRow:
    return StudyRow(
        id=row["id"],
        name=row["name"],
        spec=row["spec"],
        state=StudyState(row["state"]),
        note=row["note"],
        budget=Budget(seconds=row["budget_seconds"], trials=row["budget_trials"]),
        spent_s=row["spent_s"],
        epoch=row["epoch"],
        created_at=row["created_at"],
        owner=owner,
    )


def trial_rows(connection: Connection, study_id: int, *, state: TrialState | None = None) -> list[TrialRow]:
    """Trials by number, with their latest measures and how often they were tried."""
    wanted = trials.c.study_id == study_id
    if state is not None:
        wanted &= trials.c.state == state
    found = list(connection.execute(select(trials).where(wanted).order_by(trials.c.number)).mappings())
    numbers = None if state is None else [row["number"] for row in found]
    measured = _latest_measures(connection, study_id, numbers)
    tried = _tries(connection, study_id, numbers)
    return [_trial_row(r, measured.get(r["number"], {}), tried.get(r["number"], (0, None))) for r in found]


def trial_row(connection: Connection, study_id: int, number: int) -> TrialRow | None:
    """One trial, or None."""
    wanted = (trials.c.study_id == study_id) & (trials.c.number == number)
    row = connection.execute(select(trials).where(wanted)).mappings().first()
    if row is None:
        return None
    measured = _latest_measures(connection, study_id, [number])
    return _trial_row(row, measured.get(number, {}), _tries(connection, study_id, [number]).get(number, (0, None)))


def _trial_row(row: RowMapping, measured: Mapping[str, Measurement], tried: tuple[int, int | None]) -> TrialRow:
    plain = {k: v for k, v in row.items() if k not in ("study_id", "state")}
    return TrialRow(**plain, state=TrialState(row["state"]), measures=measured, attempts=tried[0], slot_index=tried[1])


def _latest_measures(
    connection: Connection, study_id: int, numbers: list[int] | None
) -> dict[int, dict[str, Measurement]]:
    c = measures.c
    query = select(c.number, c.name, c.value, c.low, c.high, c.provisional)
    query = query.where(c.study_id == study_id).order_by(c.id)  # the final pass is written after the search's
    if numbers is not None:
        query = query.where(c.number.in_(numbers))
    latest: dict[int, dict[str, Measurement]] = {}
    for number, name, value, low, high, provisional in connection.execute(query):
        latest.setdefault(number, {})[name] = Measurement(value=value, low=low, high=high, provisional=provisional)
    return latest


def _tries(connection: Connection, study_id: int, numbers: list[int] | None) -> dict[int, tuple[int, int]]:
    c = attempts.c
    query = select(c.number, c.attempt, c.slot_index).where(c.study_id == study_id).order_by(c.number, c.attempt)
    if numbers is not None:
        query = query.where(c.number.in_(numbers))
    return {number: (attempt + 1, slot_index) for number, attempt, slot_index in connection.execute(query)}


def attempt_rows(connection: Connection, study_id: int) -> list[AttemptRow]:
    """Every attempt, by trial and order."""
    query = select(attempts).where(attempts.c.study_id == study_id).order_by(attempts.c.number, attempts.c.attempt)
    left_out = ("id", "study_id", "state")
    return [
        AttemptRow(**{k: v for k, v in row.items() if k not in left_out}, state=AttemptState(row["state"]))
        for row in connection.execute(query).mappings()
    ]


def step_rows(connection: Connection, study_id: int, number: int) -> list[StepRow]:
    """Learning curves of a trial's attempts, in the order in which they were recorded."""
    query = (
        select(attempts.c.attempt, steps.c.step, steps.c.name, steps.c.value)
        .join(attempts, attempts.c.id == steps.c.attempt_id)
        .where(attempts.c.study_id == study_id, attempts.c.number == number)
        .order_by(attempts.c.attempt, steps.c.id)
    )
    return [
        StepRow(attempt=attempt, step=step, name=name, value=float("nan") if value is None else value)
        for attempt, step, name, value in connection.execute(query)
    ]


def rung_rows(connection: Connection, study_id: int) -> list[RungRow]:
    """Every rung that a trial came to, in the order in which they were reached."""
    c = rungs.c
    query = select(c.number, c.share, c.name, c.value).where(c.study_id == study_id).order_by(c.id)
    known: dict[tuple[int, float], dict[str, float]] = {}
    for number, share, name, value in connection.execute(query):
        known.setdefault((number, share), {})[name] = value
    return [RungRow(number=number, share=share, known=found) for (number, share), found in known.items()]


def export_rows(connection: Connection, study_id: int) -> list[ExportRow]:
    """Exports in their order."""
    query = select(exports).where(exports.c.study_id == study_id).order_by(exports.c.id)
    return [_export_row(row) for row in connection.execute(query).mappings()]


def _export_row(row: RowMapping) -> ExportRow:
    value = row["test_value"]
    plain: dict[str, Any] = {k: row[k] for k in ("number", "role", "path", "sha256", "artifact_key", "created_at")}
    test = None if value is None else Measurement(value=value, low=row["test_low"], high=row["test_high"])
    return ExportRow(**plain, test=test)


def totals(connection: Connection, study_id: int) -> Totals:
    """Trials by state, those that use up none of the budget left out."""
    wanted = (trials.c.study_id == study_id) & (trials.c.source != UNBUDGETED)
    query = select(trials.c.state, func.count()).where(wanted).group_by(trials.c.state)
    return Totals(**{state: count for state, count in connection.execute(query)})


def referenced_artifacts(connection: Connection) -> frozenset[tuple[str, str]]:
    """('deploy', key) of every trial and export of every study."""
    keys = select(trials.c.artifact_key).union(select(exports.c.artifact_key))
    return frozenset(("deploy", key) for key in connection.execute(keys).scalars() if key)


def pending_outbox(connection: Connection, study_id: int, limit: int) -> list[OutboxRow]:
    """What is still to be delivered, oldest first."""
    c = outbox.c
    query = select(c.id, c.payload, c.created_at).where(c.study_id == study_id, c.delivered_at.is_(None))
    found = connection.execute(query.order_by(c.id).limit(limit))
    return [OutboxRow(id=i, payload=payload, created_at=at) for i, payload, at in found]


def test_looks(connection: Connection, study_id: int) -> int:
    """How many exported artifacts were scored on the test split."""
    wanted = (exports.c.study_id == study_id) & exports.c.test_value.is_not(None)
    return connection.execute(select(func.count()).select_from(exports).where(wanted)).scalar_one()
