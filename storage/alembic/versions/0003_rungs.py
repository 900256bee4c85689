"""What each training had at its rungs, so that a resumed study goes on comparing.

Rows that are there stay as they are; trials of before have no marks, and nothing is compared with them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "ao_rungs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["study_id", "number"], ["ao_trials.study_id", "ao_trials.number"]),
    )
    op.create_index("ao_rungs_trial", "ao_rungs", ["study_id", "number"])
