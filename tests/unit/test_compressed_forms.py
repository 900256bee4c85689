"""Which form of a brought graph is exported, and what is said of the others."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support_bundle import trial_row

from autoopt.app.compressing import compress_options
from autoopt.app.forms import ladder
from autoopt.app.pick import settled_pick
from autoopt.cli.compressed import MOST_FORMS, most_telling
from autoopt.errors import OptionError
from autoopt.ledger import TrialRow
from autoopt.orchestrator.selection import TWIN, as_it_came, float_of, is_form, nearest_miss, twin
from autoopt.space import Recipe
from autoopt.values import LATENCY_BATCH_MS, LATENCY_MS, QUALITY_DROP, Limit, Measurement, TrialState

LIMITS = (Limit.parse("quality_drop<=0.5%"),)


def form(
    number: int, quantize: str, *, ms: float, size: float, drop: float = 0.0, batch_ms: float = 1.0, **changes: Any
) -> TrialRow:
    """A form measured with three per cent of noise; infeasible where it loses too much."""
    row = trial_row(number, 0.9 * (1 - drop / 100), ms, size, recipe={"model": "brought", "quantize": quantize})
    spread = {
        m: Measurement(value=v, low=0.97 * v, high=1.03 * v)
        for m, v in ((LATENCY_MS, ms), (LATENCY_BATCH_MS, batch_ms))
    }
    measures = {**row.measures, **spread, QUALITY_DROP: Measurement(value=drop)}
    state = TrialState.INFEASIBLE if drop > LIMITS[0].bound else TrialState.COMPLETE
    return replace(row, **{"measures": measures, "state": state, **changes})


FLOAT = form(0, "none", ms=0.1, size=400)


def test_the_smallest_that_is_not_slower_takes_its_place() -> None:
    slow = form(1, "static_int8", ms=0.2, size=100)
    batch_slow = form(2, "dynamic_int8", ms=0.05, size=110, batch_ms=2.0)
    within_noise = form(3, "fp16", ms=0.104, size=200)
    faster = form(4, "bf16", ms=0.05, size=210)
    assert twin([FLOAT, slow, batch_slow, within_noise, faster], "maximize") is within_noise
    assert twin([FLOAT, slow, batch_slow], "maximize") is FLOAT


def test_a_form_that_does_not_hold_beside_the_float_one_is_passed_over() -> None:
    context: Any = SimpleNamespace(facts=SimpleNamespace(metric_direction="maximize"), limits=LIMITS, tolerance=0.01)
    int8, half = form(1, "static_int8", ms=0.05, size=100), form(2, "fp16", ms=0.1, size=200)
    looked_at: list[int] = []

    def holds(*numbers: int) -> Callable[[TrialRow], bool]:
        return lambda trial: looked_at.append(trial.number) or trial.number in numbers

    def settled(pick: str, *numbers: int) -> TrialRow | None:
        return settled_pick(context, [FLOAT, int8, half], pick, holds(*numbers))

    assert settled(TWIN, 1, 2) is int8
    assert settled(TWIN, 2) is half
    assert settled(TWIN) is FLOAT
    assert looked_at == [1, 1, 2, 1, 2]
    assert settled("1") is int8  # who names a trial gets it
    too_slow = replace(FLOAT, state=TrialState.INFEASIBLE)
    assert settled_pick(context, [too_slow, int8, half], TWIN, holds()) is int8  # there is nothing to be held to
    assert looked_at == [1, 1, 2, 1, 2]


def test_where_the_float_one_breaks_a_limit_the_smallest_that_keeps_them_goes() -> None:
    too_large = replace(FLOAT, state=TrialState.INFEASIBLE)
    slow = form(1, "static_int8", ms=0.2, size=100)
    assert twin([too_large, slow, form(2, "fp16", ms=0.1, size=200)], "maximize") is slow


def test_where_nothing_keeps_the_limits_there_is_a_nearest_miss() -> None:
    worse, bad = (
        form(1, "static_int8", ms=0.05, size=100, drop=9.0),
        form(2, "dynamic_int8", ms=0.05, size=100, drop=2.0),
    )
    assert twin([worse, bad], "maximize") is None
    assert nearest_miss([worse, bad], LIMITS, "maximize") is bad


def test_each_form_is_told_with_why_it_fell() -> None:
    failed = replace(
        trial_row(5, None), recipe={"quantize": "compact"}, state=TrialState.FAILED, message="it has no trees"
    )
    trials = [
        FLOAT,
        form(1, "static_int8", ms=0.05, size=100),
        form(2, "dynamic_int8", ms=0.05, size=100, drop=2.0),
        form(3, "fp16", ms=0.1, size=200),
        form(4, "bf16", ms=0.3, size=90),
        failed,
        replace(FLOAT, number=6, state=TrialState.RUNNING),
    ]
    rungs = ladder(trials, (1, "quantized"), LIMITS)
    assert [r.verdict for r in rungs] == [
        "as it came",
        "exported",
        "breaks quality_drop<=0.5%",
        "larger than the exported one",
        "slower than the float graph with one row",
        "it has no trees",
    ]
    assert [r.number for r in rungs if r.exported] == [1]
    small = (*LIMITS, Limit.parse("size_bytes<=150"))
    verdicts = [
        r.verdict for r in ladder([FLOAT, trials[1], form(2, "fp16", ms=0.3, size=100)], (1, "quantized"), small)
    ]
    assert verdicts[1:] == ["exported", "as small as the exported one, and not faster"]
    assert [r.drop for r in rungs][:3] == ["0 %", "0 %", "2 %"]
    (alone,) = ladder([FLOAT], (0, "float"), LIMITS)
    assert alone.verdict == "exported, as it came: no form takes its place"
    (beside,) = ladder([FLOAT], (0, "quantized"), LIMITS)
    assert "found at the end" in beside.verdict
    assert not beside.exported


@pytest.mark.parametrize(
    ("limits", "bound", "tolerance"),
    [((), "quality_drop<=0.5%", 0.005), (("quality_drop<=2%", "latency_ms<=1"), "quality_drop<=2%", 0.02)],
)
def test_half_a_per_cent_may_be_lost_unless_a_limit_says_else(
    limits: tuple[str, ...], bound: str, tolerance: float
) -> None:
    options = compress_options("model.onnx", rows="rows.npz", limits=limits)
    assert bound in options.limits
    assert sum("quality_drop" in text for text in options.limits) == 1
    assert options.tolerance == pytest.approx(tolerance)


def test_a_bundle_is_sent_elsewhere_and_a_module_brings_its_own_rows() -> None:
    named = {
        "small": "small does not exist",
        "table.csv": "no ONNX file by its name",
        "net.pt": "holds weights of a network",
        "task.py": "none of them is named",
    }
    for source, told in named.items():
        with pytest.raises(OptionError, match=told):
            compress_options(source, rows="rows.npz")
    with pytest.raises(OptionError, match=r"the task's own train, valid and test are the rows"):
        compress_options("task.py:task", rows="rows.npz")
    assert compress_options("task.py:task").space == "built"


def test_a_pruned_network_is_a_form_of_one_that_came_trained() -> None:
    pruned = form(1, "none", ms=0.05, size=200)
    pruned = replace(pruned, recipe={**pruned.recipe, "model": "as_built", "prune": "channels", "prune.share": 0.3})
    tuned = form(2, "static_int8", ms=0.05, size=100)
    taught = {"prune.taught": 0.5, "quantize": "static_int8", "qat": True}
    tuned = replace(tuned, recipe={**pruned.recipe, **taught})
    assert twin([pruned, FLOAT], "maximize") is pruned
    assert [r.form for r in ladder([FLOAT, pruned, tuned], (2, "quantized"), LIMITS)] == [
        "float",
        "pruned 0.3",
        "pruned 0.3, taught, static_int8, qat",
    ]
    assert [is_form(t.recipe, came_trained=True) for t in (FLOAT, pruned, tuned)] == [False, True, True]
    assert not is_form(pruned.recipe, came_trained=False)
    assert as_it_came(float_of(Recipe(tuned.recipe), came_trained=True))
    assert float_of(Recipe(tuned.recipe), came_trained=False)["prune"] == "channels"


def test_of_many_forms_the_screen_shows_the_first_and_the_exported_one() -> None:
    many = [FLOAT, *(form(n, "static_int8", ms=0.05, size=500 - n) for n in range(1, 200))]
    shown = most_telling(ladder(many, (199, "quantized"), LIMITS))
    assert [line.number for line in shown] == [*range(MOST_FORMS), 199]
