"""The schedules give the learning rates that their card promises."""

import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoopt.strategies.learning.schedule import Pace, Schedule

STEPS = 200
KINDS = ("constant", "cosine", "step", "plateau", "one_cycle", "exponential")


def rates(kind: str, *, warmup_share: float = 0.0, peak: float = 0.1) -> list[float]:
    pace = Schedule(kind=kind, warmup_share=warmup_share).pace(peak=peak, total_steps=STEPS)
    return [pace.rate(step) for step in range(STEPS)]


def test_constant() -> None:
    assert set(rates("constant")) == {0.1}


def test_step() -> None:
    found = rates("step")
    assert found[:100] == pytest.approx([0.1] * 100)
    assert found[100:150] == pytest.approx([0.01] * 50)
    assert found[150:] == pytest.approx([0.001] * 50)


def test_cosine_is_that_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
    for rate in rates("cosine"):
        assert rate == pytest.approx(theirs.get_last_lr()[0], rel=1e-6, abs=1e-9)
        optimizer.step()
        theirs.step()


def test_one_cycle_rises_over_three_tenths_and_falls_to_almost_nothing() -> None:
    found = rates("one_cycle")
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[60] == pytest.approx(0.1)
    assert found[:61] == sorted(found[:61])
    assert found[60:] == sorted(found[60:], reverse=True)
    assert found[-1] < 1e-4


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_one_cycle_rises_over_the_share_that_is_asked_for(share: float) -> None:
    pace = Schedule(kind="one_cycle", rise_share=share).pace(peak=0.1, total_steps=STEPS)
    found = [pace.rate(step) for step in range(STEPS)]
    assert found.index(max(found)) == share * STEPS


def test_exponential_falls_by_the_same_factor_to_a_hundredth() -> None:
    found = rates("exponential")
    factors = [after / before for before, after in pairwise(found)]
    assert factors == pytest.approx([factors[0]] * (STEPS - 1))
    assert found[0] == pytest.approx(0.1)
    assert found[-1] * factors[0] == pytest.approx(0.001)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pace_goes_on_from_what_was_kept_of_it(kind: str) -> None:
    first, second = (Schedule(kind=kind).pace(peak=0.1, total_steps=STEPS) for _ in range(2))
    for _ in range(4):
        first.epoch_ended(improved=False)
    second.load(json.loads(json.dumps(first.state())))
    for _ in range(2):
        first.epoch_ended(improved=False)
        second.epoch_ended(improved=False)
    assert [first.rate(s) for s in range(STEPS)] == [second.rate(s) for s in range(STEPS)]


def idle_until_lowered(pace: Pace) -> int:
    before = pace.rate(5)
    for epoch in range(1, 20):
        pace.epoch_ended(improved=False)
        if pace.rate(5) != before:
            assert pace.rate(5) == pytest.approx(before * 0.3)
            return epoch
    return 0


def test_plateau_lowers_after_three_idle_epochs_and_again() -> None:
    pace = Schedule(kind="plateau").pace(peak=0.1, total_steps=STEPS)
    pace.epoch_ended(improved=False)
    pace.epoch_ended(improved=True)
    assert idle_until_lowered(pace) == 3
    assert idle_until_lowered(pace) == 3


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "plateau"])
def test_only_plateau_looks_at_the_metric(kind: str) -> None:
    assert idle_until_lowered(Schedule(kind=kind).pace(peak=0.1, total_steps=STEPS)) == 0


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "one_cycle"])
def test_warm_up_rises_in_a_line_to_the_peak_and_the_schedule_follows(kind: str) -> None:
    found = rates(kind, warmup_share=0.1)
    assert found[:20] == pytest.approx([0.1 * (i + 1) / 20 for i in range(20)])
    assert found[20] == pytest.approx(0.1)


@given(kind=st.sampled_from(KINDS), share=st.floats(0, 0.5), steps=st.integers(1, 300), peak=st.floats(1e-5, 1.0))
def test_rates_stay_between_zero_and_the_peak(kind: str, share: float, steps: int, peak: float) -> None:
    pace = Schedule(kind=kind, warmup_share=share).pace(peak=peak, total_steps=steps)
    found = [pace.rate(step) for step in range(steps)]
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in found)
