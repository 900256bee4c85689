"""Reads and checks everything a search needs, before anything is written or run.

All that is wrong, with the options, the data and the space, is collected and raised as one error.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from autoopt.app.options import DEFAULT_TIME_S, Places, SearchOptions
from autoopt.bundle import check_target
from autoopt.devices import Machine, machine, slots
from autoopt.errors import DataError, InputError, OptionError, Problem
from autoopt.files import Home, check_study_name
from autoopt.space import Recipe, Space, load_space, pin, recipe_from_file, restrict, space_of, space_to_json
from autoopt.strategies import applies_reason, catalogue
from autoopt.task import PreparedTask, TaskOptions, prepare_task
from autoopt.task.facts import TaskFacts
from autoopt.values import DEFAULT_OBJECTIVES, Budget, Limit, Objective, Slot, parse_limits, parse_objectives

T = TypeVar("T")
DEFAULT_SPACE = "tabular"
SPEC_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """What was understood of a request: shown before a search, and by `--dry-run` instead of one."""

    study: str
    source: str
    task: PreparedTask
    space: Space
    space_source: str
    recipe: Recipe | None
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    budget: Budget
    machine: Machine
    slots: tuple[Slot, ...]
    options: SearchOptions

    @property
    def facts(self) -> TaskFacts:
        return self.task.facts

    def spec(self) -> dict[str, Any]:
        """What the ledger keeps of the request: enough to go on with the study without the original files."""
        return {
            "version": SPEC_VERSION,
            "source": self.source,
            "facts": self.facts.to_json(),
            "space": {"source": self.space_source, **space_to_json(self.space)},
            "recipe": self.recipe.to_json() if self.recipe else None,
            "objectives": [o.measure for o in self.objectives],
            "limits": [str(x) for x in self.limits],
            "seed": self.options.seed,
            "slots": self.options.slots,
            "tolerance": self.options.tolerance,
            "inline": self.options.inline,
        }


class _Collector:
    """Runs steps that may raise InputError and keeps what they complain of."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.kind: type[InputError] = OptionError

    def attempt(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except InputError as error:
            self.problems.extend(error.problems)
            if isinstance(error, DataError):
                self.kind = DataError
            return None


def understand(options: SearchOptions) -> Understanding:
    """Check everything, read the data, parse the space. Raises InputError with all problems; writes nothing."""
    gather = _Collector()
    gather.problems.extend(options.problems())
    found = machine()
    limits = gather.attempt(lambda: parse_limits(options.limits))
    wanted = tuple(options.objectives or DEFAULT_OBJECTIVES)
    gather.attempt(lambda: parse_objectives(wanted, "maximize"))
    if options.study is not None:
        gather.attempt(lambda: check_study_name(options.study or ""))
    if options.output is not None:
        gather.attempt(lambda: check_target(Path(options.output or "")))
    found_slots = gather.attempt(lambda: slots(found, options.slots))
    space = gather.attempt(lambda: _pinned(options))
    task = gather.attempt(
        lambda: prepare_task(
            options.data,
            TaskOptions(
                target=options.target,
                metric=options.metric,
                split_column=options.split_column,
                time_column=options.time_column,
                seed=options.seed,
            ),
        )
    )
    if gather.problems or task is None or space is None or found_slots is None or limits is None:
        raise gather.kind(gather.problems)
    facts = task.facts
    recipe = recipe_from_file(options.recipe, space, catalogue()) if options.recipe else None
    return Understanding(
        study=options.study or study_name_for(facts.name, options.places),
        source=_source_text(options),
        task=task,
        space=restrict(space_of(recipe) if recipe else space, applies_reason(facts, found_slots[0])),
        space_source=options.space or DEFAULT_SPACE,
        recipe=recipe,
        objectives=parse_objectives(wanted, facts.metric_direction),
        limits=limits,
        budget=_budget(options),
        machine=found,
        slots=found_slots,
        options=options,
    )


def _budget(options: SearchOptions) -> Budget:
    trials = 1 if options.recipe else options.trials
    bounded = options.time_s is not None or trials is not None
    return Budget(seconds=options.time_s if bounded else DEFAULT_TIME_S, trials=trials)


def _pinned(options: SearchOptions) -> Space:
    known = catalogue()
    return pin(load_space(options.space or DEFAULT_SPACE, known), options.pins, known)


def _source_text(options: SearchOptions) -> str:
    return str(options.data) if isinstance(options.data, str | Path) else "DataFrame"


def study_name_for(task_name: str, places: Places) -> str:
    """A free study name made of the data's name: `adult`, then `adult-2`, ..."""
    from autoopt.app.studies import study_names

    stem = Path(task_name.removeprefix("demo:")).name.split(".")[0]
    clean = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:50] or "study"
    taken = study_names(places)
    name, count = clean, 1
    while name in taken:
        count += 1
        name = f"{clean}-{count}"
    return name


def objectives_of(spec: Mapping[str, Any], facts: TaskFacts) -> tuple[Objective, ...]:
    """The objectives as a stored spec names them."""
    return parse_objectives(spec["objectives"], facts.metric_direction)


def database_url(places: Places) -> str:
    """Where the study database is."""
    return places.storage or Home.locate(places.home).database_url


def tracking_url(places: Places) -> str:
    """Where MLflow's database or server is."""
    return places.tracking_uri or Home.locate(places.home).tracking_url
