"""The first schema: studies, trials, attempts, learning curves, measures, exports, outbox.

A released revision is history: never edit it, add another.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of the first schema."""
    _studies()
    _trials()
    _attempts()
    _measures()
    _exports()
    op.create_table(
        "ao_outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("ao_studies.id"), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("delivered_at", sa.Text),
    )


def _studies() -> None:
    op.create_table(
        "ao_studies",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("budget_seconds", sa.Float),
        sa.Column("budget_trials", sa.Integer),
        sa.Column("spent_s", sa.Float, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("owner_pid", sa.Integer),
        sa.Column("owner_host", sa.Text),
        sa.Column("last_write", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


def _trials() -> None:
    op.create_table(
        "ao_trials",
        sa.Column("study_id", sa.Integer, sa.ForeignKey("ao_studies.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("recipe_sha256", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("artifact_key", sa.Text, nullable=False),
        sa.Column("artifact_sha256", sa.Text, nullable=False),
        sa.Column("stages", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("duplicate_of", sa.Integer),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.Column("seconds", sa.Float),
    )
    op.create_index("ao_trials_state", "ao_trials", ["study_id", "state"])


def _attempts() -> None:
    op.create_table(
        "ao_attempts",
        sa.Column("id", sa.Integer, primary_key=True),
        *_trial_columns(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("token", sa.Text, nullable=False, unique=True),
        sa.Column("slot_index", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.Column("seconds", sa.Float),
        _trial_key(),
        sa.UniqueConstraint("study_id", "number", "attempt", name="ao_attempts_order"),
    )
    op.create_index("ao_attempts_state", "ao_attempts", ["study_id", "state"])
    op.create_table(
        "ao_steps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("attempt_id", sa.Integer, sa.ForeignKey("ao_attempts.id"), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Float),
    )
    op.create_index("ao_steps_attempt", "ao_steps", ["attempt_id"])


def _measures() -> None:
    op.create_table(
        "ao_measures",
        sa.Column("id", sa.Integer, primary_key=True),
        *_trial_columns(),
        sa.Column("pass_name", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("provisional", sa.Boolean, nullable=False),
        sa.Column("taken_at", sa.Text, nullable=False),
        _trial_key(),
    )
    op.create_index("ao_measures_trial", "ao_measures", ["study_id", "number"])


def _exports() -> None:
    op.create_table(
        "ao_exports",
        sa.Column("id", sa.Integer, primary_key=True),
        *_trial_columns(),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("test_value", sa.Float),
        sa.Column("test_low", sa.Float),
        sa.Column("test_high", sa.Float),
        sa.Column("created_at", sa.Text, nullable=False),
        _trial_key(),
    )
    op.create_index("ao_exports_trial", "ao_exports", ["study_id", "number"])


def _trial_columns() -> tuple[sa.Column[int], sa.Column[int]]:
    return sa.Column("study_id", sa.Integer, nullable=False), sa.Column("number", sa.Integer, nullable=False)


def _trial_key() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"])
