"""How many epochs fit into the time there is: measured, because no table knows this network on this machine."""

import time
from itertools import chain, islice, repeat
from typing import Final

import torch

from autoopt.strategies.learning.epoch import Epochs

FIRST_STEPS: Final = 2
"""Not counted: they allocate, compile, start workers and read what later steps find in memory."""
TIMED_STEPS: Final = 20
TIMED_SHARE: Final = 0.02
"""Of the time there is, at most, goes into timed steps; one step is always timed."""


def epochs_that_fit(epochs: Epochs, until: float) -> int:
    """How many of the planned epochs end before `until` (time.monotonic), judgements included; at least one.

    Takes some real steps, loading and augmentation included, and one judgement; the training is then put back, so that
    what it comes to hangs on the number of epochs alone.
    """
    training = epochs.training
    before = training.capture()
    epoch_s = len(epochs.source) * _seconds_per_row(epochs, until) + _seconds_to_judge(epochs)
    training.restore(before)
    return min(max(int((until - time.monotonic()) / max(epoch_s, 1e-9)), 1), training.plan.epochs)


def _seconds_per_row(epochs: Epochs, until: float) -> float:
    """Of training steps, after the first ones."""
    training, rows, seen = epochs.training, len(epochs.source), 0
    training.network.train()
    batches = chain.from_iterable(epochs.batches(torch.randperm(n, generator=training.shuffle)) for n in repeat(rows))
    with training.plan.precision.products():
        for batch in islice(batches, FIRST_STEPS):
            epochs.step(batch)
        _wait(training.device)
        began = time.monotonic()
        enough = began + TIMED_SHARE * (until - began)
        for batch in islice(batches, TIMED_STEPS):
            epochs.step(batch)
            seen += len(batch)
            if time.monotonic() >= enough:
                break
        _wait(training.device)
    return (time.monotonic() - began) / seen


def _seconds_to_judge(epochs: Epochs) -> float:
    began = time.monotonic()
    epochs.judge(epochs.training.network)
    return time.monotonic() - began


def _wait(device: torch.device) -> None:
    """Let a device end what was asked of it: it works while this process goes on."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
