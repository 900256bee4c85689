"""The planner on Optuna: proposals from a TPE model in memory, every trial visible in the database's Optuna tables.

The ledger is the truth and Optuna's tables are a projection of it. A trial enters them whole, in one transaction, when
it is proposed (that gives its number) and is told when it ends, so that optuna.load_study and optuna-dashboard show
the study as it is. The model learns from the ledger's trials, never from the tables.
"""

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import final

import optuna
from optuna.trial import TrialState as OptunaState

from autoopt.errors import LedgerUnavailable, SchemaMismatch, SpaceError
from autoopt.files import derived_seed, sha256_json
from autoopt.ledger import checked_url, engine_kwargs, tune_sqlite
from autoopt.ledger.engines import DATABASE_ERRORS
from autoopt.planners.base import Climb, KnownTrial, Planner, PlannerOutcome, Proposal, Source
from autoopt.planners.optuna_quiet import experimental_is_fine, quiet
from autoopt.planners.optuna_trials import OptunaTrials, Told, distribution
from autoopt.planners.tpe_model import RUNNING, SAMPLER_ERRORS, TpeModel, new_tpe
from autoopt.planners.upcoming import Upcoming
from autoopt.space.describe import space_to_json
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space
from autoopt.values import Objective

SPACE_ATTRIBUTE = "autoopt.space_sha256"
OBJECTIVES_ATTRIBUTE = "autoopt.objectives"
RESERVED = "reserved"
"""Said of a trial that was not proposed: it has no parameters of the space."""
_FAILED = Told(state=OptunaState.FAIL, values=None, constraints={})


@final
class OptunaPlanner(Planner):
    """TPE over several objectives with constraints, starting with the space's portfolio.

    `storage_url` is a database's (sqlite:///absolute/path or postgresql://...); the study is made when it is not there.
    Raises SpaceError when the study was made with another space or other objectives, SchemaMismatch when the database
    holds tables of another Optuna, LedgerUnavailable when it cannot be reached.
    """

    def __init__(
        self,
        *,
        storage_url: str,
        study_name: str,
        space: Space,
        objectives: Sequence[Objective],
        seed: int,
        sampler: optuna.samplers.BaseSampler | None = None,
        climb: Climb | None = None,
    ) -> None:
        self._space = space
        self._seed = seed
        self._directions = [o.direction for o in objectives]
        self._upcoming = Upcoming(space, climb)
        self._sampler = sampler or new_tpe()
        with _database_errors(), quiet():
            self._database = _open(storage_url)
            self._trials = _study(self._database, study_name, space, objectives)
            self._next_number = len(self._trials.read())
            self._model = self._new_model()

    def _new_model(self) -> TpeModel:
        return TpeModel(self._space, self._directions, self._sampler)

    def ask(self) -> Proposal | None:
        with _database_errors(), quiet():
            chosen = self._upcoming.peek() or self._sampled(derived_seed(self._seed, self._next_number))
            if chosen is None:
                return None
            recipe, source = chosen
            keys = self._keys(recipe)
            number = self._trials.add(keys, RUNNING, note=source)
            self._model.add(number, keys, RUNNING)
        self._next_number = number + 1
        self._upcoming.proposed(number, recipe)
        return Proposal(number=number, recipe=recipe, source=source)

    def reserve(self) -> int:
        with _database_errors(), quiet():
            number = self._trials.add({}, RUNNING, note=RESERVED)
        self._next_number = number + 1
        return number

    def _sampled(self, seed: int) -> tuple[Recipe, Source] | None:
        if not self._upcoming.may_sample:
            return None
        with contextlib.suppress(*SAMPLER_ERRORS):
            recipe = self._model.suggest(seed, self._upcoming)
            if recipe is not None:
                return recipe, "sampler"
        drawn = self._upcoming.drawn(random.Random(seed))
        return None if drawn is None else (drawn, "random")

    def _keys(self, recipe: Recipe) -> Mapping[str, Value]:
        return self._space.keys_of(recipe) or {}

    def tell(self, number: int, outcome: PlannerOutcome) -> None:
        told = Told.of(outcome, objectives=len(self._directions))
        if told.state is OptunaState.RUNNING:
            return
        with _database_errors(), quiet():
            self._trials.finish(number, told)
            self._model.finish(number, told)
        self._upcoming.ended(number, outcome)

    def reconcile(self, trials: Sequence[KnownTrial]) -> None:
        with _database_errors(), quiet():
            known = {t.number: t for t in trials}
            existing = {t.number: t.state for t in self._trials.read()}
            for number, state in existing.items():
                told = self._told(known[number]) if number in known else _FAILED
                if state is OptunaState.RUNNING and told.state is not OptunaState.RUNNING:
                    self._trials.finish(number, told)
            for number in range(len(existing), max(known, default=-1) + 1):
                if number in known:
                    self._trials.add(self._keys(known[number].recipe), self._told(known[number]), note="ledger")
                else:  # its number was given and never recorded: kept, so that later numbers stay what they are
                    self._trials.add({}, _FAILED, note="unrecorded")
            self._next_number = len(self._trials.read())
            self._upcoming.reset(trials)
            self._model = self._new_model()
            for number, trial in sorted(known.items()):
                keys = self._space.keys_of(trial.recipe)
                if keys is not None:  # else it was none of the planner's own
                    self._model.add(number, keys, self._told(trial))

    def _told(self, trial: KnownTrial) -> Told:
        return Told.of(trial.outcome, objectives=len(self._directions))

    def enqueue(self, recipes: Iterable[Recipe]) -> None:
        self._upcoming.enqueue(recipes)

    def close(self) -> None:
        self._database.remove_session()
        self._database.engine.dispose()


@contextlib.contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    except (optuna.exceptions.StorageInternalError, *DATABASE_ERRORS) as error:
        cause = str(error.__cause__ or error).splitlines()[0].rstrip(".")
        what = f"The database could not be used for the planner's tables: {cause}."
        raise LedgerUnavailable(f"{what} Check that it is there, writable and not full.") from error


def _open(url: str) -> optuna.storages.RDBStorage:
    text = checked_url(url).render_as_string(hide_password=False)
    try:
        storage = optuna.storages.RDBStorage(text, engine_kwargs=engine_kwargs(text))
    except RuntimeError as error:
        raise SchemaMismatch(f"The database's Optuna tables are of another version: {error}") from error
    tune_sqlite(storage.engine)
    return storage


def _study(
    database: optuna.storages.RDBStorage, name: str, space: Space, objectives: Sequence[Objective]
) -> OptunaTrials:
    storage = optuna.storages.get_storage(database)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        sampler=optuna.samplers.RandomSampler(seed=0),  # never asked: proposals come from the model
        pruner=optuna.pruners.NopPruner(),
        directions=[o.direction for o in objectives],
        load_if_exists=True,
    )
    described = {
        SPACE_ATTRIBUTE: sha256_json(space_to_json(space)["dimensions"]),
        OBJECTIVES_ATTRIBUTE: [f"{o.direction} {o.measure}" for o in objectives],
    }
    attributes = study.user_attrs
    for key, value in described.items():
        if key not in attributes:
            study.set_user_attr(key, value)
        elif attributes[key] != value:
            what = "another space" if key == SPACE_ATTRIBUTE else "other objectives"
            raise SpaceError(f"The study {name!r} was made with {what}.", "Start a study with another name.")
    names = [o.measure for o in objectives]
    if study.metric_names != names:
        with experimental_is_fine():
            study.set_metric_names(names)
    return OptunaTrials(study, storage, {d.key: distribution(d.domain) for d in space.dimensions})


def forget(storage_url: str, study_name: str) -> None:
    """See autoopt.planners.forget_study."""
    with _database_errors(), quiet():
        database = _open(storage_url)
        try:
            with contextlib.suppress(KeyError):
                database.delete_study(database.get_study_id_from_name(study_name))
        finally:
            database.remove_session()
            database.engine.dispose()
