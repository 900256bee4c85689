"""What past results say about where to look: Optuna's TPE over a study in memory.

In memory, because TPE reads all trials several times for each proposal, and writes each parameter in a transaction of
its own: on SQLite that is a dozen commits for every trial, and a crash among them leaves half a trial.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from autoopt.files import derived_seed
from autoopt.planners.optuna_trials import OptunaTrials, Told, relaxed
from autoopt.space.conditions import same
from autoopt.space.domains import Choice, Dimension, Value, Whole
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space

SAMPLER_ERRORS = (
    optuna.exceptions.OptunaError,
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,  # numpy's LinAlgError is one
)
"""What numerical code raises on data it was not made for; a sampler's trouble must not end a study."""


def new_tpe() -> BaseSampler:
    """TPE that models dimensions jointly and takes a running trial for a bad one, so that slots do not crowd together.

    Its own `group=True` is not used: TpeModel hands it the branches, which the space knows and TPE would have to find
    out from all trials, each time.
    """
    return TPESampler(multivariate=True, group=False, constant_liar=True, seed=0)


def reseed(sampler: BaseSampler, seed: int) -> None:
    """Set the state of chance, so that a proposal hangs on its number and the results, not on the process."""
    if isinstance(sampler, TPESampler):
        sampler._rng = LazyRandomState(seed)  # Optuna's own reseed_rng takes no seed
        sampler._random_sampler = RandomSampler(seed=seed)
    else:
        sampler.reseed_rng()


ATTEMPTS = 3
"""Proposals that TPE may make for one trial before chance decides."""
RUNNING = Told(state=OptunaState.RUNNING, values=None, constraints={})


class TpeModel:
    """Suggests recipes from what `add` and `finish` told."""

    def __init__(self, space: Space, directions: Sequence[str], sampler: BaseSampler) -> None:
        self._space = space
        self._sampler = sampler
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(
            storage=storage,
            study_name="model",
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
            directions=list(directions),
        )
        self._trials = OptunaTrials(study, storage, {d.key: relaxed(d.domain) for d in space.dimensions})
        self._own_numbers: dict[int, int] = {}

    def suggest(self, seed: int, known: Container[Recipe]) -> Recipe | None:
        """A recipe that is not known; None when TPE comes back to known ones. Raises SAMPLER_ERRORS."""
        for attempt in range(ATTEMPTS):
            reseed(self._sampler, derived_seed(seed, attempt))
            recipe = self._draft()
            if recipe not in known:
                return recipe
            # A branch with few recipes (a model without parameters) is soon used up, yet keeps looking good: TPE would
            # propose nothing else for ever. A copy that never ends counts as bad, so each return makes it less likely.
            self._trials.add(self._space.keys_of(recipe) or {}, RUNNING)
        return None

    def _draft(self) -> Recipe:
        """One proposal, branch by branch: what is decided together is modelled together, and nothing else is."""
        drawn: dict[str, Any] = {}
        chosen: dict[str, Value] = {}
        with self._trials.scratch() as (study, trial):

            def choose(dimension: Dimension) -> Value:
                key = dimension.key
                if key not in drawn:
                    together = self._undecided(chosen, drawn)
                    drawn.update(self._sampler.sample_relative(study, trial, together) if together else {})
                if key not in drawn:  # too few results yet, or nothing to choose
                    drawn[key] = self._alone(study, trial, dimension)
                chosen[dimension.name] = _plain(dimension, drawn[key])
                return chosen[dimension.name]

            return self._space.walk(choose)

    def _undecided(self, chosen: dict[str, Value], drawn: Container[str]) -> dict[str, BaseDistribution]:
        """What is known to count by now and is not drawn yet. At the root: only what always counts."""
        active = [d.key for d in self._space.dimensions if d.key not in drawn and d.active(chosen)]
        found = {key: self._trials.distributions[key] for key in active}
        return {key: each for key, each in found.items() if not each.single()}

    def _alone(self, study: optuna.Study, trial: FrozenTrial, dimension: Dimension) -> Any:
        known = self._trials.distributions[dimension.key]
        if known.single():
            return dimension.domain.values[0] if isinstance(dimension.domain, Choice) else dimension.domain.low
        return self._sampler.sample_independent(study, trial, dimension.key, known)

    def add(self, number: int, keys: Mapping[str, Value], told: Told) -> None:
        """A trial, whatever its state. Failed ones teach TPE nothing and are left out."""
        if told.state is not OptunaState.FAIL:
            self._own_numbers[number] = self._trials.add(keys, _summed(told))

    def finish(self, number: int, told: Told) -> None:
        """The trial has ended; one that was never added is ignored."""
        own = self._own_numbers.pop(number, None)
        if own is not None:
            self._trials.finish(own, _summed(told))


def _plain(dimension: Dimension, value: Any) -> Value:
    """The value with Python's own types; samplers may give numpy's."""
    domain = dimension.domain
    if isinstance(domain, Choice):
        return next(v for v in domain.values if same(v, value))
    if isinstance(domain, Whole):
        whole: int = round(value)
        return min(max(whole, domain.low), domain.high)
    return min(max(float(value), domain.low), domain.high)


def _summed(told: Told) -> Told:
    """TPE goes by the sum of what is above zero, and reads each constraint of each trial again for each proposal."""
    excess = sum(max(value, 0.0) for value in told.constraints.values())
    return replace(told, constraints={"excess": excess} if excess else {})
