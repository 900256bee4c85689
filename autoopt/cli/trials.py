"""The table of all trials."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from autoopt.ledger import TrialRow
from autoopt.report.wording import choices_that_matter, measure_cells
from autoopt.values import TrialState

MOST_TRIALS = 30


def trials_table(trials: Sequence[TrialRow], metric: str) -> Table:
    """The newest trials, one line each; duplicates are only counted."""
    shown = [t for t in trials if t.state is not TrialState.DUPLICATE]
    duplicates = len(trials) - len(shown)
    title = f"trials ({len(shown)}" + (
        f", and {duplicates} duplicates answered from the ledger)" if duplicates else ")"
    )
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("trial", "state", "model", metric, "latency", "size", "seconds"):
        left = heading in ("state", "model")
        table.add_column(heading, header_style="dim", justify="left" if left else "right", no_wrap=True)
    table.add_column("choices that matter", header_style="dim", overflow="fold")
    if len(shown) > MOST_TRIALS:
        table.add_row("", Text(f"{len(shown) - MOST_TRIALS} earlier ones: see the report", style="dim"))
    for trial in shown[-MOST_TRIALS:]:
        seconds = f"{trial.seconds:.1f}" if trial.seconds is not None else "–"
        cells = measure_cells(trial.measures)
        style = "" if trial.state is TrialState.COMPLETE else "dim"
        table.add_row(
            str(trial.number),
            trial.state.value,
            str(trial.recipe.get("model", "")),
            *cells,
            seconds,
            choices_that_matter(trial.recipe),
            style=style,
        )
    return table
