"""What an ensemble of some trials will cost, before it is built: about the sum of its members."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

from autoopt.ledger import TrialRow
from autoopt.orchestrator.selection import value
from autoopt.space import Recipe
from autoopt.values import LATENCY_BATCH_MS, LATENCY_MS, LATENCY_P95_MS, SIZE_BYTES, Limit

ADDITIVE: Final = (LATENCY_MS, LATENCY_P95_MS, LATENCY_BATCH_MS, SIZE_BYTES)
"""Measures that add up over members."""
ROOM: Final = 0.9
"""Of a limit: so much the members may take by their sum, as averaging them takes time of its own."""
_NEVER: Final = 1e9


def unquantized(trial: TrialRow) -> Recipe:
    """The recipe but for its form of quantization: trials that differ in that alone have the same one."""
    return Recipe({n: v for n, v in trial.recipe.items() if n.partition(".")[0] != "quantize"})


@final
class Costs:
    """Shares of each limit's room that trials take."""

    def __init__(self, trials: Iterable[TrialRow], limits: Sequence[Limit]) -> None:
        self._limits = [x for x in limits if x.sense == "<=" and x.measure in ADDITIVE and x.bound > 0]
        self._cheapest: dict[Recipe, tuple[float, ...]] = {}
        for trial in trials:
            training, own = unquantized(trial), self.own(trial)
            self._cheapest[training] = tuple(map(min, self._cheapest.get(training, own), own))

    def own(self, trial: TrialRow) -> tuple[float, ...]:
        """Of the trial as it is deployed, one share for each limit that adds up."""
        return tuple(min(value(trial, x.measure) / (ROOM * x.bound), _NEVER) for x in self._limits)

    def cheapest(self, trial: TrialRow) -> tuple[float, ...]:
        """Of the cheapest form on record of the same training."""
        return self._cheapest.get(unquantized(trial), self.own(trial))

    def fits(self, chosen: Iterable[int], rows: Mapping[int, TrialRow]) -> bool:
        """Whether these trials together keep every limit, as they are deployed."""
        sums = [sum(shares) for shares in zip(*(self.own(rows[n]) for n in chosen), strict=True)]
        return all(total <= 1.0 for total in sums)
