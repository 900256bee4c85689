"""Greedy selection of an ensemble's members with replacement, and whether what it gains is more than noise.

Caruana, Niculescu-Mizil, Crew & Ksikes (2004), "Ensemble selection from libraries of models".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.task.facts import TaskFacts
from autoopt.task.scoring import score

Floats = NDArray[np.float64]
Value = tuple[float, ...]
"""How good scores are, more being better: the metric, then what decides among equal ones."""
Judge = Callable[[Floats], Value]

ROUNDS: Final = 12
"""Members that are drawn, the same one as often as it helps: weights are twelfths at the finest."""
HALVINGS: Final = 10
LEAST_ERRORS: Final = 0.5
"""Standard errors that a gain must exceed. With one, hardly an ensemble was left, and most of those that went were
better on test rows too; with none, what chance does to equal models would pass every second time."""
MOST_ROWS: Final = 8_000
"""Of valid, evenly spread: selection asks the metric some thousand times."""
ROUNDING: Final = 1e-9
"""Of the metric: by so little a mean is no better than another one."""
LEAST_ROWS: Final = 50
"""With fewer a half decides by a handful of rows."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What the procedure wins over the best single candidate on rows that nothing was chosen by, in the metric's unit.

    `mean` and `spread` (standard deviation) over the halves; positive is better, whatever the metric's direction.
    """

    mean: float
    spread: float
    halves: int

    @property
    def exceeds_noise(self) -> bool:
        """Whether the mean is more than LEAST_ERRORS of it, where halves have rows in common (Nadeau & Bengio 2003)."""
        return self.halves > 0 and self.mean > LEAST_ERRORS * self.spread * math.sqrt(1 / self.halves + 1)


def greedy(
    scores: Sequence[Floats],
    judge: Judge,
    *,
    most: int,
    rounds: int = ROUNDS,
    shares: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """How often each of the candidates is taken: the best of the means after 1, 2, ... `rounds` members.

    Never worse by `judge` than the best single candidate; of equal means that of fewer draws. At most `most`
    different candidates. Equal ones: the first. `shares` (candidates, limits): what different candidates take of each
    limit adds up to 1 at most, unless a single one takes more.
    """
    counts = np.zeros(len(scores), dtype=np.int64)
    total = np.zeros_like(scores[0])
    best, found = -math.inf, counts
    for drawn in range(1, rounds + 1):
        full = np.count_nonzero(counts) >= most
        open_to = [k for k in range(len(scores)) if counts[k] or not (full or _exceeds(shares, counts, k))]
        values = {k: judge((total + scores[k]) / drawn) for k in open_to}
        chosen = max(open_to, key=lambda k: (values[k], -k))
        total = total + scores[chosen]
        counts[chosen] += 1
        if drawn == 1 or values[chosen][0] > best + (ROUNDING * max(1.0, abs(best)) if math.isfinite(best) else 0.0):
            best, found = values[chosen][0], counts.copy()
    return found


def _exceeds(shares: NDArray[np.float64] | None, counts: NDArray[np.int64], candidate: int) -> bool:
    """Whether one more different candidate would take more of some limit than there is; the first never does."""
    if shares is None or not counts.any():
        return False
    return bool((shares[counts > 0].sum(axis=0) + shares[candidate] > 1.0).any())


def mean_scores(scores: Sequence[Floats], counts: NDArray[np.int64]) -> Floats:
    """The mean of the scores (rows, columns), each as often as it counts."""
    weighted: Floats = np.tensordot(counts / counts.sum(), np.stack(scores), axes=1)
    return weighted


def judge_of(facts: TaskFacts, target: NDArray[Any]) -> Judge:
    """The task's metric on these rows, then the log loss of the true classes; undefined counts as worst."""
    sign = 1.0 if facts.metric_direction == "maximize" else -1.0
    rows = np.arange(len(target))

    def judge(scores: Floats) -> Value:
        value = sign * score(facts.metric, facts, target, scores)
        value = value if math.isfinite(value) else -math.inf
        if not facts.kind.classifies:
            return (value,)
        certain = np.clip(scores[rows, target.astype(np.int64)], 1e-12, 1.0)
        return value, float(np.log(certain).mean())

    return judge


def gain(
    facts: TaskFacts,
    scores: Sequence[Floats],
    target: NDArray[Any],
    *,
    most: int,
    seed: int,
    shares: NDArray[np.float64] | None = None,
) -> Gain:
    """What `greedy` gains over the best single candidate, both chosen by one half of the rows and judged by the other.

    Halves in which the metric is undefined are left out.
    """
    chance = np.random.default_rng(seed)
    found: list[float] = []
    for _ in range(HALVINGS // 2):
        order = chance.permutation(len(target))
        half = len(order) // 2
        for here, there in ((order[:half], order[half:]), (order[half:], order[:half])):
            found.append(_gain_between(facts, scores, target, np.sort(here), np.sort(there), most, shares))
    known = np.array([x for x in found if math.isfinite(x)])
    if not len(known):
        return Gain(mean=0.0, spread=0.0, halves=0)
    spread = float(known.std(ddof=1)) if len(known) > 1 else math.inf
    return Gain(mean=float(known.mean()), spread=spread, halves=len(known))


def _gain_between(
    facts: TaskFacts,
    scores: Sequence[Floats],
    target: NDArray[Any],
    here: NDArray[np.int64],
    there: NDArray[np.int64],
    most: int,
    shares: NDArray[np.float64] | None,
) -> float:
    """Chosen by the rows `here`, judged by those `there`."""
    choose, judge = judge_of(facts, target[here]), judge_of(facts, target[there])
    mine = [s[here] for s in scores]
    single = max(range(len(scores)), key=lambda k: (choose(mine[k]), -k))
    counts = greedy(mine, choose, most=most, shares=shares)
    together = mean_scores([s[there] for s in scores], counts)
    return judge(together)[0] - judge(scores[single][there])[0]
