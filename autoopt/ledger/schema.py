"""The ledger's tables, as queries see them.

They are made and changed by the Alembic revisions in storage/alembic alone; a test compares both. Their names begin
with `ao_` because Optuna's tables lie in the same database.
"""

import json
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

VERSION_TABLE: Final = "autoopt_version"
"""Not `alembic_version`, which is Optuna's."""
REVISIONS: Final = ("0001", "0002", "0003")
"""Every schema there has been, oldest first; the last is the one this version reads and writes."""


class PlainText(TypeDecorator[str]):
    """Text that every database takes: a worker's output may hold NUL (PostgreSQL refuses it) or lone surrogates."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()


class JsonText(TypeDecorator[Any]):
    """A JSON value as text, in the order it came; NaN and infinity are refused with ValueError."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value, allow_nan=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(value)


metadata = MetaData()

studies = Table(
    "ao_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("spec", JsonText, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", PlainText, nullable=False),
    Column("budget_seconds", Float),
    Column("budget_trials", Integer),
    Column("spent_s", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner_pid", Integer),
    Column("owner_host", Text),
    Column("last_write", Text, nullable=False),  # mark of the newest transaction: see StudyWriter
    Column("created_at", Text, nullable=False),
    sqlite_autoincrement=True,  # an id is a lock's name: it must not come back after a deletion
)

trials = Table(
    "ao_trials",
    metadata,
    Column("study_id", Integer, ForeignKey("ao_studies.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("recipe", JsonText, nullable=False),
    Column("recipe_sha256", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("message", PlainText, nullable=False),
    Column("artifact_key", Text, nullable=False),
    Column("artifact_sha256", Text, nullable=False),
    Column("stages", JsonText, nullable=False),
    Column("notes", JsonText, nullable=False),
    Column("duplicate_of", Integer),
    Column("created_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("seconds", Float),
    Index("ao_trials_state", "study_id", "state"),
)

attempts = Table(
    "ao_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("token", Text, nullable=False, unique=True),
    Column("slot_index", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("message", PlainText, nullable=False),
    Column("detail", PlainText, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("seconds", Float),
    ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    UniqueConstraint("study_id", "number", "attempt", name="ao_attempts_order"),
    Index("ao_attempts_state", "study_id", "state"),
)

steps = Table(
    "ao_steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt_id", Integer, ForeignKey("ao_attempts.id"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float),  # NULL: it was not finite
    Index("ao_steps_attempt", "attempt_id"),
)

measures = Table(
    "ao_measures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("pass_name", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("low", Float),
    Column("high", Float),
    Column("provisional", Boolean, nullable=False),
    Column("taken_at", Text, nullable=False),
    ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    Index("ao_measures_trial", "study_id", "number"),
)

rungs = Table(
    "ao_rungs",  # what a training had when it came to a rung: what those of later sessions are compared with
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("share", Float, nullable=False),  # of the training's plan
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    Index("ao_rungs_trial", "study_id", "number"),
)

verdicts = Table(
    "ao_verdicts",  # how a result's state came to change after the search: nothing is overwritten without a trace
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("decided_at", Text, nullable=False),
    ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    Index("ao_verdicts_trial", "study_id", "number"),
)

exports = Table(
    "ao_exports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("test_value", Float),  # NULL: the test split was not looked at
    Column("test_low", Float),
    Column("test_high", Float),
    Column("created_at", Text, nullable=False),
    Column("artifact_key", Text, nullable=False),
    ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    Index("ao_exports_trial", "study_id", "number"),
)

outbox = Table(
    "ao_outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("ao_studies.id"), nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("delivered_at", Text),
    Index("ao_outbox_pending", "study_id", "delivered_at", "id"),
)
