"""How long a call takes: several callables in turn, so that the machine's moods strike all of them alike."""

import gc
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.runtime.front import Feed

Call = Callable[[], object]

_BURST_S: Final = 0.001  # calls in a row before the next callable's turn: caches warm, moods shared
_LARGEST_BURST: Final = 50
_STABLE: Final = 0.05  # warm when a burst's median moves less than this, relative
_WARM_SHARE: Final = 0.2  # of the time, at most
_FEWEST_BLOCKS: Final = 3


@final
@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one call. `low_ms` and `high_ms` are the least and largest median of the blocks of a timing."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    low_ms: float
    high_ms: float
    calls: int

    def to_json(self) -> dict[str, float | int]:
        return {
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "p99_ms": self.p99_ms,
            "low_ms": self.low_ms,
            "high_ms": self.high_ms,
            "calls": self.calls,
        }


def in_turns(run: Callable[[Feed], object], feeds: Sequence[Feed]) -> Call:
    """A call with another feed each time, so that no branch is learned by heart."""
    turns = itertools.cycle(feeds)
    return lambda: run(next(turns))


def latency(calls: Mapping[str, Call], *, seconds: float, blocks: int = 10) -> dict[str, Latency]:
    """Time the callables against each other for about `seconds` in all, each at least once a block.

    They are warmed up until their medians stand still, then take turns in short bursts, the first of a round being
    another one each time. `blocks` is how many medians the spread is taken from; fewer, but at least 3, when the time
    does not reach for them. Raises ValueError without callables.
    """
    if not calls:
        raise ValueError("nothing to time")
    began = time.perf_counter()
    with _no_collection():
        bursts = _warm_up(calls, seconds * _WARM_SHARE / len(calls))
        found: dict[str, list[NDArray[np.int64]]] = {name: [] for name in calls}
        block_s = max(0.0, seconds - (time.perf_counter() - began)) / blocks
        for block in range(blocks):
            if block >= _FEWEST_BLOCKS and time.perf_counter() - began >= seconds:
                break
            for name, took in _one_block(calls, bursts, block_s).items():
                found[name].append(took)
    return {name: _summary(took) for name, took in found.items()}


def _warm_up(calls: Mapping[str, Call], seconds_each: float) -> dict[str, int]:
    """Size of a burst for each callable."""
    bursts = {}
    for name, call in calls.items():
        ends = time.perf_counter() + seconds_each
        median = float(_burst(call, 1)[0])
        while time.perf_counter() < ends:
            before, median = median, float(np.median(_burst(call, _burst_calls(median))))
            if abs(median - before) <= _STABLE * before:
                break
        bursts[name] = _burst_calls(median)
    return bursts


def _burst_calls(median_ns: float) -> int:
    return max(1, min(_LARGEST_BURST, math.floor(_BURST_S * 1e9 / max(median_ns, 1.0))))


def _one_block(calls: Mapping[str, Call], bursts: Mapping[str, int], seconds: float) -> dict[str, NDArray[np.int64]]:
    """Nanoseconds of every call of a block, of at least one round."""
    took: dict[str, list[NDArray[np.int64]]] = {name: [] for name in calls}
    ends = time.perf_counter() + seconds
    for names in _rotations(list(calls)):
        for name in names:
            took[name].append(_burst(calls[name], bursts[name]))
        if time.perf_counter() >= ends:
            break
    return {name: np.concatenate(parts) for name, parts in took.items()}


def _rotations(names: list[str]) -> Iterator[list[str]]:
    while True:
        yield names
        names = names[1:] + names[:1]


def _burst(call: Call, times: int) -> NDArray[np.int64]:
    """Nanoseconds of each of `times` calls in a row."""
    clock = time.perf_counter_ns
    took = np.empty(times, dtype=np.int64)
    for i in range(times):
        start = clock()
        call()
        took[i] = clock() - start
    return took


def _summary(blocks: list[NDArray[np.int64]]) -> Latency:
    every = np.concatenate(blocks) / 1e6
    medians = [float(np.median(b)) / 1e6 for b in blocks]
    return Latency(
        p50_ms=float(np.median(every)),
        p95_ms=float(np.percentile(every, 95)),
        p99_ms=float(np.percentile(every, 99)),
        low_ms=min(medians),
        high_ms=max(medians),
        calls=len(every),
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """The garbage collector would strike one callable and not the next."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
