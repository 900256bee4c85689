"""The process that talks to MLflow: rows in on stdin, answers out on stdout, complaints in the log.

`python -m autoopt.tracking.deliverer ARTIFACT_FOLDER`, with the tracking server in MLFLOW_TRACKING_URI. A line in is
`{"id": ..., "payload": ...}`; a line out is `trying ID`, `done ID` or `held ID`. It ends at once when its input ends,
which is when whoever started it ends, whatever MLflow is doing then: everything it does can be done again.
"""

import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

NICENESS: Final = 10

# A dead server must fail fast (MLflow's own defaults wait for minutes); telemetry and pickles have no place here.
ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

Inbox = queue.SimpleQueue[tuple[int, dict[str, Any]]]


def die_with_parent() -> None:
    """Linux: be killed when the starter dies, even while stopped."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def receive(inbox: Inbox) -> None:
    """Put each line of stdin into `inbox`; end the process at stdin's end."""
    rest = b""
    while chunk := os.read(0, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            row = json.loads(line)
            inbox.put((int(row["id"]), row["payload"]))
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Deliver until stdin ends."""
    die_with_parent()
    os.nice(NICENESS)
    os.environ.update(ENVIRONMENT)
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=receive, args=(inbox,), daemon=True).start()

    from autoopt.tracking.backlog import Backlog
    from autoopt.tracking.delivery import Delivery  # imports MLflow: seconds, during which rows may already arrive

    # MLflow itself reads the URI from there too: parts of it look for models through the global setting.
    delivery = Delivery(os.environ["MLFLOW_TRACKING_URI"], Path(arguments[0]))
    backlog = Backlog(delivery.deliver, lambda word, number: print(word, number, file=answers))
    while True:
        if not backlog:
            backlog.add(*inbox.get())
        while not inbox.empty():
            backlog.add(*inbox.get())
        time.sleep(backlog.step())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
