"""The ledger: studies, trials and attempts in a SQL database. Our tables are the truth, Optuna's a projection."""

from autoopt.ledger.engines import checked_url, engine_kwargs, tune_sqlite
from autoopt.ledger.ledger import Ledger
from autoopt.ledger.migrations import upgrade
from autoopt.ledger.rows import (
    AttemptRow,
    ExportRow,
    OutboxRow,
    RungRow,
    Source,
    StepRow,
    StudyRow,
    Totals,
    TrialOutcome,
    TrialRow,
)
from autoopt.ledger.writer import StudyWriter

__all__ = [
    "AttemptRow",
    "ExportRow",
    "Ledger",
    "OutboxRow",
    "RungRow",
    "Source",
    "StepRow",
    "StudyRow",
    "StudyWriter",
    "Totals",
    "TrialOutcome",
    "TrialRow",
    "checked_url",
    "engine_kwargs",
    "tune_sqlite",
    "upgrade",
]
