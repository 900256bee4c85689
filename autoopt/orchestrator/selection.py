"""Which trials are best, fastest, smallest, and on the front: pure functions over the ledger's rows.

`best` is our own answer over complete, feasible trials, never Optuna's, which counts a trial without constraints as
feasible.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoopt.ledger import TrialRow
from autoopt.space.recipe import Recipe
from autoopt.values import (
    LATENCY_BATCH_MS,
    LATENCY_MS,
    QUALITY,
    SIZE_BYTES,
    Direction,
    Limit,
    Objective,
    TrialState,
    faster_beyond_noise,
)

PICKS = ("best", "fastest", "smallest")
TWIN = "twin"
"""Of a graph that is compressed: what takes its place."""
SAME_SIZE = 1.02
"""What is less than two per cent larger is as small."""


def value(trial: TrialRow, measure: str) -> float:
    """A trial's measure; infinity where it was never taken, so that it loses every comparison of costs."""
    return trial.measures[measure].value if measure in trial.measures else float("inf")


def loss(trial: TrialRow, objective: Objective) -> float:
    """The objective's value turned so that less is better."""
    if objective.measure not in trial.measures:
        return float("inf")
    found = trial.measures[objective.measure].value
    return -found if objective.direction == "maximize" else found


def feasible(trials: Iterable[TrialRow]) -> list[TrialRow]:
    """Complete trials that keep every limit."""
    return [t for t in trials if t.state is TrialState.COMPLETE and t.artifact_key]


def provisional(trial: TrialRow) -> bool:
    """Whether the trial's latency was taken beside other work and not measured again since."""
    return LATENCY_MS in trial.measures and trial.measures[LATENCY_MS].provisional


def quality_order(trial: TrialRow, direction: Direction) -> tuple[float, bool, float, float, int]:
    """Sort key: quality first, then latency, then size, then the older one.

    A provisional latency never wins against one that was taken on the quiet machine.
    """
    quality = Objective(measure=QUALITY, direction=direction)
    return (
        loss(trial, quality),
        provisional(trial),
        value(trial, LATENCY_MS),
        value(trial, SIZE_BYTES),
        trial.number,
    )


def best(trials: Iterable[TrialRow], direction: Direction) -> TrialRow | None:
    """Highest valid quality among feasible trials."""
    return min(feasible(trials), key=lambda t: quality_order(t, direction), default=None)


def within_tolerance(quality: float, reference: float, direction: Direction, tolerance: float) -> bool:
    """Whether a quality is at most `tolerance` (relative) worse than a reference."""
    lost = reference - quality if direction == "maximize" else quality - reference
    return lost <= tolerance * abs(reference) + 1e-12


def cheapest(trials: Sequence[TrialRow], direction: Direction, tolerance: float, measure: str) -> TrialRow | None:
    """Least latency or size among the feasible trials within `tolerance` of the best quality."""
    top = best(trials, direction)
    if top is None:
        return None
    reference = value(top, QUALITY)
    near = [t for t in feasible(trials) if within_tolerance(value(t, QUALITY), reference, direction, tolerance)]
    return min(near, key=lambda t: (value(t, measure), *quality_order(t, direction)))


def as_it_came(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe changes nothing of a network that came trained."""
    return all(recipe.get(name, "none") == "none" for name in ("quantize", "prune"))


def is_form(recipe: Mapping[str, Any], *, came_trained: bool) -> bool:
    """Whether a trial deploys something beside its float artifact: of what came trained, a pruned one is a form too."""
    return not as_it_came(recipe) if came_trained else bool(recipe.get("quantize", "none") != "none")


def float_of(recipe: Recipe, *, came_trained: bool) -> Recipe:
    """The recipe of its float artifact: the same weights, or what came trained as it came."""
    changes = {"quantize": "none"} | ({"prune": "none"} if came_trained and "prune" in recipe else {})
    return recipe.replace(changes)


def twin(trials: Sequence[TrialRow], direction: Direction) -> TrialRow | None:
    """The smallest feasible trial that is not slower than the float one; that one itself where there is none.

    Where the float one is not feasible, what is smallest of those that are. Of those that are as small, the fastest.
    """
    usable = feasible(trials)
    original = next((t for t in usable if as_it_came(t.recipe)), None)
    if original is not None:
        usable = [original, *(t for t in usable if _takes_its_place(t, original))]
    least = min((value(t, SIZE_BYTES) for t in usable), default=0.0)
    as_small = [t for t in usable if value(t, SIZE_BYTES) <= SAME_SIZE * least]
    return min(as_small, key=lambda t: (value(t, LATENCY_MS), *quality_order(t, direction)), default=None)


def _takes_its_place(trial: TrialRow, original: TrialRow) -> bool:
    return trial is not original and not any(is_slower(trial, original, m) for m in (LATENCY_MS, LATENCY_BATCH_MS))


def is_slower(trial: TrialRow, other: TrialRow, measure: str) -> bool:
    """Whether a latency is higher beyond the noise; one that was never taken is."""
    mine, theirs = trial.measures.get(measure), other.measures.get(measure)
    if mine is None or theirs is None:
        return mine is None
    high = theirs.value if theirs.high is None else theirs.high
    low = mine.value if mine.low is None else mine.low
    return faster_beyond_noise(theirs.value, high, than_median=mine.value, than_low=low)


def front(trials: Iterable[TrialRow], objectives: Sequence[Objective]) -> list[TrialRow]:
    """Feasible trials that no other beats on every objective, best first by the first objective."""
    ranked = sorted(feasible(trials), key=lambda t: ([loss(t, o) for o in objectives], t.number))
    kept: list[TrialRow] = []
    seen: list[list[float]] = []
    for trial in ranked:
        mine = [loss(trial, o) for o in objectives]
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) for other in seen):
            kept.append(trial)
            seen.append(mine)
    return kept


def nearest_miss(trials: Iterable[TrialRow], limits: Sequence[Limit], direction: Direction) -> TrialRow | None:
    """Among trials that left an artifact and break a limit: the one that breaks them least.

    One whose limited measure was never taken comes last.
    """

    def excess(trial: TrialRow) -> float:
        return sum(max(0.0, x.relative_excess(value(trial, x.measure))) for x in limits)

    missed = [t for t in trials if t.state is TrialState.INFEASIBLE and t.artifact_key and QUALITY in t.measures]
    return min(missed, key=lambda t: (excess(t), *quality_order(t, direction)), default=None)
