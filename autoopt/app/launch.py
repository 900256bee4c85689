"""Start a study, or go on with one."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from autoopt.app.context import StudyContext
from autoopt.app.options import Places, SearchOptions
from autoopt.app.session import SessionResult, run_session
from autoopt.app.studies import open_ledger
from autoopt.app.study import Study
from autoopt.app.unchanged import check_own_module
from autoopt.app.understanding import Understanding, check_name_is_free, understand
from autoopt.files import Home
from autoopt.ledger import Ledger
from autoopt.orchestrator import Observer, Silent, StopReason
from autoopt.values import Budget

EXIT_DONE, EXIT_NOTHING_FEASIBLE, EXIT_STOPPED = 0, 3, 130


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a search or a resume ended, for whoever has to show it."""

    study: Study
    session: SessionResult

    @property
    def exit_code(self) -> int:
        """0 done, 3 without a feasible trial, 130 stopped by the user."""
        if self.session.stopped is StopReason.USER:
            return EXIT_STOPPED
        exported = self.session.exported
        return EXIT_NOTHING_FEASIBLE if exported is None or self.study.best is None else EXIT_DONE


@contextlib.contextmanager
def _saying_how_to_go_on(ledger: Ledger, name: str) -> Iterator[None]:
    """An interruption that does not wait for anything still says how to go on, once there is a study."""
    try:
        yield
    except KeyboardInterrupt as error:
        if name not in {s.name for s in ledger.studies()}:
            raise
        raise KeyboardInterrupt(f"Nothing that was recorded is lost. Go on with: autoopt resume {name}") from error


def search_understood(
    understanding: Understanding, *, started: float | None = None, observer: Observer | None = None
) -> Outcome:
    """Make the study and run it. `started`: time.monotonic when the command began."""
    began = time.monotonic() if started is None else started
    options = understanding.options
    check_name_is_free(options)
    home = Home.locate(options.places.home)
    with open_ledger(options.places, create=True) as ledger, _saying_how_to_go_on(ledger, understanding.study):
        understanding.task.save(home.snapshot(understanding.facts.fingerprint))
        study = ledger.create_study(understanding.study, understanding.spec(), understanding.budget)
        session = run_session(
            ledger,
            study.name,
            options.places,
            started=began,
            observer=observer or Silent(),
            output=options.output,
        )
    return Outcome(study=Study(study.name, options.places), session=session)


def run_search(options: SearchOptions, *, started: float | None = None, observer: Observer | None = None) -> Outcome:
    """Understand, then search."""
    began = time.monotonic() if started is None else started
    return search_understood(understand(options), started=began, observer=observer)


def run_resume(
    name: str,
    places: Places,
    *,
    more: Budget = Budget(),  # noqa: B008  # frozen
    output: str | None = None,
    targets: tuple[str, ...] | None = None,
    started: float | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """Go on with a study: with its remaining budget, or with `more` added to it.

    `targets`: runtimes that this session's export may choose, in place of the study's.
    Raises StudyError, before anything is written, for a study that cannot go on here and now.
    """
    began = time.monotonic() if started is None else started
    with open_ledger(places) as ledger, _saying_how_to_go_on(ledger, name):
        check_own_module(StudyContext.load(ledger, name, places))
        if more.seconds is not None or more.trials is not None:
            with ledger.own(name) as writer:
                writer.extend_budget(more)
        session = run_session(
            ledger, name, places, started=began, observer=observer or Silent(), output=output, targets=targets
        )
    return Outcome(study=Study(name, places), session=session)
