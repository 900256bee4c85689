"""The ladder of quantized twins: the plainest form first, and the next one only where that is not as promised."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import VerifyResult
from autoopt.stages.judge import relative_loss
from autoopt.strategies import twin_values
from autoopt.task.facts import TaskFacts

STATIC = "static_int8"
CLIMBS: tuple[Mapping[str, Value], ...] = (
    {"quantize.calibration": "percentile"},
    {"quantize.keep_float": 1},
    {"quantize.keep_float": 2},
    {"quantize.keep_float": 4},
)
"""What is tried of static int8 where it loses too much: other ranges, then the most sensitive layers in float."""
LEAST_S = 1.0
ATTEMPT_SHARE = 1 / 3
"""Of the time that is left, at most, goes into one rung."""

Attempt = Callable[[Mapping[str, Value], float], VerifyResult]
"""Builds and measures the twin of these changes for about so many seconds; the test split is not looked at."""


def rungs_of(recipe: Recipe) -> tuple[Mapping[str, Value], ...]:
    """Changes to a recipe that make its twin, in the order in which to try them; what a recipe has already stays."""
    own = recipe.get("quantize", "none")
    if own != "none":
        return ({"quantize": own},)
    values = twin_values(recipe)
    plain = [{"quantize": value} for value in values]
    if STATIC not in values:
        return tuple(plain)
    place = values.index(STATIC) + 1
    return (*plain[:place], *({"quantize": STATIC, **climb} for climb in CLIMBS), *plain[place:])


def climbed(
    rungs: Sequence[Mapping[str, Value]], attempt: Attempt, facts: TaskFacts, *, until: float
) -> tuple[Mapping[str, Value] | None, tuple[Mapping[str, Any], ...]]:
    """The first rung whose twin is as promised, else the one that lost least; and what was tried, for the manifest.

    It climbs while the time until `until` (time.monotonic) is twice what the last attempt took; the first is always
    made, unless there is no other.
    """
    if len(rungs) < 2:
        return (rungs[0] if rungs else None), ()
    tried: list[Mapping[str, Any]] = []
    losses: list[tuple[float, int]] = []
    for place, rung in enumerate(rungs):
        began = time.monotonic()
        found = attempt(rung, max(LEAST_S, ATTEMPT_SHARE * (until - began)))
        tried.append(told(rung, found))
        if found.twin is not None and not found.twin_reason:
            return rung, tuple(tried)
        losses.append((_lost(facts, found), place))
        if until - time.monotonic() < 2 * (time.monotonic() - began):
            break
    return rungs[min(losses)[1]], tuple(tried)


def told(rung: Mapping[str, Value], found: VerifyResult) -> dict[str, Any]:
    """One attempt, as the manifest has it."""
    twin = found.twin
    measured = {} if twin is None else {"valid": twin.valid.value, "bytes": twin.size_bytes}
    return {"form": dict(rung), **measured, "reason": found.twin_reason}


def _lost(facts: TaskFacts, found: VerifyResult) -> float:
    """How much worse a twin is than the float artifact; what could not be built is worst."""
    twin = found.twin
    return math.inf if twin is None else relative_loss(facts, found.float_artifact.valid.value, twin.valid.value)
