"""How many epochs fit into the time there is: measured, because no table knows this network on this machine."""

import time
from itertools import chain, islice, repeat
from typing import Final

import torch

from autoopt.errors import StageFailure
from autoopt.strategies.learning.epoch import Epochs
from autoopt.values import FailureReason

FIRST_STEPS: Final = 2
"""Not counted: they allocate, compile, start workers and read what later steps find in memory."""
TIMED_STEPS: Final = 20
TIMED_SHARE: Final = 0.02
"""Of the time there is, at most, goes into timed steps; one step is always timed."""
HOPELESS: Final = 1.6
"""An epoch that takes this many times the time there is would be cut off by the end of the search."""
ENOUGH: Final = 30
"""Plans of more epochs than this mostly end by patience."""
SHORT_S: Final = 20.0
"""An epoch shorter than this is begun all the same: in a short search it may be all that there will be."""


def epochs_that_fit(epochs: Epochs, until: float, least_share: float = 0.0) -> int:
    """How many of the planned epochs end before `until` (time.monotonic), judgements included; at least one.

    Takes some real steps, loading and augmentation included, and one judgement; the training is then put back, so that
    what it comes to hangs on the number of epochs alone. Raises StageFailure (no_time) where not even one would end, or
    fewer than `least_share` of those planned, of which no more than ENOUGH count.
    """
    training, limit_s = epochs.training, until - time.monotonic()
    before = training.capture()
    train_s = len(epochs.source) * _seconds_per_row(epochs, until, progress=1.0)
    if epochs.ranks.agree(lambda: train_s > max(HOPELESS * limit_s, SHORT_S)):
        message = f"one epoch takes about {train_s:,.0f} s, and there are {limit_s:,.0f} s for the training"
        raise StageFailure(FailureReason.NO_TIME, message)
    if (resizing := training.plan.resizing).grows:
        first_s = len(epochs.source) * _seconds_per_row(epochs, until, progress=0.0)
        train_s = resizing.mean_epoch_s(first_s, train_s, training.plan.epochs)
    epoch_s = train_s + _seconds_to_judge(epochs)
    training.restore(before)
    planned = training.plan.epochs
    fitting = epochs.ranks.agree(lambda: min(int((until - time.monotonic()) / max(epoch_s, 1e-9)), planned))
    if fitting < least_share * min(planned, ENOUGH):
        message = f"{fitting} of {planned} epochs would fit into {limit_s:,.0f} s: too few to tell what it can do"
        raise StageFailure(FailureReason.NO_TIME, message)
    return max(fitting, 1)


def _seconds_per_row(epochs: Epochs, until: float, *, progress: float) -> float:
    """Of training steps at that progress, after the first ones; of those where they take all the time."""
    training, ranks, rows, seen = epochs.training, epochs.ranks, len(epochs.source), 0

    def is_past(moment: float) -> bool:
        return ranks.agree(lambda: time.monotonic() >= moment)

    training.network.train()
    orders = (torch.randperm(n, generator=training.shuffle) for n in repeat(rows))
    batches = chain.from_iterable(epochs.batches(order, progress=progress) for order in orders)
    began, enough = time.monotonic(), until
    with training.plan.precision.products():
        for taken, batch in enumerate(islice(batches, FIRST_STEPS + TIMED_STEPS), start=1):
            epochs.step(batch)
            seen += batch.counted
            if is_past(enough):
                break
            if taken == FIRST_STEPS:
                _wait(training.device)
                began, seen = time.monotonic(), 0
                enough = began + TIMED_SHARE * (until - began)
        _wait(training.device)
    (all_seen,) = ranks.total(seen)
    return (time.monotonic() - began) / all_seen


def _seconds_to_judge(epochs: Epochs) -> float:
    began = time.monotonic()
    epochs.ranks.agree(lambda: epochs.judge(epochs.training.network))
    return time.monotonic() - began


def _wait(device: torch.device) -> None:
    """Let a device end what was asked of it: it works while this process goes on."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
