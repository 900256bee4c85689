"""Whether ranks that came together for a training stay together: measured, where its recipe leaves that open.

What is compared is fair to a search, which has other trainings for every slot: the samples that the ranks learn from in
a second in lock-step, and those that they learn from side by side, each at a training of its own. Lock-step cannot win
by much, and need not: where it loses nothing beyond the noise, each training ends in a fraction of the time, later
trials know its result, and long ones come to more epochs.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import torch

from autoopt.space.domains import Value
from autoopt.strategies.learning.batch_size import BatchSize
from autoopt.strategies.learning.loader_source import failures_told
from autoopt.strategies.learning.parallel import DDP, NONE, Parallel
from autoopt.strategies.learning.probe import CANDIDATE_S, LEAST_S, SHARE, TURNS, Verdict, settle
from autoopt.strategies.learning.ranks import Ranks
from autoopt.strategies.model import TrainingContext, TrainingData
from autoopt.strategies.networks.speed import TrainingRig, kind_of, sampled, undisturbed

if TYPE_CHECKING:
    from autoopt.strategies.networks.learner import Network

CANDIDATES: Final[Mapping[str, tuple[Value, ...]]] = {Parallel.name: (NONE, DDP)}
LEAST_RATIO: Final = 0.95
"""Of the speed in lock-step to that side by side: less is a loss, and not noise."""
_MEASURE: Final = "measure"
"""What the leader tells the others when no verdict is known."""


def settled_ranks(
    network: "Network", data: TrainingData[Any], context: TrainingContext
) -> tuple[TrainingContext, tuple[str, ...]]:
    """The context with the ranks that train together, itself alone where that does not pay, and a note of why.

    The verdict is kept for machine, slots and architecture, like those of other choices of speed. A recipe that names
    its `parallel` has it.
    """
    began, ranks, store = time.monotonic(), context.ranks, context.store
    if ranks.size == 1 or Parallel.name in context.recipe or store is None:
        return context, ()
    rows = max(data.train.rows, data.facts.rows.get("train", 0))
    total_steps = network.epochs * BatchSize.from_recipe(context.recipe).steps(rows)
    with undisturbed(context) as device:
        sample = sampled(data, network, context.recipe)
        if ranks.leads:
            held_bytes = sum(values.nbytes for values in network.inputs(data.train))
            kind = {**kind_of(network, sample, context, held_bytes), "ranks": ranks.size}

            def measured() -> Verdict:
                ranks.agree(lambda: _MEASURE)
                return _measured(network, sample, context, device, total_steps)

            verdict = settle(kind, CANDIDATES, total_steps, store, measured)
            choice = ranks.agree(lambda: verdict.choices[Parallel.name])
            notes: tuple[str, ...] = (_note(verdict, ranks.size),)
        else:
            choice, notes = ranks.agree(lambda: ""), ()
            if choice == _MEASURE:
                _measured(network, sample, context, device, total_steps)
                choice = ranks.agree(lambda: "")
    context = context.since(began)
    return (context if choice == DDP else replace(context, ranks=Ranks())), notes


def _measured(
    network: "Network", sample: TrainingData[Any], context: TrainingContext, device: torch.device, total_steps: int
) -> Verdict:
    """Both ways in turns, by all ranks at once."""
    began, ranks = time.monotonic(), context.ranks
    assert context.store is not None
    with context.store.scratch() as store, failures_told():
        alone = TrainingRig(network, sample, replace(context, store=store, ranks=Ranks()), device)
        try:
            own_s = min(alone.steps(0.0) for _ in range(3))  # the first step is not like the others
            step_s = ranks.agree(lambda: own_s)
            expected_s = step_s * total_steps
            seconds = min(CANDIDATE_S, SHARE * expected_s)
            if seconds < LEAST_S:
                return _verdict(NONE, 1.0, expected_s, began, measured=0)
            together, count = alone.among(ranks), max(int(seconds / TURNS / 2 / step_s), 1)
            together.take(1)
            ratios = sorted(_ratio(alone, together, count, ranks) for _ in range(TURNS))
        finally:
            alone.close()
    return _verdict(DDP if ratios[1] >= LEAST_RATIO else NONE, median(ratios), expected_s, began, measured=1)


def _ratio(alone: TrainingRig, together: TrainingRig, count: int, ranks: Ranks) -> float:
    """Speed in lock-step as a share of that side by side, in one turn of each: the same on all ranks."""
    ranks.total()  # nobody begins before all are here
    (side_by_side,) = ranks.total(1 / alone.take(count))
    (in_step,) = ranks.total(1 / together.take(count))
    return in_step / ranks.size / side_by_side


def _verdict(choice: str, ratio: float, expected_s: float, began: float, *, measured: int) -> Verdict:
    return Verdict(
        choices={Parallel.name: choice},
        gains={Parallel.name: ratio},
        expected_s=expected_s,
        seconds=time.monotonic() - began,
        measured=measured,
        complete=measured > 0,
    )


def _note(verdict: Verdict, size: int) -> str:
    choice, ratio = verdict.choices[Parallel.name], verdict.gains[Parallel.name]
    if not verdict.measured:
        return f"not probed, the training is short: {Parallel.name}={choice}"
    return f"settled by probe: {Parallel.name}={choice}, as {size} ranks in lock-step had {ratio:.2f}x of their speed"
