"""What is shown during a search: a live block on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autoopt.app.forms import form_of
from autoopt.ledger import TrialRow
from autoopt.orchestrator import Observer, SlotView
from autoopt.orchestrator.selection import quality_order
from autoopt.report.wording import measure_cells
from autoopt.space import Choice, Space
from autoopt.space.ensembles import ENSEMBLE
from autoopt.task.facts import TaskFacts
from autoopt.values import Budget, TrialState, format_seconds

BAR_WIDTH = 24
FORM_WIDTH = 36


def model_width(space: Space) -> int:
    """Of the column that any model of the space fits into, and an ensemble, with a blank behind it."""
    domains = [d.domain for d in space.dimensions if d.name == "model"]
    names = [str(value) for domain in domains if isinstance(domain, Choice) for value in domain.values]
    return max(map(len, [*names, ENSEMBLE])) + 1


class _Tally:
    """Counts and the best so far: what both kinds of screen need."""

    def __init__(self, facts: TaskFacts, space: Space, started: float) -> None:
        self.facts = facts
        self.started = started
        self._name_width = FORM_WIDTH if facts.came_trained else model_width(space)
        self.counts = {state: 0 for state in TrialState}
        self.best: TrialRow | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def add(self, trial: TrialRow) -> bool:
        """Count a trial; True when it is the new best. An ensemble, made at the end, is none of those asked for."""
        if trial.source != "ensemble":
            self.counts[trial.state] += 1
        if trial.state is not TrialState.COMPLETE:
            return False
        direction = self.facts.metric_direction
        if self.best is None or quality_order(trial, direction) < quality_order(self.best, direction):
            self.best = trial
            return True
        return False

    def head(self, number: int, name: str) -> str:
        """How a trial's line begins."""
        return f"{self.seconds:6.1f}s  trial {number:<4d}{name:<{self._name_width - 1}s} "

    def name(self, trial: TrialRow) -> str:
        """What tells a trial from others at a glance: its model, or of one that came trained the form."""
        return form_of(trial.recipe) if self.facts.came_trained else str(trial.recipe.get("model", ""))

    def line(self, trial: TrialRow) -> str:
        """A trial's end in one line."""
        head = self.head(trial.number, self.name(trial))
        if trial.state is TrialState.COMPLETE:
            quality, latency, size = measure_cells(trial.measures)
            return f"{head}{self.facts.metric} {quality:<9s}{latency:>10s}{size:>10s}"
        if trial.state is TrialState.STOPPED:
            why = f": {trial.message}" if trial.message else " before its end"
            return f"{head}stopped{why}; a resume tries it again"
        told = trial.message or trial.reason
        return f"{head}{trial.state.value}{': ' + told if told else ''}"


class PlainLines:
    """A line for each trial, without control characters."""

    def __init__(self, console: Console, tally: _Tally) -> None:
        self._console = console
        self._tally = tally

    def trial_started(self, number: int, slot: int, model: str, attempt: int) -> None:
        """Only a second attempt is worth a line."""
        if attempt:
            self._print(f"{self._tally.head(number, model)}starts again (attempt {attempt + 1})")

    def trial_ended(self, trial: TrialRow) -> None:
        """One line, the best so far marked."""
        is_best = self._tally.add(trial)
        self._print(self._tally.line(trial) + ("  best" if is_best else ""))

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """Not shown."""

    def phase(self, text: str) -> None:
        """A line."""
        self._print(f"{self._tally.seconds:6.1f}s  {text}")

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class LiveBlock:
    """A bar with time and trials, the best so far, and what each slot does; finished trials scroll by above it."""

    def __init__(self, live: Live, tally: _Tally, budget: Budget, before_s: float) -> None:
        self._live = live
        self._tally = tally
        self._budget = budget
        self._before_s = before_s
        self._slots: tuple[SlotView, ...] = ()
        self._phase = "starting the workers"

    def __rich__(self) -> Group:
        spent_s = self._before_s + self._tally.seconds
        counted = sum(n for state, n in self._tally.counts.items() if state.counts)
        seconds, trials = self._budget.seconds, self._budget.trials
        share = max(spent_s / seconds if seconds else 0.0, counted / trials if trials else 0.0)
        head = Table.grid(padding=(0, 1))
        time_text = format_seconds(int(spent_s)) + (f" of {format_seconds(seconds)}" if seconds else "")
        trials_text = f"{counted}{f' of {trials}' if trials else ''} trial{'s' if (trials or counted) != 1 else ''}"
        bar = ProgressBar(total=1.0, completed=min(share, 1.0), width=BAR_WIDTH)
        head.add_row(bar, Text(" · ".join(filter(None, (time_text, trials_text, self._best_text())))))
        lines = [Text(f"  {self._phase}", style="cyan")] if self._phase else [self._slot_text(s) for s in self._slots]
        return Group(head, *lines)

    def _best_text(self) -> str:
        if self._tally.best is None:
            return ""
        quality, latency, _ = measure_cells(self._tally.best.measures)
        return f"best {self._tally.facts.metric} {quality} at {latency}"

    @staticmethod
    def _slot_text(slot: SlotView) -> Text:
        if slot.trial is None:
            return Text(f"  slot {slot.slot}: idle", style="dim")
        step = f" {slot.step}" if slot.step is not None else ""
        return Text(f"  slot {slot.slot}: trial {slot.trial} {slot.model} {slot.stage}{step}", style="dim")

    def trial_started(self, number: int, slot: int, model: str, attempt: int) -> None:
        """Shown by the slots."""

    def trial_ended(self, trial: TrialRow) -> None:
        """Scrolls by above the block."""
        is_best = self._tally.add(trial)
        style = {TrialState.COMPLETE: "bold" if is_best else "", TrialState.FAILED: "red"}.get(trial.state, "dim")
        self._live.console.print(Text(self._tally.line(trial) + ("  best" if is_best else ""), style=style))

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """Redrawn by the live block's own timer."""
        self._slots = slots
        if any(slot.trial is not None for slot in slots):
            self._phase = ""

    def phase(self, text: str) -> None:
        """Replaces the slots."""
        self._phase = text


@contextmanager
def watcher(
    console: Console,
    facts: TaskFacts,
    space: Space,
    budget: Budget,
    started: float,
    before_s: float = 0.0,
    earlier: Iterable[TrialRow] = (),
) -> Iterator[Observer]:
    """The observer that fits where the output goes. `before_s`, `earlier`: what earlier sessions spent and found."""
    tally = _Tally(facts, space, started)
    for trial in earlier:
        tally.add(trial)
    if not console.is_terminal:
        yield PlainLines(console, tally)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        block = LiveBlock(live, tally, budget, before_s)
        live.update(block)
        yield block
