"""Which trial a pick names."""

from collections.abc import Callable, Sequence

from autoopt.app.context import StudyContext
from autoopt.errors import OptionError, StudyError
from autoopt.ledger import TrialRow
from autoopt.orchestrator.selection import PICKS, TWIN, as_it_came, best, cheapest, feasible, nearest_miss, twin
from autoopt.values import LATENCY_MS, SIZE_BYTES


def picked(context: StudyContext, trials: Sequence[TrialRow], pick: str) -> TrialRow | None:
    """The trial of 'best', 'fastest', 'smallest', 'twin' or a number; the nearest miss where no trial is feasible.

    None when no trial left anything. Raises OptionError for other words, StudyError for a trial that left nothing.
    """
    direction = context.facts.metric_direction
    if pick == "best":
        found = best(trials, direction)
    elif pick == TWIN:
        found = twin(trials, direction)
    elif pick in PICKS:
        measure = LATENCY_MS if pick == "fastest" else SIZE_BYTES
        found = cheapest(trials, direction, context.tolerance, measure)
    elif pick.isdecimal():
        chosen = [t for t in trials if t.number == int(pick)]
        if not chosen or not chosen[0].artifact_key:
            told = "left nothing to export" if chosen else "is not there"
            raise StudyError(f"Trial {pick} of study {context.study.name!r} {told}. `autoopt show` lists the trials.")
        return chosen[0]
    else:
        raise OptionError(f"--pick {pick!r} names no trial.", f"Give {', '.join(PICKS)} or a trial's number.")
    return found or nearest_miss(trials, context.limits, direction)


def settled_pick(
    context: StudyContext, trials: Sequence[TrialRow], pick: str, as_promised: Callable[[TrialRow], bool]
) -> TrialRow | None:
    """The same; but a form takes the place of a float graph that keeps the limits only where it is `as_promised`.

    What its trial found was measured alone. Where it does not hold beside the float graph, the next one is looked at,
    at last the float graph itself.
    """
    left = list(trials)
    while True:
        found = picked(context, left, pick)
        replaces = pick == TWIN and found is not None and not as_it_came(found.recipe)
        if found is None or not replaces or not any(as_it_came(t.recipe) for t in feasible(left)) or as_promised(found):
            return found
        left.remove(found)
