"""How the learning rate moves over a training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
EXPONENTIAL_END = 0.01
PLATEAU_EPOCHS = 3
PLATEAU_FACTOR = 0.3


def factor(kind: str, progress: float, rise_share: float) -> float:
    """The share of the peak learning rate at `progress`: 0 at the first step, towards 1 at the last.

    `plateau` is flat here: what lowers it is the valid metric (see Pace).
    """
    if kind == "cosine":
        return _glide(1.0, 0.0, progress)
    if kind == "step":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    if kind == "exponential":
        return math.pow(EXPONENTIAL_END, progress)
    if kind == "one_cycle":
        if progress < rise_share:
            return _glide(ONE_CYCLE_START, 1.0, progress / rise_share)
        return _glide(1.0, ONE_CYCLE_END, (progress - rise_share) / (1 - rise_share))
    return 1.0


def _glide(start: float, end: float, progress: float) -> float:
    """Half a cosine from start to end."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


@final
class Pace:
    """The learning rate of one training, step by step."""

    def __init__(self, schedule: "Schedule", *, peak: float, total_steps: int) -> None:
        self._kind = schedule.kind
        self._rise_share = schedule.rise_share
        self._peak = peak
        rises = schedule.kind != "one_cycle"  # which has a rise of its own
        self._warmup_steps = round(schedule.warmup_share * total_steps) if rises else 0
        self._steps = total_steps - self._warmup_steps
        self._lowered = 1.0
        self._idle_epochs = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self._warmup_steps:
            return self._peak * (step + 1) / self._warmup_steps
        progress = (step - self._warmup_steps) / self._steps
        return self._peak * self._lowered * factor(self._kind, progress, self._rise_share)

    def epoch_ended(self, improved: bool) -> None:
        """Tell whether the valid metric got better; `plateau` lowers the rate after 3 epochs in which it did not."""
        self._idle_epochs = 0 if improved else self._idle_epochs + 1
        if self._kind == "plateau" and self._idle_epochs == PLATEAU_EPOCHS:
            self._lowered *= PLATEAU_FACTOR
            self._idle_epochs = 0

    def state(self) -> dict[str, float]:
        """What the epochs so far have changed, as JSON."""
        return {"lowered": self._lowered, "idle_epochs": self._idle_epochs}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a `state` that was kept."""
        self._lowered, self._idle_epochs = float(state["lowered"]), int(state["idle_epochs"])


@final
@dataclass(frozen=True, kw_only=True)
class Schedule(Strategy):
    """The course of the learning rate, from the optimizer's peak.

    * constant: the peak throughout.
    * cosine: half a cosine from the peak to zero over all epochs (Loshchilov & Hutter 2017); a good default.
    * step: a tenth after half of the steps, a hundredth after three quarters (He et al. 2016).
    * exponential: by the same factor each step, down to a hundredth.
    * plateau: times 0.3 whenever the valid metric has not improved for 3 epochs.
    * one_cycle: up from 1/25 of the peak over `rise_share` of the steps, then down to almost nothing (Smith & Topin
      2018); bears higher peaks, helps short trainings.

    warmup_share 0 to 0.5: the share of the steps over which the rate first rises in a line; one_cycle
    has rise_share 0.05 to 0.6 instead. All are laid out over the full number of epochs; early stopping may cut their
    end off.
    """

    name: ClassVar[str] = "schedule"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.OPTIMIZER
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        "warmup_share": {"schedule": ("constant", "cosine", "step", "plateau", "exponential")},
        "rise_share": {"schedule": ("one_cycle",)},
    }

    kind: str = choice(
        "constant",
        "cosine",
        "step",
        "plateau",
        "one_cycle",
        "exponential",
        main=True,
        help="course of the learning rate",
    )
    warmup_share: float = real(0.0, low=0.0, high=0.5, help="share of the steps over which the rate first rises")
    rise_share: float = real(0.3, low=0.05, high=0.6, help="share of the steps over which one_cycle rises")

    def pace(self, *, peak: float, total_steps: int) -> Pace:
        """The rates of a training of `total_steps` steps."""
        return Pace(self, peak=peak, total_steps=total_steps)
