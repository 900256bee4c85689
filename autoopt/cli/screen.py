"""What is shown before a search: what was understood, and what would be searched."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoopt.app.study import Study
from autoopt.app.understanding import Understanding
from autoopt.space import Space
from autoopt.task.facts import Role, TaskFacts
from autoopt.values import Budget, Slot, format_seconds

MAX_NAMES = 8
PIPE_WIDTH = 140


def console_for(as_json: bool) -> Console:
    """Everything readable goes to stderr when stdout is for JSON. Files and pipes have no width: give them some."""
    console = Console(stderr=as_json, highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(stderr=as_json, highlight=False, width=PIPE_WIDTH)


def names(items: Iterable[str], most: int = MAX_NAMES) -> str:
    """`a, b, c and 12 more`."""
    found = list(items)
    shown = ", ".join(found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"


def facts_rows(facts: TaskFacts) -> list[tuple[str, str]]:
    """What the data were taken for, as label and text."""
    used = {role: [c.name for c in facts.columns if c.used and c.role is role] for role in Role}
    left_out = [c for c in facts.columns if not c.used and c.role not in (Role.TARGET, Role.SPLIT, Role.TIME)]
    rows = [
        ("data", f"{facts.name}: {sum(facts.rows.values()):,} rows, {len(facts.columns)} columns"),
        ("learn", f"{facts.target}, {_kind_text(facts)}; quality is {facts.metric} on the valid split"),
        ("split", ", ".join(f"{part} {count:,}" for part, count in facts.rows.items())),
    ]
    for role in (Role.NUMBER, Role.BOOLEAN, Role.CATEGORY):
        if used[role]:
            rows.append(
                (
                    f"{role.value}s" if role is not Role.CATEGORY else "categories",
                    f"{len(used[role])}: {names(used[role])}",
                )
            )
    for column in left_out[:MAX_NAMES]:
        rows.append(("left out", f"{column.name} ({column.role.value}): {column.note}"))
    if len(left_out) > MAX_NAMES:
        rows.append(("left out", f"and {len(left_out) - MAX_NAMES} more columns (autoopt show lists them)"))
    rows += [("note", text) for text in facts.warnings]
    return rows


def _kind_text(facts: TaskFacts) -> str:
    if not facts.kind.classifies:
        return "a number (regression)"
    return f"{len(facts.classes)} classes ({names(facts.classes, 5)})"


def budget_text(budget: Budget) -> str:
    """`60s, export included`, `40 trials`."""
    parts = []
    if budget.seconds is not None:
        parts.append(f"{format_seconds(budget.seconds)}, export included")
    if budget.trials is not None:
        parts.append(f"{budget.trials} trial{'s' if budget.trials != 1 else ''}")
    return " or ".join(parts)


def slots_text(slots: tuple[Slot, ...]) -> str:
    """`2 × cpu with 1 thread each`."""
    first = slots[0]
    return f"{len(slots)} × {first.device} with {first.threads} thread{'s' if first.threads != 1 else ''} each"


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
    rows = facts_rows(understanding.facts)
    rows += [
        ("limits", ", ".join(map(str, understanding.limits)) or "none"),
        ("objectives", ", ".join(o.measure for o in understanding.objectives)),
        ("slots", slots_text(understanding.slots)),
        ("budget", budget_text(understanding.budget)),
    ]
    rows += [("not searched", f"{what}: {why}") for what, why in understanding.space.dropped]
    title = f"study {understanding.study}"
    console.print(Text(title + (" (dry run: nothing is run or written)" if dry_run else ""), style="bold"))
    print_rows(console, rows)
    if understanding.recipe is not None:
        console.print(Text(f"runs one recipe: {understanding.options.recipe}"))
    elif dry_run:
        print_space(console, understanding.space)


def print_space(console: Console, space: Space) -> None:
    """Every dimension with its domain and condition."""
    table = Table(title=f"space {space.name}: {len(space.dimensions)} dimensions", title_justify="left", box=None)
    for heading in ("choice", "values", "when"):
        table.add_column(heading, overflow="fold", header_style="dim")
    for dimension in space.dimensions:
        when = " and ".join(f"{n} in ({', '.join(map(str, v))})" for n, v in dimension.when)
        table.add_row(dimension.name, str(dimension.domain).removeprefix("one of "), when)
    console.print(table)
    console.print(Text(f"starts with {len(space.portfolio)} known-good recipes, then searches", style="dim"))


def print_resuming(console: Console, study: Study, more: Budget) -> Budget:
    """The block before a resume; returns the budget as it will be."""
    row, totals = study.row, study.totals
    budget = row.budget.extended(more, spent_s=row.spent_s, counted=totals.counted)
    console.print(Text(f"study {row.name} goes on", style="bold"))
    print_rows(
        console,
        [
            ("so far", f"{totals.counted} trials in {format_seconds(row.spent_s)}, {row.state.value}"),
            ("budget", budget_text(budget)),
        ],
    )
    return budget
