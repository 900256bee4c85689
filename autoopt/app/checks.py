"""Checks of a request that need more than its own text: the places it names, and limits against the metric."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from autoopt.app.collector import Collector
from autoopt.app.options import TRACKING_VARIABLE, Places, trials_problems
from autoopt.app.targets import targets_problems
from autoopt.bundle import check_target
from autoopt.errors import OptionError, Problem
from autoopt.files import Home, user_path
from autoopt.space import Recipe, Space
from autoopt.space.domains import Choice, Value
from autoopt.strategies import Backbone, misfit, models
from autoopt.strategies.learning.distill import TEACHERS, Distill
from autoopt.task.facts import TaskFacts
from autoopt.values import QUALITY, Limit

TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks")
"""What MLflow can keep its runs in; some carry a driver, such as postgresql+psycopg."""

SQLITE_HEAD = b"SQLite format 3\0"


def check_places(places: Places, *, to_write: bool = True) -> None:
    """Whether home and databases can lie where they should. Looks, writes nothing. Raises OptionError."""
    problems = list(_folder_problems("--home", Home.locate(places.home or None).root, to_write=to_write))
    problems += _storage_problems(places.storage or "")
    problems += _tracking_problems(places)
    if problems:
        raise OptionError(problems)


def output_problems(output: str | None) -> list[Problem]:
    """What stands against writing a bundle to the folder that -o names."""
    if output is None:
        return []
    if not output.strip():
        return [Problem(what="-o was given an empty text.", mend="Give -o a folder, or leave it out.")]
    folder = user_path(output)
    gather = Collector(list(_folder_problems("-o", folder.absolute())))
    if not gather.problems:
        gather.attempt(lambda: check_target(folder))
    return gather.problems


def resume_problems(trials: int | None, output: str | None, targets: Sequence[str] | None = None) -> list[Problem]:
    """What is wrong with the options of a resume, before the study is touched."""
    return trials_problems(trials) + output_problems(output) + targets_problems(targets)


def _folder_problems(option: str, folder: Path, *, to_write: bool = True) -> Iterable[Problem]:
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    if not nearest.is_dir():
        where = "is a file" if nearest == folder else f"lies below {nearest}, which is a file"
        yield Problem(what=f"{option} {str(folder)!r} {where}.", mend="Give a folder, new or old.")
    elif to_write and not os.access(nearest, os.W_OK | os.X_OK):
        what = f"{option} {str(folder)!r}: nothing can be written in {nearest}."
        yield Problem(what=what, mend="Make it writable, or give another folder.")


def _storage_problems(url: str) -> Iterable[Problem]:
    """Of a SQLite file; SQLite itself takes a short text file for an empty database, and writes into it."""
    if not url.startswith("sqlite:///"):
        return
    path = user_path(url.removeprefix("sqlite:///")).absolute()
    if not path.parent.is_dir():
        mend = "Make it first, or give another path."
        yield Problem(what=f"--storage {url!r}: there is no folder {path.parent}.", mend=mend)
    elif path.is_dir():
        mend = f"Name a file in it: sqlite:///{path}/autoopt.db."
        yield Problem(what=f"--storage {url!r} is a folder.", mend=mend)
    elif path.exists() and not _may_be_sqlite(path):
        yield Problem(what=f"--storage {url!r} is a file, but no SQLite database.", mend="Give another path.")


def _may_be_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEAD)) in (b"", SQLITE_HEAD)


def _tracking_problems(places: Places) -> Iterable[Problem]:
    uri = places.tracking_url or ""
    scheme, mark, _ = uri.partition(":")
    if mark and scheme.partition("+")[0] not in TRACKING_SCHEMES:
        option = "--tracking-uri" if places.tracking_uri else TRACKING_VARIABLE
        what = f"{option} {uri!r} is nothing that MLflow can keep its runs in."
        yield Problem(what=what, mend="Give http://HOST:PORT of a tracking server, sqlite:///PATH/mlflow.db, or none.")


def check_quality_limits(limits: Iterable[Limit], facts: TaskFacts) -> None:
    """Limits on quality that point the wrong way for the metric, or that no model can keep. Raises OptionError."""
    higher = facts.metric_direction == "maximize"
    sense, best = (">=", 1.0) if higher else ("<=", 0.0)
    problems = []
    for limit in (x for x in limits if x.measure == QUALITY):
        if limit.sense != sense:
            what = f"--limit '{limit}' asks for worse quality: {facts.metric} is better when it is "
            what += "higher." if higher else "lower."
            problems.append(Problem(what=what, mend=f"Write 'quality{sense}{limit.bound:g}'."))
        elif limit.excess(best) > 0 and not (facts.module_facts and facts.module_facts.own_metric):
            what = f"--limit '{limit}' can never hold: the best possible {facts.metric} is {best:g}."
            problems.append(Problem(what=what, mend="Give a bound that a model can reach."))
    if problems:
        raise OptionError(problems)


def _choices(space: Space, name: str) -> set[Value]:
    domains = [d.domain for d in space.dimensions if d.name == name]
    return {value for domain in domains if isinstance(domain, Choice) for value in domain.values}


def check_backbone(facts: TaskFacts, space: Space) -> None:
    """Pre-trained weights that no model left in the space begins with. Raises OptionError."""
    if facts.backbone is not None and Backbone.name not in _choices(space, "model"):
        what = f"--backbone {facts.backbone.name!r} is of no use: no model of this search begins with such weights."
        raise OptionError(what, f"Leave it out, or let {Backbone.name} be a choice of model.")


def check_pins(pins: Iterable[str], space: Space) -> None:
    """Pinned choices that no model left in the space can go with: every trial would fail. Raises OptionError."""
    known = models()
    left = [known[str(value)] for value in _choices(space, "model") if value in known]  # none of an ensemble's recipe
    problems = []
    for name in dict.fromkeys(text.partition("=")[0].strip() for text in pins):
        values = _choices(space, name)
        reasons = [misfit(model, name, value) for model in left for value in values if len(values) == 1]
        if reasons and all(reasons):
            what = f"--set {name}={values.pop()} does not go with the others: {'; '.join(filter(None, reasons))}."
            problems.append(Problem(what=what, mend="Leave one of them out."))
    if problems:
        raise OptionError(problems)


def check_untaught(recipe: Recipe, file: str) -> None:
    """A recipe that is run alone cannot learn from other trials: its study has none. Raises OptionError."""
    source = recipe.get(Distill.name, "none")
    if source == "none":
        return
    numbers = ", ".join(str(recipe[name]) for name in TEACHERS if name in recipe)
    told = f" It was taught by trial {numbers} of the study that it comes from." if numbers else ""
    what = (
        f"--recipe {file}: with distill={source} a network learns from earlier trials, and here there are none.{told}"
    )
    mend = "Take the lines that begin with distill out of the file; or search with --set distill=best."
    raise OptionError([Problem(what=what, mend=mend)])
