"""Planners: who decides which recipe is tried next. `autoopt.search.optuna_planner` loads optuna; this does not."""

from autoopt.search.base import KnownTrial, Planner, PlannerOutcome, Proposal
from autoopt.search.random_planner import RandomPlanner

__all__ = ["KnownTrial", "Planner", "PlannerOutcome", "Proposal", "RandomPlanner"]
