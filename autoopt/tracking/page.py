"""MLflow's own page as a server on loopback, ended with whoever started it."""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from autoopt.tracking import leash
from autoopt.tracking.wording import sqlite_path

HOST: Final = "127.0.0.1"
END_GRACE_S: Final = 12.0
_ENVIRONMENT: Final = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def make_database(tracking_uri: str, *, artifact_folder: Path, log_path: Path) -> bool:
    """Make MLflow's SQLite database unless it is there: two processes that make it at once would break it.

    False when it could not be made; why is in the log.
    """
    path = sqlite_path(tracking_uri)
    if path is None or path.exists():
        return True
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "autoopt.tracking.database", str(artifact_folder)]
    environment = {**os.environ, **_ENVIRONMENT, "MLFLOW_TRACKING_URI": tracking_uri}
    with log_path.open("ab") as log:
        return (
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment).returncode == 0
        )


@final
class TrackingPage:
    """A running MLflow server; `close` ends all of its processes, and so does the end of this one."""

    def __init__(self, tracking_uri: str, *, artifact_folder: Path, port: int, log_path: Path) -> None:
        self.url = f"http://{HOST}:{port}"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        # MLflow puts what it is not told a place for into the current folder.
        artifact_folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", leash.__file__, *_server(artifact_folder, port)]
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=artifact_folder,
                env=_environment(tracking_uri),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ended(self) -> bool:
        """Whether the server is gone."""
        return self._process.poll() is not None

    def answers(self) -> bool:
        """Whether the page itself can be had by now."""
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(self.url, timeout=2) as page:
            return bool(page.status == 200)
        return False

    def close(self) -> None:
        """End it; may be called twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=END_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _server(artifact_folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--artifacts-destination", artifact_folder.absolute().as_uri()),
        *("--host", HOST, "--port", str(port)),
        # Exact: MLflow's default takes every private address, and names that merely begin like one.
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}"),
        *("--x-frame-options", "DENY"),
    ]


def _environment(tracking_uri: str) -> Mapping[str, str]:
    """The database by environment: it may hold a password, and arguments are for everybody to see."""
    cleared = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    return cleared | _ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": tracking_uri}
