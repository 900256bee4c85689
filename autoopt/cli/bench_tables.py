"""The tables of `autoopt bench`."""

from rich.table import Table
from rich.text import Text

from autoopt.bundle import BenchReport
from autoopt.report.wording import milliseconds
from autoopt.values import format_bytes


def speeds_table(report: BenchReport) -> Table:
    """A line for each artifact, batch size and number of threads."""
    several = len({c.bundle for c in report.contenders}) > 1
    table = _table(
        [*(["bundle"] if several else []), "artifact"], ["threads", "rows", "p50", "p95", "p99", "rows/s", "x"]
    )
    first = report.contenders[0]
    for place, speed in enumerate(report.speeds):
        if place and (speed.bundle, speed.role) == (first.bundle, first.role):
            table.add_row()
        latency = speed.latency
        table.add_row(
            *([Text(speed.bundle)] if several else []),
            speed.role,
            str(speed.threads),
            f"{speed.rows:,}",
            milliseconds(latency.p50_ms),
            milliseconds(latency.p95_ms),
            milliseconds(latency.p99_ms),
            f"{speed.rows_per_s:,.0f}",
            f"{speed.gain:.2f}",
        )
    return table


def loads_table(report: BenchReport) -> Table:
    """A line for each artifact: its file, and what a process of its own needs for it."""
    several = len({c.bundle for c in report.contenders}) > 1
    table = _table([*(["bundle"] if several else []), "artifact", "run by"], ["file", "ready after", "memory"])
    for c in report.contenders:
        table.add_row(
            *([Text(c.bundle)] if several else []),
            c.role,
            c.runtime,
            format_bytes(c.size_bytes),
            milliseconds(1000 * c.load_s),
            format_bytes(c.memory_bytes),
        )
    return table


def _table(names: list[str], figures: list[str]) -> Table:
    table = Table(box=None)
    for heading in names:
        table.add_column(heading, header_style="dim", overflow="fold")
    for heading in figures:
        table.add_column(heading, header_style="dim", justify="right", no_wrap=True)
    return table
