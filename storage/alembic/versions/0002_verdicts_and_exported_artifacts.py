"""Verdicts after the final measuring, the artifact behind an export, and an index for the outbox.

Rows that are there: exports get an empty artifact key (their artifact is the trial's); nothing is lost.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a table, a column with a default, and an index."""
    op.create_table(
        "ao_verdicts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    )
    op.create_index("ao_verdicts_trial", "ao_verdicts", ["study_id", "number"])
    op.add_column("ao_exports", sa.Column("artifact_key", sa.Text, nullable=False, server_default=""))
    op.create_index("ao_outbox_pending", "ao_outbox", ["study_id", "delivered_at", "id"])
