"""One Optuna study, in memory or in a database, and how trials are written into it."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from autoopt.planners.base import PlannerOutcome
from autoopt.space.domains import Choice, Domain, Value, Whole
from autoopt.values import TrialState

LARGEST = 1e12
"""Stands for an infinite or undefined excess over a limit: JSON, and so Optuna's databases, know neither."""


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna knows it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if isinstance(domain, Whole):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def relaxed(domain: Domain) -> BaseDistribution:
    """The same with a range of whole numbers as one of reals, half a step wider at both ends.

    TPE integrates over each whole number's share, in plain Python, for each past trial: many times a density's work.
    """
    if isinstance(domain, Whole) and domain.low < domain.high:
        low = max(domain.low - 0.5, domain.low / 2) if domain.log else domain.low - 0.5
        return FloatDistribution(low, domain.high + 0.5, log=domain.log)
    return distribution(domain)


@dataclass(frozen=True, kw_only=True)
class Told:
    """An outcome as Optuna takes it."""

    state: OptunaState
    values: tuple[float, ...] | None
    constraints: Mapping[str, float]

    @classmethod
    def of(cls, outcome: PlannerOutcome, *, objectives: int) -> "Told":
        """COMPLETE only with as many finite values as there are objectives; PRUNED and FAIL never have values."""
        constraints = {name: _finite_constraint(value) for name, value in outcome.constraints.items()}
        values = outcome.values
        usable = values is not None and len(values) == objectives and all(math.isfinite(v) for v in values)
        if outcome.state is TrialState.RUNNING:
            return cls(state=OptunaState.RUNNING, values=None, constraints={})
        if outcome.state is TrialState.PRUNED or (outcome.state is TrialState.INFEASIBLE and not usable):
            return cls(state=OptunaState.PRUNED, values=None, constraints=constraints)
        if outcome.state in (TrialState.FAILED, TrialState.STOPPED) or not usable:
            return cls(state=OptunaState.FAIL, values=None, constraints={})
        return cls(state=OptunaState.COMPLETE, values=values, constraints=constraints)


def _finite_constraint(value: float) -> float:
    return LARGEST if math.isnan(value) else min(max(float(value), -LARGEST), LARGEST)


class OptunaTrials:
    """Writes trials: whole ones at once, so that none is ever seen with half of its parameters."""

    def __init__(
        self,
        study: optuna.Study,
        storage: optuna.storages.BaseStorage,
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        self.study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self.distributions = distributions
        self._ids: dict[int, int] = {}

    def read(self) -> Sequence[FrozenTrial]:
        """Every trial, in the order of numbers; not to be changed."""
        trials: Sequence[FrozenTrial] = self.study.get_trials(deepcopy=False)
        self._ids = {t.number: t._trial_id for t in trials}
        return trials

    def add(self, keys: Mapping[str, Value], told: Told, *, note: str = "") -> int:
        """A new trial with its parameters, in any state, in one transaction; returns its number."""
        trial = create_trial(
            state=told.state,
            values=None if told.values is None else list(told.values),
            params=dict(keys),
            distributions={key: self.distributions[key] for key in keys},
            user_attrs={"source": note} if note else {},
            constraints=dict(told.constraints),
        )
        trial_id = self._storage.create_new_trial(self._study_id, template_trial=trial)
        number: int = self._storage.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        return number

    @contextlib.contextmanager
    def scratch(self) -> Iterator[tuple[optuna.Study, FrozenTrial]]:
        """A trial for a sampler to look at, gone (told FAIL) after the block."""
        trial = self.study.ask()
        try:
            yield self.study, self._storage.get_trial(trial._trial_id)
        finally:
            self.study.tell(trial, state=OptunaState.FAIL)

    def finish(self, number: int, told: Told) -> None:
        """End a running trial. Raises KeyError when there is none of that number; one that has ended stays as it is.

        Straight to the storage: Trial.set_constraint and Study.tell read the trial again at each step, which on SQLite
        more than doubles the time of a tell. `create_trial` gives the constraints the form that Optuna reads.
        """
        trial_id = self._ids[number]
        attributes = create_trial(state=OptunaState.RUNNING, constraints=dict(told.constraints)).system_attrs
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            for key, value in attributes.items():
                self._storage.set_trial_system_attr(trial_id, key, value)
            values = None if told.values is None else list(told.values)
            self._storage.set_trial_state_values(trial_id, told.state, values)
