"""A study that begins on this screen: watched while it runs, its outcome shown. Of `search` and of `compress`."""

from rich.console import Console

from autoopt.app.launch import search_understood
from autoopt.app.understanding import Understanding
from autoopt.cli.live import watcher
from autoopt.cli.results import print_outcome


def searched(console: Console, understanding: Understanding, started: float, *, as_json: bool) -> int:
    """The command's exit code; `started` (time.monotonic): when it began, which its time counts from."""
    about = (understanding.facts, understanding.space, understanding.budget)
    with watcher(console, *about, started) as observer:
        outcome = search_understood(understanding, started=started, observer=observer)
    return print_outcome(console, outcome, as_json=as_json)
