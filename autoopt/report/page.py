"""Builds the page: figures and places from the study's view, drawn by the template, all in one file."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from autoopt import __version__
from autoopt.report.charts import families, front_chart, history_chart
from autoopt.report.serving import served_words
from autoopt.report.tables import (
    MAX_TRIALS,
    asked,
    failures,
    interval,
    pair_lines,
    roles,
    trial_line,
    trial_lines,
    twin_form,
    twin_lines,
)
from autoopt.report.view import StudyView
from autoopt.report.wording import NONE, data_words, measure_cells, milliseconds, number
from autoopt.space import Recipe
from autoopt.task.facts import Role
from autoopt.values import TrialState, format_bytes, format_seconds

FRONT_ROWS = 12
TEMPLATES = ("page.html", "charts.html", "tables.html")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One of the figures at the head of the page."""

    name: str
    value: str
    details: tuple[str, ...]


def render_report(view: StudyView) -> str:
    """One page of HTML: no network, no file beside it, everything from outside escaped."""
    shown = files("autoopt.report")
    templates = {name: shown.joinpath(name).read_text(encoding="utf-8") for name in TEMPLATES}
    script = shown.joinpath("sort.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        css=Markup(shown.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_context(view),
    )


def _context(view: StudyView) -> dict[str, Any]:
    facts = view.facts
    rising = facts.metric_direction == "maximize"
    lines = trial_lines(view)
    return {
        "version": __version__,
        "study": view.study,
        "facts": facts,
        "metric": facts.metric,
        "rising": rising,
        "best": view.best,
        "best_words": _best_words(view),
        "verified": view.verified,
        "artifact": view.artifact,
        "missed": view.missed or _missed(view),
        "figures": headline(view),
        "counts": _counts(view),
        "spent": format_seconds(view.study.spent_s),
        "front_chart": front_chart(view.trials, view.front, view.best, view.limits, rising=rising),
        "history": None if view.forms else history_chart(view.trials, rising=rising),
        "families": () if view.forms else families(view.trials, rising=rising),
        "forms": view.forms,
        "spared": view.spared,
        "pair": pair_lines(view),
        "twins": twin_lines(view),
        "twin_form": twin_form(view),
        "served": served_words({"serving": view.artifact.serving}) if view.artifact else "",
        "front_rows": FRONT_ROWS,
        "front": [] if view.forms else [trial_line(t, view.best) for t in view.front],
        "baseline": _baseline(view, "valid"),
        "trials": lines,
        "hidden_trials": max(0, len(view.trials) - len(lines)),
        "max_trials": MAX_TRIALS,
        "failures": () if view.forms else failures(view.trials),  # with forms, each has its verdict
        "data_words": data_words(facts),
        "roles": roles(facts),
        "images": view.images,
        "left_out": [c for c in facts.columns if not c.used and c.role is not Role.TARGET],
        "asked": asked(view),
        "test_looks": view.test_looks,
        "recipe": Recipe(view.best.recipe).to_yaml() if view.best else "",
        "environment": _environment(view.environment),
    }


def headline(view: StudyView) -> tuple[Figure, ...]:
    """Quality, latency, size and the baseline: of the exported artifact, else of the best trial as searched."""
    artifact, metric = view.artifact, view.facts.metric
    if artifact is None:
        return _searched(view)
    tested = artifact.test or artifact.valid
    split = "test" if artifact.test else "valid"
    told = interval(tested)
    batch_1 = artifact.latency["batch_1"]
    threads = int(artifact.latency.get("threads", 1))
    other = f"valid {number(artifact.valid.value)}" if artifact.test else ""
    return (
        Figure(
            name=f"{split} {metric}",
            value=number(tested.value),
            details=tuple(x for x in (f"95 % interval {told}" if told else "", other) if x),
        ),
        Figure(
            name="latency",
            value=milliseconds(batch_1["p50_ms"]),
            details=(
                f"one row, {threads} thread{'s' if threads != 1 else ''}",
                f"p95 {milliseconds(batch_1['p95_ms'])}",
            ),
        ),
        Figure(
            name="size", value=format_bytes(artifact.size_bytes), details=(f"the {artifact.role} graph", "one file")
        ),
        *_baseline_figure(view, split),
    )


def _searched(view: StudyView) -> tuple[Figure, ...]:
    if view.best is None:
        return ()
    quality, latency, size = measure_cells(view.best.measures)
    figures = (
        Figure(name=f"valid {view.facts.metric}", value=quality, details=("as measured during the search",)),
        Figure(name="latency", value=latency, details=("one row, one thread",)),
        Figure(name="size", value=size, details=("of the deployed graph",)),
    )
    return tuple(f for f in figures if f.value != NONE)


def _baseline_figure(view: StudyView, split: str) -> tuple[Figure, ...]:
    """Of the split that the quality is shown for; of valid where the test split was looked at by an earlier export."""
    for name in dict.fromkeys((split, "valid")):
        found = _baseline(view, name)
        if found is not None:
            told = (f"{name} {view.facts.metric}", "of a guess that knows nothing")
            return (Figure(name="baseline", value=found, details=told),)
    return ()


def _baseline(view: StudyView, split: str) -> str | None:
    value = view.verified.baseline.get(split) if view.verified else None
    return None if value is None else number(value)


def _best_words(view: StudyView) -> str:
    """The form of a model that came trained, else the model."""
    form = next((line.form for line in view.forms if view.best and line.number == view.best.number), "")
    return form or (str(view.best.recipe.get("model", "")) if view.best else "")


def _missed(view: StudyView) -> str:
    """A best that is not feasible is the nearest miss."""
    if view.best is None or view.best.state is not TrialState.INFEASIBLE:
        return ""
    return view.best.message or ", ".join(x.told() for x in view.limits)


def _counts(view: StudyView) -> str:
    """`41 trials: 39 complete, 2 failed`."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED)
    found = [(sum(t.state is s for t in view.trials), s.value) for s in states]
    total = sum(count for count, _ in found)
    told = ", ".join(f"{count} {name}" for count, name in found if count)
    return f"{total} trial{'' if total == 1 else 's'}: {told}" if total else "no trial has ended yet"


def _environment(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    plain = [(name, str(environment[name])) for name in ("cpu", "platform", "python") if environment.get(name)]
    libraries = environment.get("libraries")
    listed = libraries.items() if isinstance(libraries, Mapping) else ()
    return [*plain, *((str(name), str(value)) for name, value in listed)]
