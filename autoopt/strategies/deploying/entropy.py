"""The range that keeps most of what values say in 8 bits: with the least divergence from their quantized form."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = 256
PARTS: Final = 8
"""Of each level: how finely the distribution is looked at. Migacz has 2048 in all."""
MOST_CUT: Final = 0.01
"""Of the values, at most so many lie beyond either end: the divergence counts them, and not how far beyond they are."""
CANDIDATES_AN_OCTAVE: Final = 2
MOVES: Final = 8
"""Of one end, then of the other."""


def least_divergent_range(values: NDArray[np.floating]) -> tuple[float, float]:
    """(low, high) with low <= 0 <= high, of finite `values` (n,): where their unsigned 8-bit form says most of them.

    Migacz 2017, "8-bit Inference with TensorRT": of all ranges the one whose quantized form has the least
    Kullback-Leibler divergence from the values, those beyond the range counted at its ends. His are symmetric; here
    each end moves alone, inwards from the extremes, until neither gains. Zeros are left out, as each range has a level
    for them. What a finite number of values differs by chance from its own smoothed form is taken off (Miller 1955):
    else few values would look as if they asked for a narrow range.
    """
    exact = np.sort(values[values != 0].astype(np.float64))
    if len(exact) == 0:
        return 0.0, 0.0
    lows, highs = np.minimum(_ends(exact), 0.0), np.maximum(_ends(exact[::-1]), 0.0)
    low, high = min(zip(lows.tolist(), highs.tolist(), strict=True), key=lambda ends: divergence(exact, *ends))
    for move in range(MOVES):
        before = low, high
        if move % 2:
            low = min(dict.fromkeys(lows.tolist()), key=lambda end: divergence(exact, end, high))
        else:
            high = min(dict.fromkeys(highs.tolist()), key=lambda end: divergence(exact, low, end))
        if move and (low, high) == before:
            break
    return low, high


def divergence(values: NDArray[np.float64], low: float, high: float) -> float:
    """Of sorted `values` (n,) from their form in LEVELS of [low, high], in nats; infinite for a range of no width."""
    if not high > low:
        return float("inf")
    step = (high - low) / (LEVELS - 1)  # a level holds what is nearest to it, half a step beyond either end
    edges = np.linspace(low - step / 2, high + step / 2, LEVELS * PARTS + 1)
    places = np.searchsorted(values, edges)
    inside = np.diff(places).astype(np.float64)
    cut = inside.copy()
    cut[0] += places[0]
    cut[-1] += len(values) - places[-1]
    filled = cut.reshape(LEVELS, PARTS) > 0
    spread = np.maximum(inside.reshape(LEVELS, PARTS).sum(axis=1), 0.5) / np.maximum(filled.sum(axis=1), 1)
    form = np.where(filled, spread[:, np.newaxis], 0.0)[filled]
    found, total = cut.reshape(LEVELS, PARTS)[filled] / len(values), form.sum()
    by_chance = (filled.sum() - filled.any(axis=1).sum()) / (2 * len(values))
    return float((found * np.log(found * total / form)).sum() - by_chance)


def _ends(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a range may end at the side that `ordered` begins with: each leaves out more values, geometrically."""
    most = max(1.0, MOST_CUT * len(ordered))
    octaves = np.arange(0, np.log2(most) + 1e-9, 1 / CANDIDATES_AN_OCTAVE)
    places = np.unique(np.concatenate([[0], np.round(2**octaves)]).astype(np.int64).clip(0, len(ordered) - 1))
    found: NDArray[np.float64] = ordered[places]
    return found
