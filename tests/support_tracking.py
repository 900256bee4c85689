"""What the tracking tests share: a ledger with rows to deliver, a look into MLflow's database, servers that misbehave.

MLflow's database is read by sqlite3 and not through MLflow: what a test finds there is what is there.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from autoopt.ledger import Ledger, StudyWriter
from autoopt.tracking import TrackingOutbox
from autoopt.values import Budget

BORN = "2026-03-01T10:00:00.250000+00:00"
BORN_MS = 1772359200250
STUDY = "s"
PATIENCE_S = 120.0
"""How long a test waits for what must happen: MLflow takes seconds to import, on a busy machine many."""


def study_uid(study: str = STUDY) -> str:
    return f"{study}@{BORN}"


def study_payload(study: str = STUDY, **changes: Any) -> dict[str, Any]:
    """A study's payload as `orchestrator.mirror` makes it."""
    return {
        "kind": "study",
        "uid": study_uid(study),
        "experiment": study,
        "run_name": study,
        "params": {"data": "demo:iris", "seed": "0"},
        "metrics": [],
        "tags": {"autoopt.source": "demo:iris"},
        "status": "RUNNING",
        "start_ms": BORN_MS,
        "end_ms": None,
        **changes,
    }


def trial_payload(number: int, study: str = STUDY, **changes: Any) -> dict[str, Any]:
    """A trial's payload as `orchestrator.mirror` makes it: two measures and a curve of three points."""
    at = BORN_MS + 1000 * (number + 1)
    metrics = [metric("quality", 0.5 + number / 1000, 0, at), metric("latency_ms", 0.25, 0, at)]
    return {
        "kind": "trial",
        "uid": f"{study_uid(study)}/{number}",
        "parent_uid": study_uid(study),
        "experiment": study,
        "run_name": f"trial {number}: lightgbm",
        "params": {"model": "lightgbm", "lightgbm.num_leaves": "31"},
        "metrics": metrics + [metric("curve_valid", 0.1 * step, step, at) for step in (1, 2, 3)],
        "tags": {"autoopt.state": "complete", "autoopt.trial": str(number)},
        "status": "FINISHED",
        "start_ms": at - 500,
        "end_ms": at,
        **changes,
    }


def metric(key: str, value: float, step: int, at_ms: int) -> dict[str, Any]:
    return {"key": key, "value": value, "step": step, "timestamp_ms": at_ms}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A study of a real ledger, owned by this process, and the places that its outbox writes to."""

    home: Path
    writer: StudyWriter

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "tracking.log"

    def outbox(self, uri: str | None = None) -> TrackingOutbox:
        return TrackingOutbox(uri or self.uri, artifact_folder=self.home / "mlflow-artifacts", log_path=self.log)

    def pending(self) -> int:
        return len(self.writer.pending_outbox(10_000))

    def deliver(self, payloads: Sequence[Mapping[str, Any]] = ()) -> None:
        """Enqueue, and one session's outbox until nothing is left. Fails with the log when something stays."""
        self.writer.enqueue(payloads)
        with self.outbox() as outbox:
            left = outbox.drain(self.writer, PATIENCE_S)
        assert left == 0, self.log.read_text()

    def send_again(self) -> None:
        """As if no acknowledgement had ever been noted."""
        with contextlib.closing(sqlite3.connect(self.home / "autoopt.db", timeout=30)) as connection:
            connection.execute("UPDATE ao_outbox SET delivered_at = NULL")
            connection.commit()

    def mlflow(self) -> "Mirror":
        return Mirror(self.home / "mlflow.db")


@contextlib.contextmanager
def desk(home: Path, study: str = STUDY) -> Iterator[Desk]:
    """A home with a ledger and one study in it."""
    home.mkdir(parents=True, exist_ok=True)
    with Ledger.open(f"sqlite:///{home / 'autoopt.db'}", create=True, patience_s=20.0) as ledger:
        ledger.create_study(study, {"seed": 7}, Budget(seconds=60.0))
        with ledger.own(study) as writer:
            yield Desk(home=home, writer=writer)


@dataclass(frozen=True)
class Mirror:
    """MLflow's database, read directly."""

    path: Path

    def rows(self, query: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()

    def run(self, uid: str) -> dict[str, Any]:
        """The one run of a uid: name, status, start and end in ms, parent's id, params, tags, metrics."""
        ids = self.rows("SELECT run_uuid FROM tags WHERE key = 'autoopt.uid' AND value = ?", uid)
        assert len(ids) == 1, f"{len(ids)} runs for {uid}"
        run_id = ids[0][0]
        query = "SELECT name, status, start_time, end_time FROM runs WHERE run_uuid = ?"
        name, status, start_ms, end_ms = self.rows(query, run_id)[0]
        tags = dict(self.rows("SELECT key, value FROM tags WHERE run_uuid = ?", run_id))
        query = "SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ? ORDER BY key, step"
        return {
            "id": run_id,
            "name": name,
            "status": status,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "parent": tags.get("mlflow.parentRunId"),
            "params": dict(self.rows("SELECT key, value FROM params WHERE run_uuid = ?", run_id)),
            "tags": tags,
            "metrics": self.rows(query, run_id),
        }

    def everything(self) -> dict[str, list[Any]]:
        """All that deliveries leave, but for ids and clocks: equal before and after the same payloads came again."""
        queries = {
            "runs": "SELECT name, status, start_time, end_time FROM runs",
            "params": "SELECT run_uuid, key, value FROM params",
            "metrics": "SELECT run_uuid, key, step, value, timestamp FROM metrics",
            "tags": "SELECT run_uuid, key, value FROM tags",
            "models": "SELECT model_id, status, name FROM logged_models WHERE lifecycle_stage = 'active'",
            "versions": "SELECT name, version, source FROM model_versions",
            "aliases": "SELECT name, alias, version FROM registered_model_aliases",
        }
        return {name: sorted(self.rows(query), key=str) for name, query in queries.items()}

    def uids(self) -> list[str]:
        return sorted(v for (v,) in self.rows("SELECT value FROM tags WHERE key = 'autoopt.uid'"))


# ---- processes -----------------------------------------------------------------------------------------------------


def deliverers(parent: int | None = None) -> list[psutil.Process]:
    """Living deliverers below a process, this one by default."""
    found = []
    for process in psutil.Process(parent or os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "autoopt.tracking.deliverer" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_for(condition: Any, what: str, *, patience_s: float = PATIENCE_S) -> Any:
    """The condition's first true value."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {patience_s:.0f} s in vain for {what}")


def is_gone(pid: int) -> bool:
    """No such process, or only its entry until somebody asks for its exit status."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stop(process: psutil.Process) -> None:
    """Freeze it."""
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "the process to stop")


# ---- servers -------------------------------------------------------------------------------------------------------


def dead_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """URL of a server that accepts and never answers, and the connections it has taken."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []
        threading.Thread(target=_accept, args=(listening, taken), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", taken
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()


def _accept(listening: socket.socket, taken: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while True:
            taken.append(listening.accept()[0])
