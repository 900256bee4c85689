"""Axes: where a value lies, in per cent of the axis, and which values are named on it."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TICKS = 5
_NICE = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A named place on an axis."""

    at: float  # per cent of the axis
    text: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From `low` (0 %) to `high` (100 %); values beyond are moved to the edge."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Per cent of the axis, between 0 and 100."""
        share = (self._turn(value) - self._turn(self.low)) / (self._turn(self.high) - self._turn(self.low))
        return 100.0 * min(1.0, max(0.0, share))

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return min(self.low, self.high) <= value <= max(self.low, self.high)

    def ticks(self) -> tuple[Tick, ...]:
        """Round values on the axis, about five."""
        low, high = sorted((self.low, self.high))
        values = _log_ticks(low, high) if self.log else []
        return _named(self, values if len(values) > 1 else _linear_ticks(low, high))

    def _turn(self, value: float) -> float:
        return math.log(max(value, 1e-300)) if self.log else value


def latency_scale(values: Sequence[float]) -> Scale:
    """Logarithmic, with a little room at both ends. ValueError without a value above zero."""
    above = [v for v in values if v > 0]
    if not above:
        raise ValueError("no value above zero")
    room = max((max(above) / min(above)) ** 0.06, 1.12)
    return Scale(low=min(above) / room, high=max(above) * room, log=True)


def quality_scale(values: Sequence[float], needed: Iterable[float], *, rising: bool) -> Scale:
    """Linear, better at the far end, wide enough for what is good and all that is `needed`.

    The worst trials of a search say little and would press all others together: values farther from the best than
    three times the better half's spread are left beyond the edge.
    """
    ranked = sorted(values, reverse=rising)
    best, middle = ranked[0], ranked[len(ranked) // 2]
    spread = abs(best - middle) or abs(ranked[-1] - best) or abs(best) * 0.01 or 1.0
    least_room = max(1e-6 * abs(best), 1e-9)  # differences below it are arithmetic, not quality
    worst_near = best - 3 * spread if rising else best + 3 * spread
    shown = [v for v in ranked if (v >= worst_near if rising else v <= worst_near)] + list(needed)
    low, high = min(shown), max(shown)
    room = max(0.08 * (high - low) or 0.5 * spread, least_room)
    return Scale(low=low - room, high=high + room) if rising else Scale(low=high + room, high=low - room)


def _linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in _NICE if n * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        values = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
        if len(values) <= _TICKS + 1:
            return values
    return values[:: math.ceil(len(values) / _TICKS)]


def _named(scale: Scale, values: Sequence[float]) -> tuple[Tick, ...]:
    """All with as many decimals as tell them apart."""
    if scale.log:
        return tuple(Tick(at=scale.at(v), text=f"{v:.12g}" if v >= 1e-4 else f"{v:.0e}") for v in values)
    gaps = [b - a for a, b in itertools.pairwise(values)]
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 3
    big = any(abs(v) >= 1e6 for v in values) or decimals > 8
    return tuple(Tick(at=scale.at(v), text=f"{v:.3g}" if big else f"{v + 0.0:.{decimals}f}") for v in values)
