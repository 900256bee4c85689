"""How a network learns: one plain loop in which each strategy has its one place."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor, nn

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.batch_size import BatchSize
from autoopt.strategies.learning.judge import Judge
from autoopt.strategies.learning.optimizer import Optimizer
from autoopt.strategies.learning.precision import Precision
from autoopt.strategies.learning.schedule import Schedule
from autoopt.strategies.learning.source import Source
from autoopt.strategies.model import StepReport
from autoopt.values import FailureReason, Slot


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train: one strategy each, and when to stop."""

    batch_size: BatchSize
    optimizer: Optimizer
    schedule: Schedule
    precision: Precision
    epochs: int
    patience: int  # epochs without a better valid metric after which training ends
    seed: int

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, epochs: int, patience: int, seed: int) -> Self:
        return cls(
            batch_size=BatchSize.from_recipe(recipe),
            optimizer=Optimizer.from_recipe(recipe),
            schedule=Schedule.from_recipe(recipe),
            precision=Precision.from_recipe(recipe),
            epochs=epochs,
            patience=patience,
            seed=seed,
        )


@final
class Best:
    """The best weights so far."""

    def __init__(self, greater_is_better: bool) -> None:
        self._sign = 1.0 if greater_is_better else -1.0
        self.value = math.nan
        self.epoch = 0
        self._weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, value: float, network: nn.Module) -> bool:
        """Keep a copy of the weights if `value` is better than every one before."""
        better = self.epoch == 0 or self._sign * value > self._sign * self.value
        if better:
            self.value, self.epoch = value, epoch
            self._weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return better

    def restore(self, network: nn.Module) -> None:
        network.load_state_dict(self._weights)


@contextlib.contextmanager
def settled(slot: Slot, seed: int) -> Iterator[torch.device]:
    """The slot's device, its thread budget, and torch's random state from `seed`; put back afterwards."""
    device = torch.device(slot.device) if slot.device == "cpu" else torch.device(slot.device, slot.device_index)
    threads = torch.get_num_threads()
    forked = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=forked, device_type=device.type if forked else "cuda"):
        torch.manual_seed(seed)
        torch.set_num_threads(slot.threads)
        try:
            yield device
        finally:
            torch.set_num_threads(threads)


def fit(network: nn.Module, source: Source, judge: Judge, plan: Plan, report: StepReport) -> Best:
    """Train until the epochs are over or patience is; leaves `network` with its best weights.

    Raises StageFailure (not_finite) when the loss stops being a number.
    """
    device = source.device
    loss_of = nn.CrossEntropyLoss() if source.classifies else nn.MSELoss()
    optimizer = plan.optimizer.build(network.parameters())
    pace = plan.schedule.pace(
        peak=plan.optimizer.learning_rate, total_steps=plan.epochs * plan.batch_size.steps(len(source))
    )
    scaler = plan.precision.scaler(device.type)
    shuffle = torch.Generator().manual_seed(plan.seed)
    best = Best(judge.greater_is_better)
    step, rate = 0, 0.0

    for epoch in range(1, plan.epochs + 1):
        started, seen = time.perf_counter(), 0
        total = torch.zeros((), device=device)
        network.train()
        order = torch.randperm(len(source), generator=shuffle)
        for batch in source.batches(plan.batch_size.batches(order)):
            rate = set_rate(optimizer, pace.rate(step))
            with plan.precision.autocast(device.type):
                outputs = network(*batch.inputs)
            loss = loss_of(outputs.float(), batch.target)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            total += loss.detach() * len(batch)
            seen, step = seen + len(batch), step + 1
        train_loss = checked(float(total) / seen, epoch)
        seconds = max(time.perf_counter() - started, 1e-9)
        valid = judge(network)
        improved = best.offer(epoch, valid, network)
        pace.epoch_ended(improved)
        values = {"train_loss": train_loss, "valid": valid, "learning_rate": rate, "samples_per_s": seen / seconds}
        report(epoch, values)
        if epoch - best.epoch >= plan.patience:
            break
    best.restore(network)
    return best


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    """Give every group of parameters the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def checked(train_loss: float, epoch: int) -> float:
    """The loss. Raises StageFailure when it is not finite."""
    if not math.isfinite(train_loss):
        raise StageFailure(
            FailureReason.NOT_FINITE,
            f"the training loss became {train_loss} in epoch {epoch}: a lower optimizer.learning_rate may help",
        )
    return train_loss
