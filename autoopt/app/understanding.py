"""Reads and checks everything a search needs, before anything is written or run.

All that is wrong, with the options, the data and the space, is collected and raised as one error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoopt.app.brought import prepare_brought, trained_already
from autoopt.app.bundled import prepare_bundled
from autoopt.app.checks import (
    check_backbone,
    check_pins,
    check_places,
    check_quality_limits,
    check_untaught,
    output_problems,
)
from autoopt.app.collector import Collector
from autoopt.app.options import DEFAULT_TIME_S, SearchOptions
from autoopt.app.slots import slots_for
from autoopt.app.studies import study_names
from autoopt.devices import Machine, machine
from autoopt.errors import OptionError, Problem, StudyExists
from autoopt.files import check_study_name
from autoopt.orchestrator.selection import TWIN
from autoopt.space import (
    Catalogue,
    Recipe,
    Space,
    extend,
    load_space,
    pin,
    recipe_from_file,
    restrict,
    space_of,
    space_to_json,
)
from autoopt.strategies import applies_reason, catalogue, catalogue_for, stand_ins
from autoopt.task import PreparedTask, TaskOptions, prepare_task
from autoopt.task.facts import Modality, TaskFacts
from autoopt.task.modality import is_folder, modality_of
from autoopt.values import DEFAULT_OBJECTIVES, Budget, Limit, Objective, Slot, parse_limits, parse_objectives

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
    usual_forms: bool = False  # of a model that came trained: ends when those of the portfolio are through

    @property
    def facts(self) -> TaskFacts:
        return self.task.facts

    def spec(self) -> dict[str, Any]:
        """What the ledger keeps of the request: enough to go on with the study without the original files."""
        return {
            "version": SPEC_VERSION,
            "source": self.source,
            "image": self.options.image,
            "facts": self.facts.to_json(),
            "space": {"source": self.space_source, **space_to_json(self.space)},
            "recipe": self.recipe.to_json() if self.recipe else None,
            "objectives": [o.measure for o in self.objectives],
            "limits": [str(x) for x in self.limits],
            "seed": self.options.seed,
            "slots": self.options.slots,
            "memory_bytes": self.options.memory_bytes,
            "tolerance": self.options.tolerance,
            "pick": self.options.pick,
            "targets": None if self.options.targets is None else list(self.options.targets),
            "inline": self.options.inline,
            "usual_forms_s": self.budget.seconds if self.usual_forms else None,
        }


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What could be understood without the data."""

    taken: frozenset[str]
    limits: tuple[Limit, ...]
    slots: tuple[Slot, ...]
    space: Space
    recipe: Recipe | None


def understand(options: SearchOptions) -> Understanding:
    """Check everything, read the data, parse the space; writes nothing.

    Raises InputError with all problems, StudyExists when only the name is wrong, LedgerError when only the database is.
    """
    gather = Collector(options.problems())
    found = machine()
    own = modality_of(options.data, _task_options(options)) is Modality.MODULE
    task = _task(options, gather) if own else None  # first: its own dimensions belong to the space
    request = _read_request(options, gather, found, None if own and task is None else _catalogue(task))
    task = task if own else _task(options, gather)
    space = None
    if task is not None and request is not None:
        space = _narrowed(request, task.facts, options.pins, gather)
    gather.raise_all()
    if task is None or request is None or space is None:
        raise RuntimeError("a step failed without saying why")
    facts = task.facts
    return Understanding(
        study=options.study or free_name(facts.name, request.taken),
        source=_source_text(options),
        task=task,
        space=space,
        space_source=_space_name(options),
        recipe=request.recipe,
        objectives=parse_objectives(_wanted_objectives(options), facts.metric_direction),
        limits=request.limits,
        budget=_budget(options),
        machine=found,
        slots=request.slots,
        options=options,
    )


def _task(options: SearchOptions, gather: Collector) -> PreparedTask | None:
    searched = options.rows is None and options.pick != TWIN
    if searched and (problem := trained_already(options.data)) is not None:
        gather.problems.append(problem)
        return None
    if _modality(options) is Modality.GRAPH:
        source = str(options.data)
        prepare = prepare_bundled if is_folder(source) else prepare_brought
        return gather.attempt(lambda: prepare(source, _task_options(options)))
    return gather.attempt(lambda: prepare_task(options.data, _task_options(options)))


def _catalogue(task: PreparedTask | None) -> Catalogue:
    return catalogue() if task is None else catalogue_for(task.facts)


def _read_request(
    options: SearchOptions, gather: Collector, found: Machine, known: Catalogue | None
) -> _Request | None:
    """Everything but the data; None when something of it is missing. Without `known` the space stays unread."""
    limits = gather.attempt(lambda: parse_limits(options.limits))
    gather.attempt(lambda: parse_objectives(_wanted_objectives(options), "maximize"))
    gather.attempt(lambda: check_study_name(options.study) if options.study is not None else None)
    taken = gather.attempt(lambda: _taken_names(options))
    gather.problems.extend(output_problems(options.output))
    found_slots = gather.attempt(lambda: slots_for(_modality(options), options.slots, found))
    space = gather.attempt(lambda: _pinned(options, known)) if known else None
    recipe = gather.attempt(lambda: _recipe(options, space, known)) if space and known and options.recipe else None
    if limits is None or taken is None or found_slots is None or space is None:
        return None
    if options.inline:
        found_slots = (replace(found_slots[0], peers=1),)  # it has only its own process
    return _Request(taken=taken, limits=limits, slots=found_slots, space=space, recipe=recipe)


def _narrowed(request: _Request, facts: TaskFacts, pins: Sequence[str], gather: Collector) -> Space | None:
    """What of the space applies to these data on this machine; limits are held against the metric on the way."""
    gather.attempt(lambda: check_quality_limits(request.limits, facts))
    wanted = space_of(request.recipe) if request.recipe else request.space
    narrowed = gather.attempt(lambda: restrict(wanted, applies_reason(facts, request.slots[0]), stand_ins()))
    if narrowed is not None:
        gather.attempt(lambda: check_pins(pins, narrowed))
        gather.attempt(lambda: check_backbone(facts, narrowed))
    return narrowed


def _task_options(options: SearchOptions) -> TaskOptions:
    return TaskOptions(
        target=options.target,
        metric=options.metric,
        split_column=options.split_column,
        time_column=options.time_column,
        text=options.text,
        embeddings=options.embeddings,
        image=options.image,
        image_size=options.image_size,
        backbone=options.backbone,
        rows=options.rows,
        normalize=options.normalize,
        verify_key=options.verify_key,
        trained=options.trained,
        seed=options.seed,
    )


def _taken_names(options: SearchOptions) -> frozenset[str]:
    """Names of the studies in the database, which is not touched where it cannot be one.

    Raises StudyExists when the name that was asked for is among them, OptionError, LedgerNotOpened.
    """
    check_places(options.places)
    check_name_is_free(options)
    return study_names(options.places)


def check_name_is_free(options: SearchOptions) -> None:
    """Raises StudyExists when the study's name is taken."""
    if options.study is not None and options.study in study_names(options.places):
        raise StudyExists(
            f"Study {options.study!r} is there already. "
            f"Go on with it: autoopt resume {options.study} --time 2m. Or give another --study."
        )


def _wanted_objectives(options: SearchOptions) -> tuple[str, ...]:
    return DEFAULT_OBJECTIVES if options.objectives is None else tuple(options.objectives)


def _recipe(options: SearchOptions, space: Space, known: Catalogue) -> Recipe:
    recipe = recipe_from_file(options.recipe or "", space, known)
    check_untaught(recipe, options.recipe or "")
    return recipe


def _budget(options: SearchOptions) -> Budget:
    trials = 1 if options.recipe else options.trials
    bounded = options.time_s is not None or trials is not None
    return Budget(seconds=options.time_s if bounded else DEFAULT_TIME_S, trials=trials)


def _pinned(options: SearchOptions, known: Catalogue) -> Space:
    unread = [p for p in options.pins if not all(part.strip() for part in p.partition("="))]
    if unread:
        mend = "Write it like --set model=mlp; `autoopt strategies` lists what can be set."
        raise OptionError([Problem(what=f"--set {text!r} is not NAME=VALUE.", mend=mend) for text in unread])
    own = [d for name, d in known.declarations.items() if name not in catalogue().declarations]
    return pin(extend(load_space(_space_name(options), known), own, known), options.pins, known)


def _space_name(options: SearchOptions) -> str:
    """The space that was asked for, or the one of this kind of data."""
    return options.space or _modality(options).value


def _modality(options: SearchOptions) -> Modality:
    return modality_of(options.data, _task_options(options))


def _source_text(options: SearchOptions) -> str:
    return str(options.data) if isinstance(options.data, str | Path) else "DataFrame"


def free_name(task_name: str, taken: frozenset[str]) -> str:
    """A study name made of the data's name that is not taken: `adult`, then `adult-2`, ..."""
    stem = Path(task_name.removeprefix("demo:")).name.split(".")[0]
    clean = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:50] or "study"
    name, count = clean, 1
    while name in taken:
        count += 1
        name = f"{clean}-{count}"
    return name
