"""`autoopt ui`: MLflow's own page, on loopback, on the database of these studies."""

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from autoopt.app.options import TRACKING_VARIABLE, Places
from autoopt.app.studies import list_studies, open_ledger
from autoopt.errors import LedgerError, OptionError, StudyError
from autoopt.files import Home
from autoopt.tracking import HOST, TrackingOutbox, TrackingPage, make_database

FIRST_PORT: Final = 5000
READY_S: Final = 120.0
LEFT_OVER_S: Final = 30.0
"""For each study: how long `ui` may hold it to deliver what a search could not."""


def serve_ui(places: Places, port: int | None, *, say: Callable[[str], object]) -> int:
    """Serve until Ctrl-C; prints the URL once the page answers. A tracking server by URL is only named.

    Raises StudyError where there is no study or the page does not start, OptionError for a port that is taken or where
    MLflow is told nothing.
    """
    home = Home.locate(places.home)
    uri = places.tracking_url
    if uri is None:
        what = "The MLflow UI shows what MLflow was told, and --tracking-uri none says to tell it nothing."
        raise OptionError(what, f"Leave it out, or unset {TRACKING_VARIABLE}: ui then sends what waits, and shows it.")
    if uri.startswith(("http://", "https://")):
        say(f"The tracking server is {uri}")
        return 0
    if not list_studies(places):
        where = places.storage or home.root
        raise StudyError(f"No studies in {where} yet. Begin with: autoopt search demo:digits --time 60s")
    chosen = _free_port(port)
    log_path = home.root / "logs" / "ui.log"
    try:
        with _terminated_as_interrupted():
            say("Starting the MLflow UI ...")
            if not make_database(uri, artifact_folder=home.tracking_artifacts, log_path=log_path):
                raise StudyError(f"The MLflow database could not be made; the log is {log_path}.")
            with TrackingPage(uri, artifact_folder=home.tracking_artifacts, port=chosen, log_path=log_path) as page:
                _serve(page, _deliver_left_over(places, home, uri), log_path, say)
    except KeyboardInterrupt:
        say("Ended.")
    return 0


def _serve(
    page: TrackingPage, delivering: Generator[bool, None, None], log_path: Path, say: Callable[[str], object]
) -> None:
    """Wait for the page, then for its end; meanwhile send what is left over."""
    give_up_at = time.monotonic() + READY_S
    told = False
    with contextlib.closing(delivering):
        while not page.ended() and (told or time.monotonic() < give_up_at):
            if not told and (told := page.answers()):
                say(f"MLflow UI: {page.url}  (Ctrl-C ends it)")
            if not next(delivering, False):
                time.sleep(0.2)
    raise StudyError(f"The MLflow UI {'ended by itself' if told else 'did not start'}; its log is {log_path}.")


def _deliver_left_over(places: Places, home: Home, uri: str) -> Generator[bool, None, None]:
    """Send what a search could not deliver, for every study that nobody is running; yields between short steps."""
    with open_ledger(places) as ledger:
        for study in ledger.studies():
            # Busy, removed meanwhile, a database that is away: the page is there all the same.
            with contextlib.suppress(StudyError, LedgerError), ledger.own(study.name) as writer:
                log_path = home.logs(study.name) / "tracking.log"
                end = time.monotonic() + LEFT_OVER_S
                with TrackingOutbox(uri, artifact_folder=home.tracking_artifacts, log_path=log_path) as outbox:
                    while outbox.drain(writer, 0.2) and outbox.active and time.monotonic() < end:
                        yield True


def _free_port(wanted: int | None) -> int:
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except PermissionError:
                told = f"--port {port} is for administrators only."
            except OSError:
                told = f"--port {port} is taken."
    if wanted is None:
        told = f"No port from {FIRST_PORT} to {FIRST_PORT + 99} is free."
    raise OptionError(told, "Give another --port.")


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends this like Ctrl-C: the server must not stay."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
