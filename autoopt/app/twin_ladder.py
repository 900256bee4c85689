"""The ladder of quantized twins: the smallest form first, and the next one only where that is not as promised."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoopt.space import Untold
from autoopt.space.domains import Value
from autoopt.space.ensembles import MEMBERS_FP16
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.stages.judge import bare_reason, relative_loss
from autoopt.strategies import Prune, Qat, Quantize, models, twin_values
from autoopt.strategies.deploying.mending import FINER, KEEP_FLOAT, KEPT_FLOAT
from autoopt.strategies.shrinking.prune import CHANNELS, NONE
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

STATIC = "static_int8"
CLIMBS: tuple[Mapping[str, Value], ...] = (
    {"quantize.calibration": "entropy"},
    {"quantize.calibration": "percentile"},
    {"quantize.keep_float": 1},
    {"quantize.keep_float": 2},
    {"quantize.keep_float": 4},
    {"qat": True},
)
"""What is tried of static int8 where it loses too much: other ranges, then the most sensitive layers in float, then a
short fine-tuning in int8 of the weights that the float artifact keeps."""
SMALLER: tuple[Mapping[str, Value], ...] = tuple(
    {"quantize": "fp16", "prune": CHANNELS, "prune.share": share, "prune.epochs": 8, "prune.rate_share": 1.0}
    for share in (0.5, 0.3)
)
"""After them: smaller networks, cut out of the trained one. Half precision keeps what int8 breaks, and with half of the
channels, or with two thirds, they are smaller than all of them in int8, or as small."""
TAUGHT: Mapping[str, Value] = {"prune.taught": 0.5}
"""By the network that they are cut out of, where they tell classes apart: of values it measured worse."""
TRIMMED = "trimmed"
TRIMS: tuple[Mapping[str, Value], ...] = (
    {"quantize.score_change": 0.2},
    {"quantize.score_change": 0.1},
    {"quantize.score_change": 0.04},
    {"quantize.score_change": 0.01},
)
"""How far trees are trimmed, before the form that loses nothing: the last has cost less than 0.1 % of the metric."""
SAFEST = ("fp16", "compact", MEMBERS_FP16)
"""What is tried where the time gets short: soon made, and with next to no loss."""
LEAST_S = 1.0
ATTEMPT_SHARE = 1 / 6
"""Of the time that is left, at most, goes into one rung: with a third, the first leaves too little for a second."""
LEARNING_SHARE = 0.3
"""The same for a smaller network, which learns for epochs."""

Attempt = Callable[[Mapping[str, Value], float], VerifyResult]
"""Builds and measures the twin of these changes for about so many seconds; the test split is not looked at."""


def rungs_of(recipe: Recipe, *, classifies: bool = True) -> tuple[Mapping[str, Value], ...]:
    """Changes to a recipe that make its twin, in the order in which to try them; what a recipe has already stays."""
    own = recipe.get("quantize", "none")
    if own != "none":
        return ({"quantize": own},)
    values = twin_values(recipe)
    trims = [{"quantize": TRIMMED, **trim} for trim in TRIMS if TRIMMED in values]
    plain = [{"quantize": value} for value in values if value != TRIMMED]
    if STATIC not in values:
        return (*trims, *plain)
    place = plain.index({"quantize": STATIC}) + 1
    climbs = [{"quantize": STATIC, **climb} for climb in CLIMBS]
    if models()[str(recipe["model"])].learns_in_steps and recipe.get("prune", NONE) == NONE:
        climbs += [{**smaller, **(TAUGHT if classifies else {})} for smaller in SMALLER]
    return (*trims, *plain[:place], *climbs, *plain[place:])


def fitting(rungs: Sequence[Mapping[str, Value]], facts: TaskFacts, slot: Slot) -> tuple[Mapping[str, Value], ...]:
    """Those whose form means anything for this task, and can be had here."""

    def fits(rung: Mapping[str, Value]) -> bool:
        kept = Quantize.field_value_applies(KEEP_FLOAT, rung.get(KEPT_FLOAT, 0), facts)
        pruning = Prune.value_applies(rung.get("prune", NONE), facts, slot)
        return not any((kept, pruning, Quantize.value_applies(rung["quantize"], facts, slot)))

    return tuple(rung for rung in rungs if fits(rung))


def why_none_fits(rungs: Sequence[Mapping[str, Value]], facts: TaskFacts, slot: Slot) -> str:
    """Why no form means anything for this task, each reason once; '' where one does, or where there is no form."""
    if fitting(rungs, facts, slot):
        return ""
    reasons = dict.fromkeys(Quantize.value_applies(rung["quantize"], facts, slot) for rung in rungs)
    return "; ".join(reason for reason in reasons if reason and not isinstance(reason, Untold))


def climbed(
    rungs: Sequence[Mapping[str, Value]], attempt: Attempt, facts: TaskFacts, tolerance: float, *, until: float
) -> tuple[Mapping[str, Value] | None, tuple[Mapping[str, Any], ...]]:
    """The first rung whose twin is as promised, None where there is none; and what was tried, for the manifest.

    Rungs that mend a loss of quality are left out where the last form that was built lost none; those that learn, where
    no form has: layers in float may keep quality and make nothing smaller; more layers in float, where fewer were more
    than there are. It climbs while the time until `until` (time.monotonic) is twice what the last attempt took, then
    tries the safest; the first is always made, unless there is no other.
    """
    if len(rungs) < 2:
        return (rungs[0] if rungs else None), ()
    tried: list[Mapping[str, Any]] = []
    left, too_much, ever_too_much = list(rungs), False, False
    while left:
        rung = left.pop(0)
        if tried and _mends_a_loss(rung) and not (ever_too_much if _learns(rung) else too_much):
            continue
        began = time.monotonic()
        share = LEARNING_SHARE if "prune" in rung else ATTEMPT_SHARE
        found = attempt(rung, max(LEAST_S, share * (until - began)))
        tried.append(told(rung, found))
        if found.twin is not None and not found.twin_reason:
            return rung, tuple(tried)
        if found.twin is not None:
            too_much = _loses_too_much(facts, found.float_artifact, found.twin, tolerance)
            ever_too_much |= too_much
        elif KEPT_FLOAT in rung:  # there are no more layers
            left = [other for other in left if int(other.get(KEPT_FLOAT, 0)) < int(rung[KEPT_FLOAT])]
        if until - time.monotonic() < 2 * (time.monotonic() - began):
            left = safer(left)
    return None, tuple(tried)


def safer(rungs: Sequence[Mapping[str, Value]]) -> list[Mapping[str, Value]]:
    """Of these, the one to try where there is time for one; none where all are as daring as the others."""
    return [rung for rung in rungs if rung["quantize"] in SAFEST and rung.get("prune", NONE) == NONE][:1]


def told(rung: Mapping[str, Value], found: VerifyResult) -> dict[str, Any]:
    """One attempt, as the manifest has it."""
    twin, measured = found.twin, {}
    if twin is not None:
        latency_ms = twin.latency["batch_1"]["p50_ms"]
        measured = {"valid": twin.valid.value, "bytes": twin.size_bytes, "latency_ms": latency_ms}
    return {"form": dict(rung), **measured, "reason": bare_reason(found.twin_reason)}


def entered(
    tried: Sequence[Mapping[str, Any]], rung: Mapping[str, Value] | None, found: VerifyResult
) -> tuple[Mapping[str, Any], ...]:
    """`tried` with the last word on a rung, in place of what an attempt at it found."""
    if rung is None:
        return tuple(tried)
    return (*(attempt for attempt in tried if attempt["form"] != dict(rung)), told(rung, found))


def _mends_a_loss(rung: Mapping[str, Value]) -> bool:
    """Whether it does no more than to keep quality that a form before it may have lost."""
    return len(rung) > 1 or rung["quantize"] in FINER


def _learns(rung: Mapping[str, Value]) -> bool:
    """Whether it is fine-tuned before it is deployed."""
    return "prune" in rung or Qat.name in rung


def _loses_too_much(facts: TaskFacts, original: VerifiedArtifact, twin: VerifiedArtifact, tolerance: float) -> bool:
    return relative_loss(facts, original.valid.value, twin.valid.value) > tolerance
