"""Runs a study: the loop, its clock, what it tells the tracking side, and how its trials are ranked."""

from autoopt.orchestrator.clock import BudgetClock
from autoopt.orchestrator.loop import Outbox, SearchLoop, SearchPlan, StopReason
from autoopt.orchestrator.mirror import model_payload, study_end_payload, study_payload
from autoopt.orchestrator.observer import Observer, Silent, SlotView
from autoopt.orchestrator.selection import PICKS, best, cheapest, feasible, front, nearest_miss

__all__ = [
    "PICKS",
    "BudgetClock",
    "Observer",
    "Outbox",
    "SearchLoop",
    "SearchPlan",
    "Silent",
    "SlotView",
    "StopReason",
    "best",
    "cheapest",
    "feasible",
    "front",
    "model_payload",
    "nearest_miss",
    "study_end_payload",
    "study_payload",
]
