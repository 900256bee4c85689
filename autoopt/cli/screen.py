"""What is shown before a search: what was understood, and what would be searched."""

import io
import re
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoopt.app.study import Study
from autoopt.app.unchanged import newer_source
from autoopt.app.understanding import Understanding
from autoopt.cli.shared import command_name
from autoopt.files import Home
from autoopt.report.wording import data_words, limits_text
from autoopt.space import Choice, Condition, Dimension, Space
from autoopt.task import PreparedTask
from autoopt.task.facts import Modality, Role, TaskFacts
from autoopt.values import Budget, Slot, StudyState, format_seconds

MAX_NAMES = 8
MAX_CLASSES = 12
MAX_NOTES = 3
FEW_LEFT_OUT = 3
PIPE_WIDTH = 140
PLURALS = {
    Role.IDENTIFIER: "identifiers, or with too many categories",
    Role.CONSTANT: "with one value only",
    Role.DATE: "dates, not learned from yet",
    Role.TEXT: "with free text, which --text names to learn from",
}


def console_for(as_json: bool) -> Console:
    """Everything readable goes to stderr when stdout is for JSON. Files and pipes have no width: give them some."""
    stream = sys.stderr if as_json else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal that has no such character shows a ? in its place
    console = Console(stderr=as_json, highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(stderr=as_json, highlight=False, width=PIPE_WIDTH)


def names(items: Iterable[str], most: int = MAX_NAMES) -> str:
    """`a, b, c and 12 more`."""
    found = list(items)
    shown = ", ".join(found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"


def facts_rows(
    facts: TaskFacts, *, every: bool = False, content: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """What the data were taken for, as label and text; `every` names every column, `content` comes in between."""
    used = {role: [c.name for c in facts.columns if c.used and c.role is role] for role in Role}
    higher = "higher" if facts.metric_direction == "maximize" else "lower"
    most = len(facts.columns) if every else MAX_NAMES
    rows = [
        ("data", f"{facts.name}: {data_words(facts)}"),
        ("learn", f"{facts.target}, {_kind_text(facts)}"),
        ("quality", f"{facts.metric} on the valid split, {higher} is better"),
        ("split", ", ".join(f"{part} {count:,}" for part, count in facts.rows.items())),
    ]
    for role, label in (
        (Role.NUMBER, "numbers"),
        (Role.BOOLEAN, "booleans"),
        (Role.CATEGORY, "categories"),
        (Role.TEXT, "texts"),
    ):
        if used[role]:
            rows.append((label, f"{len(used[role])}: {names(used[role], most)}"))
    rows += [*content, *_module_rows(facts, most)]
    if facts.backbone is not None:
        rows.append(("backbone", f"{facts.backbone.name}: {facts.backbone.architecture}"))
    if facts.embeddings is not None:
        told = f"{facts.embeddings.words:,} words of the texts, {facts.embeddings.dimension} numbers each"
        rows.append(("embeddings", f"{facts.embeddings.name}: {told}"))
    rows += [("left out", text) for text in _left_out(facts, every=every)]
    noted = [f"{c.name}: {c.note}" for c in facts.columns if c.used and c.note]
    shown = len(noted) if every else MAX_NOTES
    rows += [("note", text) for text in noted[:shown]]
    if len(noted) > shown:
        rows.append(("note", f"and {len(noted) - shown} more columns; autoopt show tells of them"))
    return rows + [("note", text) for text in facts.warnings]


def _module_rows(facts: TaskFacts, most: int) -> list[tuple[str, str]]:
    """The loss and the dimensions of a module of the user's own."""
    module = facts.module_facts
    if module is None:
        return []
    told = names(module.choices, most) or "none: build() takes no choices"
    if facts.came_trained:
        built = names((f"{name}={raw['default']}" for name, raw in module.choices.items()), most)
        told = f"build({built}), with the weights it gives"
    return [("loss", "the task's own function" if module.loss == "own" else module.loss), ("choices", told)]


def content_rows(task: PreparedTask) -> list[tuple[str, str]]:
    """What only the data themselves tell: how often each class of images comes, how long texts are."""
    facts = task.facts
    if facts.modality is Modality.TEXT:
        texts = zip(facts.text_columns, task.parts["train"].texts, strict=True)
        return [("lengths", f"{name}: {_lengths(column)}") for name, column in texts]
    if facts.modality is not Modality.IMAGES:
        return []
    rows = [("split", facts.split)] if facts.split else []
    if facts.classes:
        targets = np.concatenate([part.target for part in task.parts.values()]).astype(np.int64)
        counts = np.bincount(targets, minlength=len(facts.classes))
        each = [f"{label} {count:,}" for label, count in zip(facts.classes, counts, strict=True)]
        rows.append(("classes", names(each, MAX_CLASSES)))
    return rows


def _lengths(texts: NDArray[np.object_]) -> str:
    """Of a column, in characters."""
    lengths = [len(text) for text in texts] or [0]
    return f"{statistics.median(lengths):,.0f} characters in the middle, {max(lengths):,} at most"


def _left_out(facts: TaskFacts, *, every: bool) -> Iterable[str]:
    """A line for each column that is not learned from; one for all of a role where they are many."""
    for role in Role:
        if role in (Role.TARGET, Role.SPLIT, Role.TIME):
            continue
        columns = [c for c in facts.columns if not c.used and c.role is role]
        told = [f"{c.name}: {re.sub('[;:] left out$', '', c.note) or c.role.value}" for c in columns]
        if every or len(columns) < FEW_LEFT_OUT:
            yield from told
        else:
            yield f"{len(columns)} {PLURALS.get(role, role.value)}: {names(c.name for c in columns)}"


def _kind_text(facts: TaskFacts) -> str:
    if not facts.kind.classifies:
        return "a number (regression)"
    return f"{len(facts.classes)} classes ({names(facts.classes, 5)})"


def budget_text(budget: Budget) -> str:
    """`60s, export included`, `40 trials`, `40 trials or 60s, export included`."""
    parts = []
    if budget.trials is not None:
        parts.append(f"{budget.trials} trial{'s' if budget.trials != 1 else ''}")
    if budget.seconds is not None:
        parts.append(f"{format_seconds(budget.seconds)}, export included")
    return " or ".join(parts)


def slots_text(slots: tuple[Slot, ...]) -> str:
    """`2 trials at a time, each on the cpu with 1 thread`."""
    first = slots[0]
    threads = f"{first.threads} thread{'s' if first.threads != 1 else ''}"
    device = "the cpu" if first.device == "cpu" else f"a {first.device}"
    if len(slots) == 1:
        return f"1 trial at a time, on {device} with {threads}"
    return f"{len(slots)} trials at a time, each on {device} with {threads}"


def place(path: Path | str) -> str:
    """A path as one would type it: relative where it lies below the current folder."""
    absolute = Path(path).absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) and absolute != here else str(absolute)


def print_rows(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Two columns: a dim label, shown once for equal neighbours, and its text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    last = ""
    for label, text in rows:
        table.add_row("" if label == last else label, Text(text))
        last = label
    console.print(table)


def print_understanding(console: Console, understanding: Understanding, *, dry_run: bool) -> None:
    """The block before a search."""
    rows = facts_rows(understanding.facts, content=content_rows(understanding.task))
    rows += [
        ("optimize", ", ".join(o.measure for o in understanding.objectives)),
        ("limits", limits_text(understanding.limits)),
        ("budget", budget_text(understanding.budget)),
        ("slots", slots_text(understanding.slots)),
        ("kept in", place(Home.locate(understanding.options.places.home).root)),
    ]
    rows += [("not tried", text) for text in not_tried(understanding.space)]
    title = f"study {understanding.study}"
    console.print(Text(title + (" (dry run: nothing is run or written)" if dry_run else ""), style="bold"))
    print_rows(console, rows)
    if understanding.recipe is not None:
        console.print(Text(f"runs one recipe: {understanding.options.recipe}"))
    elif dry_run:
        print_space(console, understanding.space)


def not_tried(space: Space) -> list[str]:
    """Choices that do not apply, those for one reason together: `quantize=fp16, quantize=bf16: torch cannot ...`."""
    reasons = dict.fromkeys(why for _, why in space.dropped)
    return [f"{names(what for what, reason in space.dropped if reason == why)}: {why}" for why in reasons]


def print_space(console: Console, space: Space) -> None:
    """Every dimension with its domain and condition."""
    table = Table(title=f"space {space.name}: {len(space.dimensions)} dimensions", title_justify="left", box=None)
    for heading in ("choice", "values", "when"):
        table.add_column(heading, overflow="fold", header_style="dim")
    for dimension in space.dimensions:
        when = " and ".join(f"{n} in ({', '.join(map(str, v))})" for n, v in _conditions(dimension, space))
        table.add_row(dimension.name, str(dimension.domain).removeprefix("one of "), when)
    console.print(table)
    console.print(Text(f"starts with {len(space.portfolio)} known-good recipes, then searches", style="dim"))


def _conditions(dimension: Dimension, space: Space) -> Condition:
    """Without those that always hold in this space: every model of it, say."""
    always = {d.name: set(d.domain.values) for d in space.dimensions if isinstance(d.domain, Choice) and not d.when}
    return tuple((name, some) for name, some in dimension.when if name not in always or not always[name] <= set(some))


def print_resuming(console: Console, study: Study, more: Budget) -> Budget:
    """The block before a resume; returns the budget as it will be."""
    row, totals = study.row, study.totals
    budget = row.budget.extended(more, spent_s=row.spent_s, counted=totals.counted)
    over = row.state is not StudyState.OPEN and more == Budget()
    head = "has spent its budget: it is exported again" if over else "goes on"
    console.print(Text(f"study {row.name} {head}", style="bold"))
    rows = [("so far", f"{totals.counted} trials in {format_seconds(row.spent_s)}, {row.state.value}")]
    if newer := newer_source(row):
        rows.append(("data", f"{newer} was written to since; the study goes on with what it has read from it before"))
    if over:
        rows.append(("to go on", f"{command_name()} resume {row.name} --time 2m, or --trials 10"))
    else:
        rows.append(("budget", budget_text(budget)))
    print_rows(console, rows)
    return budget
