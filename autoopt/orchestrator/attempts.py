"""An attempt at work, and how it ended: what is written of it to the ledger and to the tracking side."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from autoopt.executors import Progress
from autoopt.ledger import StudyRow, TrialOutcome
from autoopt.orchestrator.mirror import failure_text, trial_payload
from autoopt.orchestrator.observer import SlotView
from autoopt.planners import PlannerOutcome
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import EvaluateResult
from autoopt.stages.keys import TRAIN
from autoopt.values import QUALITY, FailureReason, Limit, Measures, Objective, Slot, TrialState, broken

MAX_POINTS_KEPT: Final = 2000
"""Of the curves of one training, all together: five curves of 400 epochs."""
VALID: Final = "valid"
"""What a training calls its quality on valid at a step."""
PLANNED_STEPS: Final = "planned_steps"
"""What a training calls the number of steps (epochs) it will take."""


@dataclass(kw_only=True)
class Running:
    """An attempt at work."""

    number: int
    recipe: Recipe
    slot: Slot  # the leader's, where the trial has several
    attempt: int
    started: float
    started_ms: int
    stage: str = ""
    step: int | None = None
    steps: list[tuple[int, str, float]]
    known: dict[str, float] = field(default_factory=dict)  # measures so far, by name: quality from the last step
    rung: str = ""  # why it is being ended at a rung
    peers: tuple[Slot, ...] = ()  # the other slots that it holds

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All slots that it holds."""
        return (self.slot, *self.peers)

    def note(self, event: Progress) -> None:
        """Where the attempt is, and what its training told."""
        self.stage, self.step = event.stage, event.step
        if event.step is None:
            self.known.update(event.values)
            return
        named = {QUALITY if name == VALID else name: value for name, value in event.values.items()}
        self.known.update({name: value for name, value in named.items() if name in (QUALITY, PLANNED_STEPS)})
        if len(self.steps) < MAX_POINTS_KEPT:
            # What follows a training, such as fine-tuning, counts its steps anew: curves of its own.
            before = "" if event.stage == TRAIN else f"{event.stage}/"
            curves = {before + name: value for name, value in event.values.items() if name != PLANNED_STEPS}
            self.steps.extend((event.step, name, value) for name, value in curves.items())


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended, before it is written."""

    state: TrialState
    reason: str = ""
    message: str = ""
    detail: str = ""
    result: EvaluateResult | None = None


def judged(result: EvaluateResult, limits: Sequence[Limit]) -> Ending:
    """Complete, or which limits are broken, by how much."""
    misses = broken(limits, result.measures)
    if not result.infeasible and not misses:
        return Ending(state=TrialState.COMPLETE, result=result)
    told = result.infeasible or ", ".join(
        f"{x.told()} broken: {x.miss_text(result.measures[x.measure].value)}"
        for x in misses
        if x.measure in result.measures
    )
    return Ending(state=TrialState.INFEASIBLE, reason="limit", message=told, result=result)


def planner_outcome(
    state: TrialState, measures: Measures, objectives: Sequence[Objective], limits: Sequence[Limit]
) -> PlannerOutcome:
    """What a planner learns: values where every objective was measured, and how far each limit is broken."""
    complete = all(o.measure in measures for o in objectives)
    return PlannerOutcome(
        state=state,
        values=tuple(measures[o.measure].value for o in objectives) if complete else None,
        constraints={str(x): x.relative_excess(measures[x.measure].value) for x in limits if x.measure in measures},
    )


def payload_of(study: StudyRow, running: Running, ending: Ending) -> dict[str, object]:
    """What the tracking side is told of the attempt's trial."""
    told = ending.message
    if ending.state is TrialState.FAILED:
        told = failure_text(FailureReason(ending.reason), ending.message)
    return trial_payload(
        study,
        number=running.number,
        recipe=running.recipe,
        state=ending.state,
        reason=told,
        measures=ending.result.measures if ending.result else {},
        steps=running.steps,
        started_ms=running.started_ms,
        ended_ms=int(time.time() * 1000),
    )


def outcome_of(running: Running, ending: Ending) -> TrialOutcome:
    """What the ledger keeps."""
    result = ending.result
    return TrialOutcome(
        state=ending.state,
        reason=ending.reason,
        message=ending.message,
        detail=ending.detail,
        seconds=time.monotonic() - running.started,
        measures=result.measures if result else {},
        artifact_key=result.artifact_key if result else "",
        artifact_sha256=result.artifact_sha256 if result else "",
        stages=[s.to_json() for s in result.stages] if result else [],
        notes=list(result.notes) if result else [],
    )


def slot_views(slots: Sequence[Slot], running: Iterable[Running]) -> tuple[SlotView, ...]:
    """What each slot is doing, for whoever watches."""
    views = {s.index: SlotView(slot=s.index) for s in slots}
    for r in running:
        model = str(r.recipe.get("model", ""))
        for slot in r.slots:
            views[slot.index] = SlotView(slot=slot.index, trial=r.number, model=model, stage=r.stage, step=r.step)
    return tuple(views[i] for i in sorted(views))
