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
from autoopt.app.options import NO_TRACKING
from autoopt.app.study import Study
from autoopt.bundle import has_weights_only
from autoopt.cli.compressed import print_drop_in, print_ladder, smaller_form
from autoopt.cli.screen import place
from autoopt.cli.shared import command_name
from autoopt.ledger import TrialRow
from autoopt.orchestrator import StopReason
from autoopt.report.serving import served_words
from autoopt.report.wording import NONE, choices_that_matter, fallen_twins, measure_cells, milliseconds, number
from autoopt.space.ensembles import ensemble_words, is_ensemble
from autoopt.task.facts import Modality
from autoopt.values import StudyState, TrialState, format_bytes, format_seconds

MAX_FRONT_ROWS = 12
MAX_FAILURES = 10
RAW: Mapping[str, str] = {Modality.TEXT: "raw texts", Modality.IMAGES: "raw pixels", Modality.MODULE: "raw arrays"}
NEW_DATA: Mapping[str, tuple[str, str]] = {
    Modality.IMAGES: ("photos", "predicts the images of a folder"),
    Modality.MODULE: ("inputs.npz", "predicts rows of arrays"),
}
DUMMY = "learns nothing: what guessing gives"


def front_table(trials: Sequence[TrialRow], metric: str, baseline: float | None) -> Table:
    """The front, best first, with the dummy baseline below it."""
    table = Table(
        title="the front: no other trial is better than one of these in every objective", title_justify="left", box=None
    )
    for heading in ("trial", "model", metric, "latency", "size"):
        left = heading == "model"
        table.add_column(heading, justify="left" if left else "right", header_style="dim", no_wrap=True)
    table.add_column("choices that matter", overflow="fold", header_style="dim")
    for trial in trials[:MAX_FRONT_ROWS]:
        cells = measure_cells(trial.measures)
        table.add_row(str(trial.number), str(trial.recipe.get("model", "")), *cells, choices_that_matter(trial.recipe))
    if len(trials) > MAX_FRONT_ROWS:
        table.add_row("", Text(f"{len(trials) - MAX_FRONT_ROWS} more", style="dim"))
    if baseline is not None:
        table.add_row(NONE, Text("dummy", style="dim"), number(baseline), NONE, NONE, Text(DUMMY, style="dim"))
    return table


def artifact_table(manifest: Mapping[str, Any]) -> Table:
    """What was exported, measured again: quality on valid and test, latency of one row and of 256, size."""
    told = f" ({ensemble_words(manifest['recipe'])})" if is_ensemble(manifest["recipe"]) else ""
    pair = " and its twin" if len(manifest["artifacts"]) > 1 else ", in float alone"
    table = Table(title=f"exported: trial {manifest['trial']}{told}{pair}", title_justify="left", box=None)
    table.add_column("", header_style="dim")
    for heading in ("valid", "test", "95 % of test", "1 row", "256 rows", "size"):
        table.add_column(heading, justify="right", header_style="dim", no_wrap=True)
    for artifact in manifest["artifacts"]:
        latency, test = artifact["latency"], artifact["test"]
        is_chosen = artifact["role"] == manifest["chosen"]
        table.add_row(
            Text(artifact["role"] + (" *" if is_chosen else ""), style="bold" if is_chosen else ""),
            number(artifact["valid"]["value"]),
            number(test["value"]) if test else NONE,
            f"{number(test['low'])}–{number(test['high'])}" if test and test["low"] is not None else NONE,
            milliseconds(latency["batch_1"]["p50_ms"]),
            milliseconds(latency["batch_256"]["p50_ms"]),
            format_bytes(artifact["bytes"]),
        )
    return table


def print_exported(console: Console, manifest: Mapping[str, Any]) -> None:
    """The pair, and all that has to be said about it."""
    console.print(artifact_table(manifest))
    raw = RAW.get(raw_form(manifest), "raw columns")
    console.print(Text(f"* predict uses this one; {manifest['metric']}, one thread, {raw} in", style="dim"))
    served = served_words(next(a for a in manifest["artifacts"] if a["role"] == manifest["chosen"]))
    if served:
        console.print(Text(served, style="dim"))
    if manifest.get("twin_compared"):
        console.print(Text(f"quantized beside float: {manifest['twin_compared']}", style="dim"))
    for attempt in fallen_twins(manifest.get("twins_tried", ()), manifest["twin_reason"]):
        console.print(Text(f"tried as the twin: {attempt}", style="dim"))
    if manifest["twin_reason"]:
        console.print(Text(manifest["twin_reason"], style="yellow"))
    if manifest["missed"]:
        console.print(Text("No trial keeps every limit. This is the nearest miss:", style="bold yellow"))
        console.print(Text(f"  {manifest['missed']}", style="yellow"))


def raw_form(manifest: Mapping[str, Any]) -> str:
    """How a bundle's raw rows are given; older bundles say only what they learned from."""
    return str(manifest.get("raw_form", manifest.get("modality", "")))


def _read_manifest(study: Study) -> dict[str, Any] | None:
    folder = study.bundle
    return json.loads((folder / "manifest.json").read_text()) if folder else None


def print_study(console: Console, study: Study) -> None:
    """Front, exported pair, counts: what `search` ends with and `show` begins with."""
    manifest = _read_manifest(study)
    front = study.front
    if study.context.facts.came_trained:
        print_ladder(console, study, manifest)
    elif front:
        baseline = manifest["baseline"]["valid"] if manifest else None
        console.print(front_table(front, study.context.facts.metric, baseline))
        console.print()
    if manifest:
        print_exported(console, manifest)
        if study.context.facts.came_trained:
            print_drop_in(console, study, manifest)
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
    trials = f"{totals.counted} trial{'s' if totals.counted != 1 else ''}"
    told = "; the space holds nothing new" if row.state is StudyState.EXHAUSTED else ""
    return f"{trials} ({', '.join(parts) or 'none ended'}) in {format_seconds(row.spent_s)}{told}"


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


def predict_command(bundle: str, modality: str, task: str = "") -> tuple[str, str]:
    """How new data of this kind are predicted; `task`: of a module that has no graph."""
    data, what = NEW_DATA.get(modality, ("new.csv", "predicts new rows"))
    return f"{command_name()} predict {bundle} {data}{_task_words(task)} -o predictions.csv", what


def _task_words(task: str) -> str:
    return f" --task {shlex.quote(task)}" if task else ""


def next_commands(study: Study, *, stopped: bool) -> list[tuple[str, str]]:
    """What to type next, and what it does."""
    me, where = command_name(), ""
    if study.places.home:
        where += f" --home {shlex.quote(study.places.home)}"
    if study.places.storage:
        where += f" --storage {shlex.quote(study.places.storage)}"
    untold = f" --tracking-uri {NO_TRACKING}" if study.places.tracking_uri == NO_TRACKING else ""
    show = (f"{me} show {study.name}{where}", "all trials, and why some failed")
    if stopped:
        return [(f"{me} resume {study.name}{where}{untold}", "goes on"), show]
    found = [show]
    if study.row.state is not StudyState.EXHAUSTED:  # a resume would only measure the same again
        found.append((f"{me} resume {study.name} --time 2m{where}{untold}", "searches on"))
    if study.bundle:
        bundle = shlex.quote(place(study.bundle))
        task = study.context.facts.module if has_weights_only(study.bundle) else ""
        found[:0] = [
            predict_command(bundle, study.context.facts.raw_form, task),
            (f"{me} check {bundle}{_task_words(task)}", "on this machine"),
        ]
        manifest = _read_manifest(study)
        if manifest and (smaller := smaller_form(study, manifest)):
            found.append((f"{me} {smaller[0]}{where}", smaller[1]))
    if study.places.tracking_url is not None:
        found.append((f"{me} ui{where}", "the same in MLflow"))
    return found


def print_commands(console: Console, commands: Sequence[tuple[str, str]]) -> None:
    """Commands to copy, never broken by us; what they do beside them where there is room."""
    widest = max(len(command) for command, _ in commands)
    for command, what in commands:
        text = Text(f"  {command}", style="cyan")
        if widest + len(what) + 7 <= console.width:
            text.append(f"{'':{widest - len(command)}}   # {what}", style="dim")
        console.print(text, soft_wrap=True)


def print_outcome(console: Console, outcome: Outcome, *, as_json: bool) -> int:
    """The block after a search or a resume; returns the exit code."""
    study = outcome.study
    console.print()
    print_study(console, study)
    stopped = outcome.session.stopped is StopReason.USER
    if stopped:
        console.print(Text("Stopped by you. Nothing is lost: resume goes on.", style="bold"))
    elif study.bundle:
        style = "bold green" if outcome.exit_code == 0 else "bold yellow"
        console.print(Text(f"bundle: {place(study.bundle)}", style=style), soft_wrap=True)
    else:
        console.print(Text("No trial left anything to export; `autoopt show` says why.", style="bold red"))
    print_commands(console, next_commands(study, stopped=stopped))
    if as_json:
        click.echo(json.dumps(study.summary(), allow_nan=False))
    return outcome.exit_code
