"""One epoch: steps over all rows, then the judgement."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from torch import Tensor

from autoopt.devices import peak_memory_bytes
from autoopt.errors import StageFailure
from autoopt.strategies.learning.gradients import parts
from autoopt.strategies.learning.judge import Judge
from autoopt.strategies.learning.loss import LossFunction
from autoopt.strategies.learning.optimizer import set_rate
from autoopt.strategies.learning.ranks import Ranks
from autoopt.strategies.learning.source import Batch, Source
from autoopt.strategies.learning.teacher import Teacher
from autoopt.strategies.learning.training import Training
from autoopt.strategies.model import StepReport
from autoopt.values import FailureReason

SIGN_OF_LIFE_S: Final = 20.0
"""An epoch longer than this says in between that it goes on: without a word for minutes, a training counts as hung."""


@final
class Due:
    """True once every so many seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self.restart()

    def restart(self) -> None:
        self._last = time.monotonic()

    def __call__(self) -> bool:
        due = time.monotonic() - self._last >= self._every_s
        if due:
            self.restart()
        return due


@final
@dataclass(frozen=True, kw_only=True)
class Epochs:
    """Takes a training forward, a step or an epoch at a time."""

    training: Training
    source: Source
    judge: Judge
    report: StepReport
    loss: LossFunction
    forward: Callable[..., Any]  # what is called in the network's place: it shares its weights
    ranks: Ranks = field(default_factory=Ranks)  # whose shares `source` gives
    teacher: Teacher | None = None
    due: Due = field(default_factory=lambda: Due(SIGN_OF_LIFE_S))

    def epoch(self) -> None:
        """Once over all rows, judged and reported. Raises StageFailure (not_finite)."""
        training, began, seen = self.training, time.perf_counter(), 0
        total = torch.zeros((), device=training.device)
        self.ranks.begin_epoch(training)
        training.network.train()
        with training.plan.precision.products():
            for batch in self.batches(torch.randperm(len(self.source), generator=training.shuffle)):
                rate = training.rate
                loss, rows = self.step(batch), batch.counted
                total += loss * rows
                seen += rows
                if self.due():
                    self.report(training.epoch + 1, {})
        training.epoch += 1
        summed, all_seen = self.ranks.total(float(total), seen)
        values = {
            "train_loss": checked(summed / all_seen, training.epoch),
            "samples_per_s": all_seen / max(time.perf_counter() - began, 1e-9),
            "learning_rate": rate,
            "valid": self.judged(),
            "planned_steps": float(training.epochs),
            "peak_memory_mb": peak_bytes_on(training.device) / 1e6,
        }
        self.report(training.epoch, values)
        self.due.restart()

    def batches(self, order: Tensor, *, progress: float | None = None) -> Iterator[Batch]:
        """The batches of rows in this order (rows,), augmented, and resized as of the training's own `progress`."""
        training, plan = self.training, self.training.plan
        progress = training.progress if progress is None else progress
        for batch in self.source.batches(plan.batch_size.batches(order)):
            augmented = plan.augment.apply(batch, training.noise, plan.classes)
            yield plan.resizing.apply(augmented, progress, plan.image_axes)

    def step(self, batch: Batch) -> Tensor:
        """One step of the optimizers; its mean loss, on the device.

        A batch that does not fit into memory is tried again in twice as many parts, which the training then keeps.
        """
        while (loss := self._gradients(batch)) is None:
            self.training.parts *= 2
        training, rate = self.training, self.training.rate
        self.ranks.add_up(training.network, batch.part)
        for optimizer in training.optimizers:
            set_rate(optimizer, rate)
            if training.plan.gradients.clip_norm > 0:
                training.scaler.unscale_(optimizer)
        training.plan.gradients.clip(training.network.parameters())
        for optimizer in training.optimizers:
            training.scaler.step(optimizer)
        training.scaler.update()
        training.step += 1
        if training.average is not None:
            training.average.update(training.network, training.step)
        return loss

    def _gradients(self, batch: Batch) -> Tensor | None:
        """Fill the gradients; the mean loss, or None when memory ran out and smaller parts are possible."""
        training, total = self.training, None
        for optimizer in training.optimizers:
            optimizer.zero_grad(set_to_none=True)
        cut = parts(batch, training.parts)
        try:
            for part in cut:
                loss = self._loss(part)
                if len(cut) > 1:
                    loss = loss * (len(part) / len(batch))
                training.scaler.scale(loss).backward()
                total = loss.detach() if total is None else total + loss.detach()
        except torch.OutOfMemoryError:
            if len(parts(batch, 2 * training.parts)) == len(cut):
                raise
            return None
        return total

    def _loss(self, batch: Batch) -> Tensor:
        teacher = self.teacher
        with self.training.plan.precision.autocast(self.training.device.type):
            outputs = self.forward(*batch.inputs)
            answers = None if teacher is None else teacher.answers(batch.inputs)
        loss = self.loss(outputs.float(), batch.target)
        return loss if teacher is None or answers is None else teacher.mixed(loss, outputs.float(), answers.float())

    def judged(self) -> float:
        """Judge the network as it is now; the best is kept, and the schedule is told."""
        training = self.training
        with training.judged():
            valid = self.ranks.agree(lambda: self.judge(training.network))
            improved = training.best.offer(training.epoch, valid, training.network)
        training.pace.epoch_ended(improved)
        return valid


def checked(train_loss: float, epoch: int) -> float:
    """The loss. Raises StageFailure when it is not finite."""
    if not math.isfinite(train_loss):
        raise StageFailure(
            FailureReason.NOT_FINITE,
            f"the training loss became {train_loss} in epoch {epoch}: a lower optimizer.learning_rate may help, or "
            "precision: fp32 where it is another",
        )
    return train_loss


def peak_bytes_on(device: torch.device) -> int:
    """Most that was in use so far: of the device's own memory by torch, or of the machine's by this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return peak_memory_bytes()
