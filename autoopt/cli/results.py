"""What is shown after a search: the front, the exported pair, and the next command to type."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoopt.app.launch import Outcome
from autoopt.app.study import Study
from autoopt.ledger import TrialRow
from autoopt.orchestrator import StopReason
from autoopt.report.wording import choices_that_matter, measure_cells, milliseconds, number
from autoopt.values import (
    TrialState,
    format_bytes,
    format_seconds,
)

MAX_FRONT_ROWS = 12
MAX_FAILURES = 10


def front_table(trials: Sequence[TrialRow], metric: str, baseline: float | None) -> Table:
    """The front, best first, with the dummy baseline below it."""
    table = Table(title="the front: nothing found beats these on all objectives", title_justify="left", box=None)
    for heading, justify in (("trial", "right"), ("model", "left"), (f"valid {metric}", "right")):
        table.add_column(heading, justify=justify, header_style="dim", no_wrap=True)  # type: ignore[arg-type]
    for heading in ("latency", "size"):
        table.add_column(heading, justify="right", header_style="dim", no_wrap=True)
    table.add_column("choices that matter", overflow="fold", header_style="dim")
    for trial in trials[:MAX_FRONT_ROWS]:
        cells = measure_cells(trial.measures)
        table.add_row(str(trial.number), str(trial.recipe.get("model", "")), *cells, choices_that_matter(trial.recipe))
    if len(trials) > MAX_FRONT_ROWS:
        table.add_row("", Text(f"and {len(trials) - MAX_FRONT_ROWS} more", style="dim"))
    if baseline is not None:
        table.add_row("–", Text("dummy", style="dim"), number(baseline), "–", "–", Text("learns nothing", style="dim"))
    return table


def artifact_table(manifest: Mapping[str, Any]) -> Table:
    """The exported pair, measured again: quality on valid and test, latency, size."""
    table = Table(title="exported", title_justify="left", box=None)
    for heading in ("artifact", "valid", "test (95 %)", "batch 1", "batch 256", "size"):
        table.add_column(heading, justify="left" if heading == "artifact" else "right", header_style="dim")
    for artifact in manifest["artifacts"]:
        latency, test = artifact["latency"], artifact["test"]
        chosen = " (predict uses this)" if artifact["role"] == manifest["chosen"] else ""
        tested = f"{number(test['value'])} ({number(test['low'])}–{number(test['high'])})" if test else "–"
        table.add_row(
            artifact["role"] + chosen,
            number(artifact["valid"]["value"]),
            tested,
            milliseconds(latency["batch_1"]["p50_ms"]),
            milliseconds(latency["batch_256"]["p50_ms"]),
            format_bytes(artifact["bytes"]),
        )
    return table


def _read_manifest(study: Study) -> dict[str, Any] | None:
    folder = study.bundle
    return json.loads((folder / "manifest.json").read_text()) if folder else None


def print_study(console: Console, study: Study) -> None:
    """Front, exported pair, counts: what `search` ends with and `show` begins with."""
    manifest = _read_manifest(study)
    front = study.front
    if front:
        baseline = manifest["baseline"]["valid"] if manifest else None
        console.print(front_table(front, study.context.facts.metric, baseline))
    if manifest:
        console.print()
        console.print(artifact_table(manifest))
        if manifest["twin_reason"]:
            console.print(Text(f"twin: {manifest['twin_reason']}", style="yellow"))
        if manifest["missed"]:
            told = f"No trial keeps every limit; the nearest miss was exported: {manifest['missed']}"
            console.print(Text(told, style="bold yellow"))
    console.print()
    console.print(Text(counts_line(study)))


def counts_line(study: Study) -> str:
    """`41 trials (39 complete, 2 failed) in 58s`."""
    totals, row = study.totals, study.row
    parts = [
        f"{count} {name}"
        for name, count in (
            ("complete", totals.complete),
            ("pruned", totals.pruned),
            ("infeasible", totals.infeasible),
            ("failed", totals.failed),
        )
        if count
    ]
    return f"{totals.counted} trials ({', '.join(parts) or 'none ended'}) in {format_seconds(row.spent_s)}"


def failures_table(trials: Sequence[TrialRow]) -> Table | None:
    """Trials that failed or broke a limit, with the reason."""
    bad = [t for t in trials if t.state in (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.PRUNED)]
    if not bad:
        return None
    table = Table(title="not usable", title_justify="left", box=None)
    for heading in ("trial", "model", "state", "why"):
        table.add_column(
            heading, header_style="dim", overflow="fold", justify="right" if heading == "trial" else "left"
        )
    for trial in bad[-MAX_FAILURES:]:
        why = ": ".join(x for x in (trial.reason if trial.reason != "limit" else "", trial.message) if x)
        table.add_row(str(trial.number), str(trial.recipe.get("model", "")), trial.state.value, why)
    if len(bad) > MAX_FAILURES:
        table.add_row("", "", "", Text(f"and {len(bad) - MAX_FAILURES} earlier ones", style="dim"))
    return table


def next_commands(study: Study, *, stopped: bool) -> list[str]:
    """What to type next."""
    where = ""
    if study.places.home:
        where += f" --home {shlex.quote(study.places.home)}"
    if study.places.storage:
        where += f" --storage {shlex.quote(study.places.storage)}"
    if stopped:
        return [f"autoopt resume {study.name}{where}", f"autoopt show {study.name}{where}"]
    found = [f"autoopt show {study.name}{where}", f"autoopt resume {study.name} --time 2m{where}"]
    if study.bundle:
        bundle = shlex.quote(str(study.bundle))
        found[:0] = [f"autoopt predict {bundle} new.csv -o predictions.csv", f"autoopt check {bundle}"]
    return [*found, f"autoopt ui{where}"]


def print_outcome(console: Console, outcome: Outcome, *, as_json: bool) -> int:
    """The block after a search or a resume; returns the exit code."""
    study = outcome.study
    console.print()
    print_study(console, study)
    stopped = outcome.session.stopped is StopReason.USER
    if stopped:
        console.print(Text("Stopped by you. Nothing is lost; the first command goes on.", style="bold"))
    elif study.bundle:
        console.print(Text(f"bundle {study.bundle}", style="bold green" if outcome.exit_code == 0 else "bold yellow"))
    else:
        console.print(Text("No trial left anything to export; `autoopt show` says why.", style="bold red"))
    for command in next_commands(study, stopped=stopped):
        console.print(Text(f"  {command}", style="cyan"), soft_wrap=True)
    if as_json:
        click.echo(json.dumps(study.summary(), allow_nan=False))
    return outcome.exit_code
