"""Which way of running a graph is fastest here: measured in turns with the best so far, one choice at a time.

First the runtime, then what the best one can be told: threads, onnxruntime's optimizations, its arena. A candidate
takes the best one's place when it gives the same scores and is faster beyond the noise, twice, at one row or at a
batch, and slower at neither. Without such a one it stays what it was: at an export what trials are measured with.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, final

from autoopt.errors import BundleError
from autoopt.runtime.engines import engine
from autoopt.runtime.front import Feed
from autoopt.runtime.serving import Serving
from autoopt.runtime.session import Runner
from autoopt.runtime.timing import Call, in_turns, latency

GAIN: Final = 1.05
"""A candidate must be so many times faster: less than that is noise, and the simpler choice stays."""
TURNS: Final = 5
CANDIDATE_S: Final = 0.4
"""Of measuring for one candidate, at most: half of it is spent on what it is compared with."""
LEAST_S: Final = 0.04
"""With less than this for a candidate nothing is measured."""
FIGURES_SHARE: Final = 0.2
"""Of the time: for the figures of what was chosen beside the plain way."""

NO_TIME: Final = "no time was left"
"""Why a candidate was not measured."""
CALL_S: Final = 0.02
"""About how long a call of the batch that is measured may take: larger ones would leave no time for turns."""

Accept = Callable[[Runner], str]
"""Why the scores that a runner gives are not accepted; '' when they are."""


@final
@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is run: feeds of one row, and feeds of as many rows as a batch has."""

    single: Sequence[Feed]
    batch: Sequence[Feed]

    @property
    def batch_rows(self) -> int:
        return len(next(iter(self.batch[0].values())))


@final
@dataclass(frozen=True, kw_only=True)
class Tried:
    """A way of running that was looked at. Gains are times the speed of the best so far; None where not measured."""

    serving: Serving
    taken: bool = False
    reason: str = ""  # why it could not even be measured
    single_gain: float | None = None
    batch_gain: float | None = None

    def to_json(self) -> dict[str, Any]:
        gains = {"gain_1": self.single_gain, "gain_batch": self.batch_gain}
        measured = {name: round(value, 3) for name, value in gains.items() if value is not None}
        return {**self.serving.to_json(), "taken": self.taken, **measured, "reason": self.reason}


@final
@dataclass(frozen=True, kw_only=True)
class Fastest:
    """What was chosen; milliseconds of a call, and times the speed of what it began with: else the plain way."""

    serving: Serving
    single_ms: float
    batch_ms: float
    batch_rows: int
    single_gain: float
    batch_gain: float
    tried: tuple[Tried, ...]

    def to_json(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {
            **self.serving.to_json(),
            "ms_1": self.single_ms,
            "ms_batch": self.batch_ms,
            "batch_rows": self.batch_rows,
            "gain_1": round(self.single_gain, 3),
            "gain_batch": round(self.batch_gain, 3),
            "tried": [t.to_json() for t in self.tried],
        }


def fitting_rows(runner: Runner, feed: Feed) -> int:
    """How many of these rows a call may have to take no longer than CALL_S; one at least. Raises BundleError."""
    rows = len(next(iter(feed.values())))
    took_s = min(_call_s(lambda: runner.run(feed), 0.0) for _ in range(2))
    return max(1, min(rows, int(rows * CALL_S / took_s)))


def fastest(
    content: bytes,
    rows: Rows,
    accept: Accept,
    *,
    runtimes: Sequence[str],
    cores: int,
    seconds: float,
    start: Serving = Serving(),  # noqa: B008  # frozen
) -> Fastest:
    """Measure for about `seconds`; loading a graph and accepting its scores come on top for the one under way.

    `runtimes`: which may be chosen. Where that of `start` is not among them, the first of them that can run the graph
    needs not be faster. Raises BundleError for a graph that `start` cannot run.
    """
    return _Probe(content, rows, accept, seconds, start).settled(runtimes, cores)


@final
class _Rival:
    """One way of running the graph, loaded."""

    def __init__(self, serving: Serving, runner: Runner, rows: Rows) -> None:
        self.serving = serving
        self.runner = runner
        self.calls: tuple[Call, Call] = (in_turns(runner.run, rows.single), in_turns(runner.run, rows.batch))

    @classmethod
    def loaded(cls, content: bytes, serving: Serving, rows: Rows) -> Self:
        chosen = engine(serving.runtime)
        if chosen is None:
            raise BundleError(f"{serving.runtime!r} is no runtime that is known here")
        return cls(serving, chosen.load(content, serving), rows)


@final
class _Probe:
    def __init__(self, content: bytes, rows: Rows, accept: Accept, seconds: float, start: Serving) -> None:
        self._content = content
        self._rows = rows
        self._accept = accept
        self._start = self._best = _Rival.loaded(content, start, rows)
        self._turns_s = 2 * TURNS * sum(_call_s(call, 0.0) for call in self._start.calls)
        self._tried: list[Tried] = []
        self._figures_s = FIGURES_SHARE * seconds
        self._until = time.monotonic() + seconds - self._figures_s

    def settled(self, runtimes: Sequence[str], cores: int) -> Fastest:
        others = [name for name in runtimes if name != self._start.serving.runtime]
        forced = len(others) == len(runtimes)
        later = len(_changes(self._start.serving, cores))
        for place, name in enumerate(others):
            wins = forced and self._best is self._start
            self._try(Serving(runtime=name), left=len(others) - place + later, wins=wins)
        changes = _changes(self._best.serving, cores)
        for place, change in enumerate(changes):
            self._try(replace(self._best.serving, **change), left=len(changes) - place)
        return self._figures(forced)

    def _try(self, serving: Serving, *, left: int, wins: bool = False) -> None:
        """Look at one candidate, of so many that are `left`; `wins`: unless it cannot run the graph."""
        left_s = self._until - time.monotonic()
        share_s = min(CANDIDATE_S, left_s / (left + 1))  # one of them may have to win twice
        due_s = max(LEAST_S * left, self._turns_s + _load_s(serving))
        if left_s < due_s and not wins:
            self._tried.append(Tried(serving=serving, reason=NO_TIME))
            return
        try:
            rival = _Rival.loaded(self._content, serving, self._rows)
            reason = self._accept(rival.runner)
        except BundleError as error:
            reason = str(error)
        if reason:
            self._tried.append(Tried(serving=serving, reason=reason))
            return
        single, batch = _compared(self._best, rival, max(share_s, LEAST_S))
        taken = wins or (_beats(single, batch) and _beats(*_compared(self._best, rival, share_s)))
        gains = statistics.median(single), statistics.median(batch)
        self._tried.append(Tried(serving=serving, taken=taken, single_gain=gains[0], batch_gain=gains[1]))
        if taken:
            self._best = rival

    def _figures(self, forced: bool) -> Fastest:
        """The chosen beside what it began with; what turns out slower after all is not chosen."""
        rivals = {"start": self._start, "best": self._best}
        half_s = self._figures_s / 2
        single, batch = ({n: r.calls[i] for n, r in rivals.items()} for i in range(2))
        singles, batches = latency(single, seconds=half_s), latency(batch, seconds=half_s)
        gains = [found["start"].p50_ms / found["best"].p50_ms for found in (singles, batches)]
        kept, name = self._best, "best"
        if self._best is self._start or not (forced or _worth(*gains)):
            kept, name, gains = self._start, "start", [1.0, 1.0]
            self._tried = [replace(t, taken=False) for t in self._tried]
        return Fastest(
            serving=kept.serving,
            single_ms=singles[name].p50_ms,
            batch_ms=batches[name].p50_ms,
            batch_rows=self._rows.batch_rows,
            single_gain=gains[0],
            batch_gain=gains[1],
            tried=tuple(self._tried),
        )


def _load_s(serving: Serving) -> float:
    chosen = engine(serving.runtime)
    return chosen.load_s if chosen else 0.0


def _changes(serving: Serving, cores: int) -> list[dict[str, Any]]:
    """Each value that its runtime may be told, but those that it is told already."""
    chosen, used = engine(serving.runtime), serving.to_json()
    options = chosen.options(cores) if chosen else {}
    return [{field: value} for field, values in options.items() for value in values if value != used[field]]


def _compared(best: _Rival, other: _Rival, seconds: float) -> tuple[list[float], list[float]]:
    """Times the best one's speed that the other has, turn by turn in order of size: at one row, and at a batch."""
    found: tuple[list[float], list[float]] = ([], [])
    burst_s = seconds / (4 * TURNS)
    for turn in range(TURNS):
        for ratios, (ours, theirs) in zip(found, zip(best.calls, other.calls, strict=True), strict=True):
            if turn % 2:
                took_other, took_best = _call_s(theirs, burst_s), _call_s(ours, burst_s)
            else:
                took_best, took_other = _call_s(ours, burst_s), _call_s(theirs, burst_s)
            ratios.append(took_best / took_other)
    return sorted(found[0]), sorted(found[1])


def _call_s(call: Call, seconds: float) -> float:
    """The median of as many calls as fit, one at least."""
    took: list[float] = []
    began = now = time.perf_counter()
    while not took or now < began + seconds:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        took.append(now - start)
    return statistics.median(took)


def _beats(single: Sequence[float], batch: Sequence[float]) -> bool:
    """Faster in all turns but one beyond the noise at one of them, slower at neither."""
    faster = any(ratios[1] > GAIN for ratios in (single, batch))
    return faster and all(statistics.median(ratios) > 1 / GAIN for ratios in (single, batch))


def _worth(single_gain: float, batch_gain: float) -> bool:
    return max(single_gain, batch_gain) > GAIN and min(single_gain, batch_gain) > 1 / GAIN
