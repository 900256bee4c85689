"""When one of two timings is the faster one, and not merely luckier."""

from typing import Final

SAME_SPEED: Final = 0.98
"""Medians that are nearer than two per cent are no news, however little the machine varies."""


def faster_beyond_noise(median: float, high: float, *, than_median: float, than_low: float) -> bool:
    """Whether the first is faster: each of its blocks than all of the other's, and its median by two per cent.

    `high` and `than_low` are the slowest block's median and the other's fastest; both were timed in turns.
    """
    return high < than_low and median < SAME_SPEED * than_median
