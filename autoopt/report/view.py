"""What a report shows."""

from dataclasses import dataclass
from html import escape

from autoopt.ledger import StudyRow, TrialRow
from autoopt.stages.contract import VerifyResult
from autoopt.task.facts import TaskFacts
from autoopt.values import Limit, Objective


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """A study as the report sees it."""

    study: StudyRow
    facts: TaskFacts
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    trials: tuple[TrialRow, ...]
    front: tuple[TrialRow, ...]
    best: TrialRow | None
    verified: VerifyResult | None
    test_looks: int


def render_report(view: StudyView) -> str:
    """The page."""
    return f"<!doctype html><title>{escape(view.study.name)}</title>"
