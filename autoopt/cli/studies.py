"""`autoopt studies`, `autoopt show`, `autoopt rm`."""

import json
from datetime import datetime
from typing import Literal

import click

from autoopt.cli.shared import place_options, places


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON list on stdout.")
@place_options
def studies(as_json: bool, debug: bool, home: str | None, storage: str | None, tracking_uri: str | None) -> int:
    """List all studies."""
    from rich.table import Table

    from autoopt.app.studies import list_studies
    from autoopt.cli.screen import console_for
    from autoopt.report.wording import number
    from autoopt.values import format_seconds

    rows = list_studies(places(home, storage, tracking_uri))
    if as_json:
        click.echo(json.dumps([r.to_json() for r in rows]))
        return 0
    if not rows:
        click.echo("No studies yet. Begin with: autoopt search demo:digits --time 60s")
        return 0
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("study", "data", "state", "trials", "best", "spent", "made"):
        right, whole = heading in ("trials", "spent"), heading not in ("study", "data", "state")
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(heading, header_style="dim", justify=justify, no_wrap=whole, overflow="fold")
    for row in rows:
        best = f"{row.metric} {number(row.best)}" if row.best is not None else "–"
        state = f"running (pid {row.owner})" if row.owner else row.state
        table.add_row(
            row.name, row.data, state, str(row.trials), best, format_seconds(row.spent_s), local_time(row.created_at)
        )
    console_for(as_json=False).print(table)
    return 0


def local_time(stamp: str) -> str:
    """`2026-03-01 14:05`, in this machine's time zone, of an ISO time stamp."""
    return f"{datetime.fromisoformat(stamp).astimezone():%Y-%m-%d %H:%M}"


@click.command()
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, as the last line.")
@place_options
def show(
    study: str, as_json: bool, debug: bool, home: str | None, storage: str | None, tracking_uri: str | None
) -> int:
    """Show STUDY: what the data were taken for, the front, the trials, failures with reasons."""
    from rich.text import Text

    from autoopt.app.study import Study
    from autoopt.cli.results import failures_table, next_commands, print_commands, print_study
    from autoopt.cli.screen import budget_text, console_for, facts_rows, print_rows
    from autoopt.cli.trials import trials_table
    from autoopt.report.wording import limits_text
    from autoopt.values import StudyState

    stored = Study(study, places(home, storage, tracking_uri))
    console = console_for(as_json)
    row = stored.row
    note = "not finished; resume goes on" if row.state is StudyState.OPEN else row.note
    state = f"running (pid {row.owner})" if row.owner else f"{row.state.value}{f' ({note})' if note else ''}"
    console.print(Text(f"study {row.name}: {state}", style="bold"))
    limits = limits_text(stored.context.limits)
    print_rows(
        console,
        [*facts_rows(stored.context.facts, every=True), ("limits", limits), ("budget", budget_text(row.budget))],
    )
    console.print()
    print_study(console, stored)
    trials = stored.trials
    console.print()
    console.print(trials_table(trials, stored.context.facts.metric, width=console.width))
    failures = failures_table(trials)
    if failures is not None:
        console.print()
        console.print(failures)
    console.print()
    commands = next_commands(stored, stopped=row.state is StudyState.OPEN)
    print_commands(console, [(typed, what) for typed, what in commands if " show " not in typed])
    if as_json:
        click.echo(json.dumps(stored.summary(), allow_nan=False))
    return 0


@click.command()
@click.argument("study")
@place_options
def rm(study: str, debug: bool, home: str | None, storage: str | None, tracking_uri: str | None) -> int:
    """Remove STUDY and what only it used: trials, bundle, cached stages, data snapshot. MLflow's runs stay."""
    from autoopt.app.studies import remove_study
    from autoopt.values import format_bytes

    freed = remove_study(study, places(home, storage, tracking_uri))
    click.echo(f"Removed study {study}; {format_bytes(freed)} freed. Its MLflow runs are left as they are.")
    return 0
