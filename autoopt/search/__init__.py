"""Planners: who decides which recipe is tried next. `autoopt.search.optuna_planner` loads optuna; this does not."""

from autoopt.search.base import KnownTrial, Planner, PlannerOutcome, Proposal
from autoopt.search.random_planner import RandomPlanner

__all__ = ["KnownTrial", "Planner", "PlannerOutcome", "Proposal", "RandomPlanner", "forget_study"]


def forget_study(storage_url: str, study_name: str) -> None:
    """Delete a study from Optuna's tables; nothing happens when it is not there. See OptunaPlanner for the errors."""
    # Loaded here: commands that plan nothing do without optuna.
    from autoopt.search.optuna_planner import forget

    forget(storage_url, study_name)
