"""How a network learns: one plain loop in which each strategy has its one place.

It is our own because a reader should see it whole, and because of its price: Lightning Fabric, which was measured,
adds 26 microseconds to a step and hides what a step is.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

import torch
from torch import nn

from autoopt.errors import StageFailure
from autoopt.strategies.learning.checkpoint import Checkpoints
from autoopt.strategies.learning.epoch import Epochs
from autoopt.strategies.learning.fitting import epochs_that_fit
from autoopt.strategies.learning.judge import Judge
from autoopt.strategies.learning.loader_source import failures_told
from autoopt.strategies.learning.loss import LossFunction
from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.ranks import Ranks
from autoopt.strategies.learning.source import Source
from autoopt.strategies.learning.teacher import Teacher
from autoopt.strategies.learning.training import Training
from autoopt.strategies.model import StepReport
from autoopt.values import FailureReason, Slot

__all__ = ["Learned", "Plan", "fit", "settled"]

OVERRUN: Final = 1.3
"""A training ends with the epoch it is in where the next would take it beyond this many times its limit."""


@final
@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a training came to."""

    epoch: int  # whose weights are the best, counted from 1
    value: float  # their valid metric
    epochs: int  # done
    notes: tuple[str, ...]
    earlier_s: float = 0.0  # that processes before this one spent on it, where it went on from their checkpoint


@contextlib.contextmanager
def settled(slot: Slot, seed: int) -> Iterator[torch.device]:
    """The slot's device, its thread budget, and torch's random state from `seed`; put back afterwards.

    Raises StageFailure(OUT_OF_MEMORY) where what is done within takes more memory than the device has, and for loader
    workers that die just when `loading` is left, which cannot tell of them any more.
    """
    device = torch.device(slot.device) if slot.device == "cpu" else torch.device(slot.device, slot.device_index)
    threads = torch.get_num_threads()
    forked = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=forked, device_type=device.type if forked else "cuda"):
        torch.manual_seed(seed)
        torch.set_num_threads(slot.threads)
        try:
            with failures_told():
                yield device
        except torch.OutOfMemoryError as error:
            message = f"the network did not fit into the memory of {slot.device}"
            raise StageFailure(FailureReason.OUT_OF_MEMORY, message) from error
        finally:
            torch.set_num_threads(threads)


def fit(
    network: nn.Module,
    source: Source,
    judge: Judge,
    plan: Plan,
    report: StepReport,
    *,
    checkpoints: Path | None = None,
    limit_s: float | None = None,
    least_share: float = 0.0,
    loss: LossFunction | None = None,
    ranks: Ranks | None = None,
    teacher: Teacher | None = None,
) -> Learned:
    """Train until the epochs are over or patience is; leaves `network` with its best weights.

    `checkpoints` is a folder of this training's own: it goes on from what is found there. With `limit_s` as many epochs
    are planned as fit into that many seconds, at least one, and no less than `least_share` of the plan's. `loss` stands
    in for the plan's; of a `teacher` it learns beside it. With `ranks` other processes are in this same call, from the
    same plan and seed, and what the first of them finds holds for all. Raises StageFailure: not_finite when the loss
    stops being a number, no_time where too few epochs fit.
    """
    began, ranks = time.monotonic(), ranks or Ranks()
    classifies = source.classifies or plan.classes > 0  # shares of classes are classes too
    for laid_out in (network, *([teacher.network] if teacher else [])):
        plan.memory_format.lay_out(laid_out)
    training = Training(network, source, plan, judge.greater_is_better)
    kept = Checkpoints(checkpoints, training, len(source))
    epochs = Epochs(
        training=training,
        source=source.shared(ranks),
        judge=judge,
        report=report,
        loss=loss or plan.loss.function(classifies=classifies),
        forward=ranks.forward(network, plan),
        ranks=ranks,
        teacher=teacher,
    )
    slower = False
    told: list[str] = []
    with plan.gradients.lent(network):
        resumed = ranks.agree(kept.resume)
        ranks.begin(training)
        if resumed:
            told.append(f"went on from a checkpoint of epoch {training.epoch}")
        elif limit_s is not None:
            training.lay_out(epochs_that_fit(epochs, began + limit_s, least_share))
        while not training.over and not slower:
            before_s = time.monotonic() - began
            epochs.epoch()
            spent_s = time.monotonic() - began
            kept.offer(spent_s)
            with_another_s = training.seconds + spent_s + (spent_s - before_s)
            slower = ranks.agree(partial(_overruns, with_another_s, limit_s))
    training.best.restore(network)
    return Learned(
        epoch=training.best.epoch,
        value=training.best.value,
        epochs=training.epoch,
        notes=(*notes(training, limit_s), *told),
        earlier_s=training.seconds,
    )


def _overruns(seconds: float, limit_s: float | None) -> bool:
    return limit_s is not None and seconds > OVERRUN * limit_s


def notes(training: Training, limit_s: float | None) -> tuple[str, ...]:
    """What is worth saying of a training that is done."""
    plan, best = training.plan, training.best
    found = [f"best weights: epoch {best.epoch} of at most {training.epochs}"]
    if training.epochs < plan.epochs:
        time_s = "the time there was" if limit_s is None else f"{limit_s:.0f} s"
        found.append(f"{training.epochs} of {plan.epochs} epochs: what fits into {time_s}")
    if not training.over:
        found.append(f"ended after epoch {training.epoch}: epochs took longer than measured before")
    if training.parts > plan.gradients.accumulate:
        found.append(f"each step in {training.parts} parts: a whole batch did not fit into memory")
    return tuple(found)
