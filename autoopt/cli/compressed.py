"""What is shown of the forms of a graph or network that came trained, in place of a front."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoopt.app.forms import shown_forms, smallest_of
from autoopt.app.study import Study
from autoopt.cli.screen import place
from autoopt.orchestrator.selection import value
from autoopt.report import FormLine
from autoopt.values import SIZE_BYTES, format_bytes

MOST_FORMS = 24
WORTH_TELLING = 1.1
"""How many times smaller than the exported one a form is that deserves a line."""


def most_telling(lines: Sequence[FormLine]) -> list[FormLine]:
    """The first MOST_FORMS, the usual ones among them, and the exported one."""
    return [line for place, line in enumerate(lines) if place < MOST_FORMS or line.exported]


def print_ladder(console: Console, study: Study, manifest: Mapping[str, Any] | None) -> None:
    """Each form that was tried, with what it measures and why it fell."""
    exported = None if manifest is None else (manifest["trial"], manifest["chosen"])
    what = "network" if study.context.facts.graph is None else "graph"
    table = Table(title=f"forms of the {what}, each of them measured", title_justify="left", box=None)
    for heading in ("trial", "form", study.context.facts.metric, "drop", "1 row", "256 rows", "size"):
        left = heading == "form"
        table.add_column(heading, justify="left" if left else "right", header_style="dim", no_wrap=not left)
    table.add_column("verdict", overflow="fold", header_style="dim")
    lines, spared = shown_forms(study.context, study.trials, exported)
    shown = most_telling(lines)
    for line in shown:
        style = "bold" if line.exported else ""
        told = (line.form, line.quality, line.drop, line.latency, line.batch, line.size)
        cells = [Text(cell, style=style) for cell in told]
        table.add_row(str(line.number), *cells, Text(line.verdict, style=style or "dim"))
    if len(lines) > len(shown):
        table.add_row("", Text(f"{len(lines) - len(shown)} more, in the report", style="dim"))
    console.print(table)
    if spared:
        console.print(Text(spared, style="dim"))
    console.print()


def smaller_form(study: Study, manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """Of a form that keeps the limits and is smaller than the exported one: how to export it, and what it is."""
    smallest = smallest_of(study.trials) if study.context.facts.came_trained else None
    if smallest is None:
        return None
    size = value(smallest, SIZE_BYTES)
    if size * WORTH_TELLING > next(a["bytes"] for a in manifest["artifacts"] if a["role"] == manifest["chosen"]):
        return None
    return (
        f"export {study.name} --pick {smallest.number} -o {study.name}-smaller",
        f"{format_bytes(size)}, where size matters more",
    )


def print_drop_in(console: Console, study: Study, manifest: Mapping[str, Any]) -> None:
    """How what was exported is used."""
    if study.bundle is None or manifest["chosen"] != "quantized":
        return
    twin = next(a["path"] for a in manifest["artifacts"] if a["role"] == "quantized")
    graph = study.context.facts.graph
    where = place(study.bundle / twin)
    told = f"{where} gives what the network gives, as an ONNX graph with raw inputs: `predict` and predict.py use it."
    if graph is not None and graph.raw_form:
        told = f"{place(study.bundle)} takes the place of {graph.name}: the same raw rows, the same columns come out."
    elif graph is not None:
        told = f"{where} takes the place of {graph.name}: the same inputs, the same outputs."
    console.print(Text(told, style="bold green"), soft_wrap=True)
