"""Writing: what a StudyWriter does inside its transactions. Every function takes an open connection."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from autoopt.ledger.queries import SEARCH_PASS
from autoopt.ledger.rows import ExportRow, RungRow, TrialOutcome, check_measures
from autoopt.ledger.schema import attempts, exports, measures, outbox, rungs, steps, trials, verdicts
from autoopt.values import QUALITY, AttemptState, Measures, TrialState


def now() -> str:
    """This moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()


def new_trial(
    number: int, recipe: Mapping[str, Any], sha256: str, *, source: str, state: TrialState, of: int | None = None
) -> dict[str, Any]:
    """Values of a trial's row."""
    moment = now()
    return {
        "number": number,
        "recipe": dict(recipe),
        "recipe_sha256": sha256,
        "source": source,
        "state": state,
        "duplicate_of": of,
        "reason": "",
        "message": "",
        "artifact_key": "",
        "artifact_sha256": "",
        "stages": [],
        "notes": [],
        "created_at": moment,
        "finished_at": None if state is TrialState.RUNNING else moment,
    }


def add_trial(connection: Connection, study_id: int, trial: Mapping[str, Any]) -> bool:
    """False when it is there already; ValueError when another one has its number."""
    query = select(trials.c.recipe_sha256, trials.c.duplicate_of).where(_is(study_id, trial["number"]))
    there = connection.execute(query).first()
    if there is None:
        if trial["duplicate_of"] is not None:
            require_trial(connection, study_id, trial["duplicate_of"])
        connection.execute(insert(trials).values(study_id=study_id, **trial))
    elif tuple(there) != (trial["recipe_sha256"], trial["duplicate_of"]):
        raise ValueError(f"trial {trial['number']} is on record with another recipe")
    return there is None


def require_trial(connection: Connection, study_id: int, number: int) -> TrialState:
    """The trial's state; ValueError when it was never recorded."""
    state = connection.execute(select(trials.c.state).where(_is(study_id, number))).scalar()
    if state is None:
        raise ValueError(f"trial {number} was never recorded")
    return TrialState(state)


def require_result(connection: Connection, study_id: int, number: int) -> None:
    """ValueError when the trial was never recorded or owes its result."""
    if require_trial(connection, study_id, number) is TrialState.RUNNING:
        raise ValueError(f"trial {number} has no result yet")


def add_attempt(connection: Connection, study_id: int, number: int, slot_index: int, token: str) -> None:
    """ValueError unless the trial owes a result and no attempt at it runs."""
    if require_trial(connection, study_id, number) is not TrialState.RUNNING:
        raise ValueError(f"trial {number} has its result")
    mine = (attempts.c.study_id == study_id) & (attempts.c.number == number)
    states = connection.execute(select(attempts.c.state).where(mine)).scalars().all()
    if AttemptState.RUNNING in states:
        raise ValueError(f"an attempt at trial {number} is running")
    connection.execute(
        insert(attempts).values(
            study_id=study_id,
            number=number,
            attempt=len(states),
            token=token,
            slot_index=slot_index,
            state=AttemptState.RUNNING,
            reason="",
            message="",
            detail="",
            started_at=now(),
        )
    )


def add_steps(connection: Connection, study_id: int, token: str, rows: Sequence[tuple[int, str, float]]) -> bool:
    """False when the token is stale."""
    running = (attempts.c.token == token) & (attempts.c.study_id == study_id)
    running &= attempts.c.state == AttemptState.RUNNING
    attempt_id = connection.execute(select(attempts.c.id).where(running)).scalar()
    if attempt_id is None:
        return False
    points = [
        {"attempt_id": attempt_id, "step": step, "name": name, "value": value if math.isfinite(value) else None}
        for step, name, value in rows
    ]
    if points:
        connection.execute(insert(steps), points)
    return True


def add_rung(connection: Connection, study_id: int, rung: RungRow) -> None:
    """Append; ValueError for figures that are not finite and for a trial that was never recorded."""
    if not all(map(math.isfinite, rung.known.values())):
        raise ValueError(f"not finite: {dict(rung.known)}")
    require_trial(connection, study_id, rung.number)
    place = {"study_id": study_id, "number": rung.number, "share": rung.share}
    if rung.known:
        connection.execute(insert(rungs), [{**place, "name": name, "value": v} for name, v in rung.known.items()])


def end_attempt(connection: Connection, study_id: int, token: str, values: Mapping[str, Any]) -> bool:
    """False when the token is stale: the attempt has ended, is another study's, or never was."""
    if values["state"] == AttemptState.RUNNING:
        raise ValueError("an attempt does not end as running")
    running = (attempts.c.token == token) & (attempts.c.study_id == study_id)
    running &= attempts.c.state == AttemptState.RUNNING
    return connection.execute(update(attempts).where(running).values(finished_at=now(), **values)).rowcount == 1


def lose_attempts(connection: Connection, study_id: int) -> None:
    """Every running attempt becomes lost."""
    running = (attempts.c.study_id == study_id) & (attempts.c.state == AttemptState.RUNNING)
    connection.execute(update(attempts).where(running).values(state=AttemptState.LOST, finished_at=now()))


def end_trial(connection: Connection, study_id: int, token: str | None, number: int, outcome: TrialOutcome) -> bool:
    """Attempt, trial and measures of a result; False, and nothing written, when it comes too late."""
    if require_trial(connection, study_id, number) is not TrialState.RUNNING:
        return False
    ends = (attempts.c.study_id == study_id) & (attempts.c.number == number)
    ends &= attempts.c.state == AttemptState.RUNNING
    if token is not None:
        ends &= attempts.c.token == token
    attempt = {
        "state": outcome.attempt_state,
        "reason": outcome.reason,
        "message": outcome.message,
        "detail": outcome.detail,
        "seconds": outcome.seconds,
        "finished_at": now(),
    }
    ended = connection.execute(update(attempts).where(ends).values(attempt)).rowcount
    if token is not None and ended != 1:
        return False
    trial = {
        "state": outcome.state,
        "reason": outcome.reason,
        "message": outcome.message,
        "artifact_key": outcome.artifact_key,
        "artifact_sha256": outcome.artifact_sha256,
        "stages": [dict(s) for s in outcome.stages],
        "notes": list(outcome.notes),
        "seconds": outcome.seconds,
        "finished_at": now(),
    }
    connection.execute(update(trials).where(_is(study_id, number)).values(trial))
    add_measures(connection, study_id, number, outcome.measures, SEARCH_PASS)
    return True


def add_measures(connection: Connection, study_id: int, number: int, found: Measures, pass_name: str) -> None:
    """Append; ValueError for figures that are not finite. The trial is on record."""
    check_measures(found)
    moment = now()
    rows = [
        {
            "study_id": study_id,
            "number": number,
            "pass_name": pass_name,
            "name": name,
            "value": m.value,
            "low": m.low,
            "high": m.high,
            "provisional": m.provisional,
            "taken_at": moment,
        }
        for name, m in found.items()
    ]
    if rows:
        connection.execute(insert(measures), rows)


def change_verdict(connection: Connection, study_id: int, number: int, state: TrialState, reason: str) -> None:
    """Between COMPLETE and INFEASIBLE, with a row that says so; ValueError for anything else."""
    allowed = (TrialState.COMPLETE, TrialState.INFEASIBLE)
    before = require_trial(connection, study_id, number)
    if before not in allowed or state not in allowed:
        raise ValueError(f"trial {number} cannot go from {before} to {state}")
    connection.execute(update(trials).where(_is(study_id, number)).values(state=state, reason=reason))
    values = {"study_id": study_id, "number": number, "state": state, "reason": reason, "decided_at": now()}
    connection.execute(insert(verdicts).values(values))


def add_export(connection: Connection, study_id: int, export: ExportRow) -> None:
    """Append; ValueError for a test score that is not finite and for a trial that was never recorded."""
    test = export.test
    check_measures({} if test is None else {QUALITY: test})
    require_trial(connection, study_id, export.number)
    plain = {k: v for k, v in asdict(export).items() if k != "test"}
    scores = {} if test is None else {"test_value": test.value, "test_low": test.low, "test_high": test.high}
    connection.execute(insert(exports).values(study_id=study_id, **plain, **scores))


def add_outbox(connection: Connection, study_id: int, payloads: Sequence[Mapping[str, Any]]) -> None:
    """Append, in their order."""
    moment = now()
    rows = [{"study_id": study_id, "payload": dict(p), "created_at": moment} for p in payloads]
    if rows:
        connection.execute(insert(outbox), rows)


def mark_delivered(connection: Connection, study_id: int, ids: Collection[int]) -> None:
    """Rows delivered before keep their time."""
    wanted = outbox.c.id.in_(list(ids)) & (outbox.c.study_id == study_id) & outbox.c.delivered_at.is_(None)
    connection.execute(update(outbox).where(wanted).values(delivered_at=now()))


def _is(study_id: int, number: int) -> Any:
    return (trials.c.study_id == study_id) & (trials.c.number == number)
