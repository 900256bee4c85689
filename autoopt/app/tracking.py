"""`autoopt ui`: MLflow's own page, on loopback, on the database of these studies."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from autoopt.app.options import Places
from autoopt.app.studies import list_studies, open_ledger
from autoopt.app.wiring import tracking_url
from autoopt.errors import OptionError, StudyBusy, StudyError
from autoopt.files import Home
from autoopt.tracking import TrackingOutbox

HOST = "127.0.0.1"
FIRST_PORT = 5000
READY_S = 90.0


def serve_ui(places: Places, port: int | None, *, say: Callable[[str], object]) -> int:
    """Serve until Ctrl-C; prints the URL once the page answers. A tracking server by URL is only named."""
    home = Home.locate(places.home)
    uri = tracking_url(places, home.tracking_url)
    if uri.startswith(("http://", "https://")):
        say(f"The tracking server is {uri}")
        return 0
    if not list_studies(places):
        raise StudyError(f"No studies in {home.root} yet. Begin with: autoopt search demo:digits --time 60s")
    _deliver_left_over(places, home, uri)
    chosen = _free_port(port)
    log_path = home.root / "logs" / "ui.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        server = subprocess.Popen(
            _command(uri, home, chosen),
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    try:
        _wait_until_ready(server, chosen, log_path)
        say(f"MLflow UI: http://{HOST}:{chosen}  (Ctrl-C ends it)")
        server.wait()
    except KeyboardInterrupt:
        say("Ended.")
    finally:
        _end(server)
    return 0


def _command(uri: str, home: Home, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", uri),
        *("--artifacts-destination", home.tracking_artifacts.absolute().as_uri()),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}"),
        *("--x-frame-options", "DENY"),
    ]


def _free_port(wanted: int | None) -> int:
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    told = f"--port {wanted} is taken." if wanted else f"No port from {FIRST_PORT} to {FIRST_PORT + 99} is free."
    raise OptionError(told, "Give another --port.")


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int, log_path: Path) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()
            return
        time.sleep(0.2)
    raise StudyError(f"The MLflow UI did not start; its log is {log_path}.")


def _deliver_left_over(places: Places, home: Home, uri: str) -> None:
    """Send what a search could not deliver, for every study that nobody is running."""
    with open_ledger(places) as ledger:
        for study in ledger.studies():
            with contextlib.suppress(StudyBusy), ledger.own(study.name) as writer:
                log_path = home.logs(study.name) / "tracking.log"
                with TrackingOutbox(uri, artifact_folder=home.tracking_artifacts, log_path=log_path) as outbox:
                    outbox.drain(writer, until_s=60.0)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server with everything it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=5)
            return
