"""The process that talks to MLflow: rows in on stdin, acknowledgements out on stdout, complaints in the log.

Each row is delivered in order, again and again until it goes through, so that an outage delays but never loses; a row
that MLflow refuses for what it is (too long, malformed) is given up after a few tries and does not block the rest.
It ends when its input ends, which is when whoever started it ends.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)
TRIES_OF_A_REFUSED = 3
NICENESS = 10

# A dead server must fail fast (MLflow's own defaults wait for minutes); telemetry and pickles have no place here.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def die_with_parent() -> None:
    """Linux: be killed when the starter dies, even while MLflow blocks and nobody reads stdin."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def rows(stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """(id, payload) of each line."""
    for line in stream:
        row = json.loads(line)
        yield int(row["id"]), row["payload"]


def main(arguments: list[str]) -> int:
    """`deliverer TRACKING_URI ARTIFACT_FOLDER`."""
    parent = os.getppid()
    die_with_parent()
    os.nice(NICENESS)
    # The URIs too: parts of MLflow look for models through its global setting, whatever the client was given.
    os.environ.update(ENVIRONMENT | {"MLFLOW_TRACKING_URI": arguments[0], "MLFLOW_REGISTRY_URI": arguments[0]})
    # Whatever a library prints must not be taken for an acknowledgement.
    acknowledgements = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    from autoopt.tracking.delivery import Delivery, Refused, Unreachable

    delivery = Delivery(arguments[0], Path(arguments[1]))
    for row_id, payload in rows(sys.stdin):
        tries = 0
        while os.getppid() == parent:
            try:
                delivery.deliver(payload)
                break
            except Refused as error:
                tries += 1
                if tries >= TRIES_OF_A_REFUSED:
                    print(f"given up: {payload['uid']}: {error}", file=sys.stderr)  # noqa: T201
                    break
            except Unreachable as error:
                print(f"not delivered yet: {payload['uid']}: {error}", file=sys.stderr)  # noqa: T201
                time.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
        acknowledgements.write(json.dumps({"done": row_id}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
