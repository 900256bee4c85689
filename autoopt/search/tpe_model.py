"""What past results say about where to look: Optuna's TPE over a study in memory.

In memory, because TPE reads all trials several times for each proposal, and writes each parameter in a transaction of
its own: on SQLite that is a dozen commits for every trial, and a crash among them leaves half a trial.
"""

from collections.abc import Container, Mapping, Sequence

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.trial import Trial
from optuna.trial import TrialState as OptunaState

from autoopt.files import derived_seed
from autoopt.search.optuna_quiet import experimental_is_fine
from autoopt.search.optuna_trials import OptunaTrials, Told
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
    """TPE that models each branch of a conditional space on its own, and knows that running trials are no news yet."""
    with experimental_is_fine():
        return TPESampler(multivariate=True, group=True, constant_liar=True, seed=0)


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
        self._trials = OptunaTrials(study, storage, space)
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
        study = self._trials.study
        trial = study.ask()
        try:
            return self._space.walk(lambda dimension: _suggest(trial, dimension))
        finally:
            # The recipe that is tried is added as a whole; this trial was only there to be asked.
            study.tell(trial, state=OptunaState.FAIL)

    def add(self, number: int, keys: Mapping[str, Value], told: Told) -> None:
        """A trial, whatever its state. Failed ones teach TPE nothing and are left out."""
        if told.state is not OptunaState.FAIL:
            self._own_numbers[number] = self._trials.add(keys, told)

    def finish(self, number: int, told: Told) -> None:
        """The trial has ended; one that was never added is ignored."""
        own = self._own_numbers.pop(number, None)
        if own is not None:
            self._trials.finish(own, told)


def _suggest(trial: Trial, dimension: Dimension) -> Value:
    domain, key = dimension.domain, dimension.key
    if isinstance(domain, Choice):
        value: Value = trial.suggest_categorical(key, domain.values)
    elif isinstance(domain, Whole):
        value = int(trial.suggest_int(key, domain.low, domain.high, log=domain.log))
    else:
        value = float(trial.suggest_float(key, domain.low, domain.high, log=domain.log))
    return value
