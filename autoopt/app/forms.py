"""The forms of a brought graph, side by side: what each measures, and why it is not the one that is exported."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autoopt.app.context import StudyContext
from autoopt.ledger import TrialRow
from autoopt.orchestrator.attempts import planner_outcome
from autoopt.orchestrator.selection import SAME_SIZE, as_it_came, feasible, is_slower, value
from autoopt.report import FormLine
from autoopt.report.wording import NONE, form_words, measure_cells, milliseconds, pruned_words, quantized_form
from autoopt.space import Recipe
from autoopt.strategies import Qat
from autoopt.strategies.deploying.mending import only_mends
from autoopt.values import LATENCY_BATCH_MS, LATENCY_MS, QUALITY, QUALITY_DROP, SIZE_BYTES, Limit, TrialState, broken

EXPORTED = "exported"
AS_IT_CAME = "as it came"
_COLUMNS = (LATENCY_MS, LATENCY_BATCH_MS, QUALITY_DROP, SIZE_BYTES, QUALITY)
BESIDE = "as it came; the form that is exported was found at the end, below"


def shown_forms(
    context: StudyContext, trials: Sequence[TrialRow], exported: tuple[int, str] | None
) -> tuple[tuple[FormLine, ...], str]:
    """`ladder` and `passed_over` of a study; nothing of one that trained its models."""
    if not context.facts.came_trained:
        return (), ""
    return tuple(ladder(trials, exported, context.limits)), passed_over(context.space.portfolio, trials, context.limits)


def ladder(trials: Sequence[TrialRow], exported: tuple[int, str] | None, limits: Sequence[Limit]) -> list[FormLine]:
    """Every form that came to an end, by number; `exported` is the bundle's trial, and which of its pair was chosen."""
    ended = [t for t in trials if t.state.counts]
    original = next((t for t in ended if _is_original(t) and t.measures), None)
    chosen = next((t for t in ended if exported is not None and t.number == exported[0]), None)
    lines = [_line(t, original, chosen, limits) for t in ended]
    if exported is not None and chosen is original and exported[1] != "float":
        return [replace(r, verdict=BESIDE, exported=False) if r.number == exported[0] else r for r in lines]
    return lines


def smallest_of(trials: Sequence[TrialRow]) -> TrialRow | None:
    """The smallest form that keeps the limits, where it is smaller than the float graph; else None."""
    usable = feasible(trials)
    found = min(usable, key=lambda t: value(t, SIZE_BYTES), default=None)
    return None if found is None or _is_original(found) else found


def passed_over(portfolio: Sequence[Recipe], trials: Sequence[TrialRow], limits: Sequence[Limit]) -> str:
    """How many usual forms were not tried, as they could only mend a loss of quality that others do not have.

    `6 forms that only mend a loss of quality were not tried: static_int8 lost 0.1 %; fp16 lost nothing`, '' for none.
    """
    begun = {Recipe(t.recipe) for t in trials}
    whole = [t for t in trials if planner_outcome(t.state, t.measures, (), limits).keeps_quality]
    untried = [r for r in portfolio if r not in begun]
    spared = [t for r in untried if (t := next((t for t in whole if only_mends(r, t.recipe)), None)) is not None]
    if not spared:
        return ""
    lost = dict.fromkeys(f"{form_of(t.recipe)} lost {_lost(value(t, QUALITY_DROP))}" for t in spared)
    forms = "form that only mends" if len(spared) == 1 else "forms that only mend"
    told = f"{len(spared)} {forms} a loss of quality {'was' if len(spared) == 1 else 'were'} not tried"
    return f"{told}: {'; '.join(lost)}"


def _lost(percent: float) -> str:
    return "nothing" if percent <= 0 else f"{percent:.2g} %"


def _line(trial: TrialRow, original: TrialRow | None, chosen: TrialRow | None, limits: Sequence[Limit]) -> FormLine:
    quality, latency, size = measure_cells(trial.measures)
    drop, batch = trial.measures.get(QUALITY_DROP), trial.measures.get(LATENCY_BATCH_MS)
    return FormLine(
        number=trial.number,
        form=form_of(trial.recipe),
        quality=quality,
        drop=NONE if drop is None else f"{drop.value + 0.0:.2g} %",
        latency=latency,
        batch=NONE if batch is None else milliseconds(batch.value),
        size=size,
        verdict=_verdict(trial, original, chosen, limits),
        exported=trial is chosen,
    )


def _is_original(trial: TrialRow) -> bool:
    return as_it_came(trial.recipe)


def form_of(recipe: Mapping[str, Any]) -> str:
    """A recipe of a network that came trained: `pruned 0.3, taught, static_int8, keep_float 1`, `float`."""
    if as_it_came(recipe):
        return "float"
    found = pruned_words(recipe)
    found += [form_words(quantized_form(recipe))] if recipe.get("quantize", "none") != "none" else []
    return ", ".join([*found, *([Qat.name] if Qat.from_recipe(Recipe(recipe)).on else [])])


def _miss(limit: Limit, trial: TrialRow) -> str:
    """The limit that it breaks; by how much where no column of the forms says so."""
    by = "" if limit.measure in _COLUMNS else f": {limit.miss_text(value(trial, limit.measure))}"
    return limit.told() + by


def _verdict(trial: TrialRow, original: TrialRow | None, chosen: TrialRow | None, limits: Sequence[Limit]) -> str:
    if trial.state is TrialState.FAILED:
        return trial.message or trial.reason
    mine = trial is chosen
    misses = ", ".join(_miss(x, trial) for x in broken(limits, trial.measures))
    if misses:
        return (f"{EXPORTED} as the nearest miss: " if mine else "") + f"breaks {misses}"
    if mine:
        return EXPORTED + (f", {AS_IT_CAME}: no form takes its place" if _is_original(trial) else "")
    if _is_original(trial):
        return AS_IT_CAME
    if original is not None and not broken(limits, original.measures):  # else it has no place to keep
        for measure, rows in ((LATENCY_MS, "one row"), (LATENCY_BATCH_MS, "256 rows")):
            if is_slower(trial, original, measure):
                return f"slower than the float graph with {rows}"
    if chosen is not None and SAME_SIZE * value(trial, SIZE_BYTES) >= value(chosen, SIZE_BYTES):
        larger = value(trial, SIZE_BYTES) > SAME_SIZE * value(chosen, SIZE_BYTES)
        return "larger than the exported one" if larger else "as small as the exported one, and not faster"
    return ""
