"""Settles by short measurements what changes the speed of a training and nothing else.

One factor at a time: from the defaults on, each candidate is run in turns with the best so far, end to end with
loading, and takes its place when it is faster by more than the noise. What that may cost hangs on how long the training
is expected to take. The verdict is a record in the store, one for a machine, a slot and an architecture: the first
training of its kind pays for it, and one that goes on after a crash finds what it began with.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol, Self

from autoopt.files import Store, sha256_json, write_json
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe

STAGE: Final = "probe"
"""Of the store: verdicts."""
FILE: Final = "verdict.json"
SHARE: Final = 0.05
"""Of the expected training time, at most, goes into probing; what is under way then is still measured."""
CANDIDATE_S: Final = 1.0
"""Of measuring for one candidate, at most: half of it is spent on what it is compared with."""
LEAST_S: Final = 0.25
"""A training that would leave less than this for all candidates is not probed."""
GAIN: Final = 1.05
"""A candidate must be so many times faster: less than that is noise here, and the simpler choice stays."""
TURNS: Final = 5
COMPILE: Final = "compile"
COMPILE_FROM_S: Final = 300.0
"""Compiling takes tens of seconds: it is not tried for trainings shorter than this."""
_VERSION = 1


class Rig(Protocol):
    """A training made to be measured: its own network, optimizer and rows."""

    def steps(self, seconds: float) -> float:
        """Take steps for about so long, at least one; seconds of one step."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a probe settled."""

    choices: Mapping[str, Value]
    gains: Mapping[str, float]  # of each choice over its default; 1.0 where the default stayed
    expected_s: float  # of the training, with the defaults
    seconds: float  # that probing took
    measured: int  # candidates
    complete: bool  # whether every candidate was measured

    @property
    def note(self) -> str:
        """One line for a trial's notes."""
        told = [
            f"{name}={str(value).lower() if isinstance(value, bool) else value}"
            + (f" {self.gains[name]:.2f}x" if self.gains.get(name, 1.0) != 1.0 else "")
            for name, value in self.choices.items()
        ]
        how = "settled by probe" if self.measured else "not probed, the training is short"
        return f"{how}: {', '.join(told)}"

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        return cls(**raw)


def probe(
    recipe: Recipe,
    candidates: Mapping[str, tuple[Value, ...]],
    make: Callable[[Recipe], Rig],
    total_steps: int,
    *,
    longest_s: float = math.inf,
) -> Verdict:
    """Measure the candidates of each field, the first of which is its default, for a training of `total_steps`.

    `longest_s`: when the training will be ended. Steps that it is not going to take are not worth a probe.
    """
    began = time.monotonic()
    chosen: dict[str, Value] = {name: values[0] for name, values in candidates.items()}
    gains = dict.fromkeys(chosen, 1.0)
    complete, measured = True, 0
    best = make(recipe.replace(chosen))
    try:
        expected_s = min(total_steps * _step_s(best, SHARE * longest_s), longest_s)
        budget_s = SHARE * expected_s
        for name, value in _due(candidates, expected_s):
            spent_s = time.monotonic() - began
            if budget_s < LEAST_S or spent_s > budget_s:
                complete = False
                break
            made = time.monotonic()
            other = make(recipe.replace({**chosen, name: value}))
            other.steps(0.0)
            start_s = time.monotonic() - made
            gain = _compared(best, other, min(CANDIDATE_S, budget_s - spent_s))
            measured += 1
            if gain > GAIN and start_s + expected_s / gain < expected_s / GAIN:
                chosen[name], gains[name] = value, gains[name] * gain
                best, other = other, best
            other.close()
    finally:
        best.close()
    return Verdict(
        choices=chosen,
        gains=gains,
        expected_s=expected_s,
        seconds=time.monotonic() - began,
        measured=measured,
        complete=complete and (COMPILE not in candidates or expected_s >= COMPILE_FROM_S),
    )


def settle(
    kind: Mapping[str, Any],
    candidates: Mapping[str, tuple[Value, ...]],
    total_steps: int,
    store: Store,
    measure: Callable[[], Verdict],
) -> Verdict:
    """The verdict for that machine and architecture (`kind`, as JSON): the store's, else `measure`'s, which it keeps.

    A training that is longer than another by a factor of four or more may be worth probing where the other was not:
    it only takes over a verdict for which every candidate was measured.
    """
    own = int(math.log(max(total_steps, 1), 4))
    keys = {scale: _key(kind, candidates, scale) for scale in range(max(own, _SCALES) + 1)}
    found = _read(store, keys[own])
    if found is not None:
        return found
    others = (_read(store, key) for scale, key in keys.items() if scale != own)
    known = next((verdict for verdict in others if verdict is not None and verdict.complete), None)
    verdict = measure() if known is None else replace(known, seconds=0.0)
    with store.make(STAGE, keys[own]) as folder:
        write_json(folder / FILE, asdict(verdict))
    return _read(store, keys[own]) or verdict  # another slot's, if it was first


_SCALES: Final = 12  # 4 to the power of 12 steps: more than most trainings have


def _due(candidates: Mapping[str, tuple[Value, ...]], expected_s: float) -> list[tuple[str, Value]]:
    return [
        (name, value)
        for name, values in candidates.items()
        for value in values[1:]
        if name != COMPILE or expected_s >= COMPILE_FROM_S
    ]


def _step_s(rig: Rig, budget_s: float) -> float:
    """Seconds of one step: the first is not like the others, of which two are taken if there is time."""
    taken = [rig.steps(0.0)]
    while len(taken) < 3 and sum(taken) < budget_s:
        taken.append(rig.steps(0.0))
    return min(taken)


def _compared(best: Rig, other: Rig, seconds: float) -> float:
    """How many times faster `other` is: both in turns, so that what else the machine does strikes both.

    1.0 unless it was faster in all turns but one: beside other work, single turns differ by a factor of two.
    """
    turn_s = seconds / TURNS / 2
    ratios = sorted(best.steps(turn_s) / other.steps(turn_s) for _ in range(TURNS))
    return statistics.median(ratios) if ratios[1] > GAIN else 1.0


def _key(kind: Mapping[str, Any], candidates: Mapping[str, tuple[Value, ...]], scale: int) -> str:
    tried = {name: list(values) for name, values in candidates.items()}
    return sha256_json({"version": _VERSION, "kind": dict(kind), "candidates": tried, "scale": scale})


def _read(store: Store, key: str) -> Verdict | None:
    entry = store.find(STAGE, key)
    return None if entry is None else Verdict.from_json(json.loads((entry.path / FILE).read_text()))
