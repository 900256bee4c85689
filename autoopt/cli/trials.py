"""The table of all trials."""

from collections.abc import Sequence

from rich.table import Table

from autoopt.ledger import TrialRow
from autoopt.report.wording import choices_that_matter, measure_cells
from autoopt.values import LATENCY_MS, TrialState

MOST_TRIALS = 30
CHOICES_WIDTH = 110
"""Columns of a terminal from which on a trial's choices have room beside its measures."""


def trials_table(trials: Sequence[TrialRow], metric: str, *, width: int) -> Table:
    """The newest trials, one line each; duplicates are only counted. A narrow screen goes without the choices."""
    shown = [t for t in trials if t.state is not TrialState.DUPLICATE]
    duplicates = len(trials) - len(shown)
    parts = [str(len(shown))]
    if duplicates:
        parts.append(f"and {duplicates} duplicates answered from the ledger")
    if len(shown) > MOST_TRIALS:
        parts.append(f"the last {MOST_TRIALS} below, all of them in the report")
    title = f"trials ({', '.join(parts)})"
    rough = any(LATENCY_MS in t.measures and t.measures[LATENCY_MS].provisional for t in shown[-MOST_TRIALS:])
    caption = "~ taken while other trials ran; the candidates for export were measured again" if rough else None
    table = Table(title=title, title_justify="left", box=None, caption=caption, caption_justify="left")
    for heading in ("trial", "state", "model", metric, "latency", "size", "seconds"):
        left = heading in ("state", "model")
        table.add_column(heading, header_style="dim", justify="left" if left else "right", no_wrap=True)
    if width >= CHOICES_WIDTH:
        table.add_column("choices that matter", header_style="dim", overflow="fold")
    for trial in shown[-MOST_TRIALS:]:
        seconds = f"{trial.seconds:.1f}" if trial.seconds is not None else "–"
        cells = measure_cells(trial.measures)
        style = "" if trial.state is TrialState.COMPLETE else "dim"
        row = [str(trial.number), trial.state.value, str(trial.recipe.get("model", "")), *cells, seconds]
        if width >= CHOICES_WIDTH:
            row.append(choices_that_matter(trial.recipe))
        table.add_row(*row, style=style)
    return table
