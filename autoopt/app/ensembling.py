"""The end of a search: the best trials' predictions averaged, where that is better, and put on record as a trial."""

import time
from collections.abc import Mapping, Sequence
from typing import Final, final

from autoopt.app.context import StudyContext
from autoopt.app.ensemble_costs import Costs, unquantized
from autoopt.app.jobs import Jobs
from autoopt.executors import Failed
from autoopt.ledger import Ledger, StudyWriter, TrialRow
from autoopt.orchestrator import Observer
from autoopt.orchestrator.attempts import Ending, Running, judged, outcome_of, payload_of, planner_outcome
from autoopt.orchestrator.selection import feasible, quality_order
from autoopt.orchestrator.teacher import teacher_key
from autoopt.planners import Planner
from autoopt.space import Choice, Recipe, Space
from autoopt.space.ensembles import ENSEMBLE, MOST_MEMBERS, Member, ensemble_recipe, is_ensemble, members_of
from autoopt.stages.contract import (
    EVALUATE_ENTRY,
    SELECT_ENTRY,
    EvaluateJob,
    EvaluateResult,
    SelectJob,
    SelectResult,
)
from autoopt.strategies import twin_values
from autoopt.strategies.deploying.ensemble import Ensemble
from autoopt.values import Direction, TrialState

MOST_CANDIDATES: Final = 12
SIZES: Final = (MOST_MEMBERS, 2)
"""Different members at most; where more of them break a limit, fewer are tried."""
LEAST_S: Final = 1.0
"""With less time left nothing is begun that would have to be ended half done."""


def may_combine(space: Space) -> bool:
    """Whether the space leaves a trial that may become a member."""
    values = [d.domain.values for d in space.dimensions if d.name == ENSEMBLE and isinstance(d.domain, Choice)]
    return not values or any(value != "none" for found in values for value in found)


def candidate_trials(trials: Sequence[TrialRow], direction: Direction) -> list[TrialRow]:
    """Trials that may become members, by number: of each kind of model the best, then the second of each, and so on.

    Of trials that only deploy the same training in other forms, one: in float where there is such a trial.
    """
    usable = [t for t in feasible(trials) if not is_ensemble(t.recipe) and t.recipe.get(ENSEMBLE) != "none"]
    trainings: dict[Recipe, TrialRow] = {}
    for trial in sorted(usable, key=lambda t: (t.recipe.get("quantize", "none") != "none", t.number)):
        trainings.setdefault(unquantized(trial), trial)
    ranked = sorted(trainings.values(), key=lambda t: quality_order(t, direction))
    places: dict[object, int] = {}
    turns: dict[int, int] = {}
    for trial in ranked:
        model = trial.recipe.get("model")
        turns[trial.number] = places[model] = places.get(model, 0) + 1
    chosen = sorted(ranked, key=lambda t: turns[t.number])[:MOST_CANDIDATES]  # stable: by quality within a turn
    return sorted(chosen, key=lambda t: t.number)


def member_teachers(recipe: Recipe, trials: Sequence[TrialRow]) -> tuple[str, ...]:
    """Of an ensemble's recipe: what each member learned from, as a key of the store; of another recipe nothing."""
    return tuple(teacher_key(m.recipe, trials) for m in members_of(recipe)) if is_ensemble(recipe) else ()


@final
class Ensembler:
    """Builds ensembles in a study that this process owns. One that is measured is on record whole, or it never was."""

    def __init__(
        self,
        *,
        context: StudyContext,
        ledger: Ledger,
        writer: StudyWriter,
        planner: Planner,
        jobs: Jobs,
        observer: Observer,
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._writer = writer
        self._planner = planner
        self._jobs = jobs
        self._observer = observer

    def build(self, seconds: float) -> None:
        """Select, build, measure and record within about `seconds`; says so where there is none, and why."""
        until = time.monotonic() + seconds
        trials = self._ledger.trials(self._context.study.name)
        candidates = candidate_trials(trials, self._context.facts.metric_direction)
        if len(candidates) < 2 or self._context.facts.came_trained:  # whose forms are all one network
            return
        reason = Ensemble.applies(self._context.facts, self._jobs.slot)
        if reason is None:
            self._observer.phase(f"averaging the predictions of up to {MOST_MEMBERS} of {len(candidates)} trials")
            costs = Costs(feasible(trials), self._context.limits)
            selected = self._select(candidates, costs, until)
            reason = selected if isinstance(selected, str) else self._try_all(selected, trials, costs, until)
        if reason:
            self._observer.phase(f"no ensemble: {reason}")

    def _select(self, candidates: Sequence[TrialRow], costs: Costs, until: float) -> SelectResult | str:
        """The selections, or why there are none."""
        job = SelectJob(
            snapshot=self._context.snapshot,
            store=str(self._context.home.store),
            candidates=tuple((t.number, t.artifact_key) for t in candidates),
            most_members=SIZES,
            seed=self._context.seed,
            shares=tuple(costs.cheapest(t) for t in candidates),
        )
        ended = self._jobs.attempt(SELECT_ENTRY, job.to_json(), seconds=until - time.monotonic())
        if isinstance(ended, Failed):
            return _failure(ended)
        found = SelectResult.from_json(ended.result)
        return found.reason or found

    def _try_all(self, selected: SelectResult, trials: Sequence[TrialRow], costs: Costs, until: float) -> str:
        """Evaluate one after another until one keeps every limit; returns why none was there to be tried."""
        rows = {t.number: t for t in trials}
        known = {t.recipe_sha256: t for t in trials if is_ensemble(t.recipe)}
        for chosen in selected.selections:
            forms = _forms(chosen, rows)
            for recipe in forms if costs.fits(chosen, rows) else forms[1:] or forms:
                there = known.get(recipe.sha256)
                if there is None:
                    left_s = until - time.monotonic()
                    if left_s < LEAST_S:
                        return "the time kept for the end is used up"
                    ended = self._evaluate(recipe, trials, left_s)
                    if isinstance(ended, str):
                        return ended
                    there = ended
                if there.state is not TrialState.INFEASIBLE:
                    return ""
        return ""

    def _evaluate(self, recipe: Recipe, trials: Sequence[TrialRow], seconds: float) -> TrialRow | str:
        """The trial, recorded; or why there is none."""
        began, began_ms = time.monotonic(), int(time.time() * 1000)
        job = EvaluateJob(
            snapshot=self._context.snapshot,
            store=str(self._context.home.store),
            recipe=recipe.to_json(),
            seed=self._context.seed,
            limits=tuple(str(x) for x in self._context.limits),
            quiet=True,
            member_teachers=member_teachers(recipe, trials),
        )
        ended = self._jobs.attempt(EVALUATE_ENTRY, job.to_json(), seconds=seconds)
        if isinstance(ended, Failed) and (ended.cancelled or ended.reason.may_pass):
            return _failure(ended)
        if isinstance(ended, Failed):
            message, detail = ended.message, ended.detail
            ending = Ending(state=TrialState.FAILED, reason=ended.reason.value, message=message, detail=detail)
        else:
            ending = judged(EvaluateResult.from_json(ended.result), self._context.limits)
        running = Running(
            number=self._planner.reserve(),
            recipe=recipe,
            slot=self._jobs.slot,
            attempt=0,
            started=began,
            started_ms=began_ms,
            steps=[],
        )
        return self._record(running, ending)

    def _record(self, running: Running, ending: Ending) -> TrialRow:
        outcome, context = outcome_of(running, ending), self._context
        self._writer.record_result(
            running.number,
            running.recipe.to_json(),
            running.recipe.sha256,
            "ensemble",
            running.slot.index,
            outcome,
            [payload_of(context.study, running, ending)],
        )
        told = planner_outcome(ending.state, outcome.measures, context.objectives, context.limits)
        self._planner.tell(running.number, told)
        trial = self._ledger.trial(context.study.name, running.number)
        self._observer.trial_ended(trial)
        return trial


def _forms(chosen: Mapping[int, int], rows: Mapping[int, TrialRow]) -> list[Recipe]:
    """The ensemble in float, then with its members quantized where they can be."""
    members = [Member(trial=n, weight=w, recipe=Recipe(rows[n].recipe)) for n, w in chosen.items()]
    plain = ensemble_recipe(members)
    return [plain, *(ensemble_recipe(members, quantize=form) for form in twin_values(plain))]


def _failure(ended: Failed) -> str:
    return "it takes longer than the time kept for the end" if ended.cancelled else ended.message
