"""Planners: who decides which recipe is tried next. `autoopt.planners.optuna_planner` loads optuna; this does not."""

from autoopt.planners.base import Climb, KnownTrial, Planner, PlannerOutcome, Proposal
from autoopt.planners.random_planner import RandomPlanner

__all__ = ["Climb", "KnownTrial", "Planner", "PlannerOutcome", "Proposal", "RandomPlanner", "forget_study"]


def forget_study(storage_url: str, study_name: str) -> None:
    """Delete a study from Optuna's tables; nothing happens when it is not there. See OptunaPlanner for the errors."""
    # Loaded here: commands that plan nothing do without optuna.
    from autoopt.planners.optuna_planner import forget

    forget(storage_url, study_name)
