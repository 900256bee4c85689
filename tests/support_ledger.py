"""What the ledger's tests share: a result to record, and processes that own a study."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from autoopt.ledger import TrialOutcome
from autoopt.values import Measurement, TrialState

SHA = "0" * 64
QUALITY_MEASURE = {"quality": Measurement(value=0.9, low=0.88, high=0.92)}
DONE = TrialOutcome(
    state=TrialState.COMPLETE,
    measures=QUALITY_MEASURE,
    artifact_key="a" * 64,
    artifact_sha256="b" * 64,
    stages=({"name": "train", "seconds": 1.0},),
    notes=("note",),
    seconds=2.0,
)


OWNER = """
import sys
from autoopt.errors import AutooptError
from autoopt.ledger import Ledger
from support_ledger import DONE, SHA

ledger = Ledger.open(sys.argv[1], create=False, patience_s=10.0)
try:
    with ledger.own("s") as writer:
        print("owns", writer.epoch, flush=True)
        for line in sys.stdin:
            number = int(line)
            writer.record_trial(number, {"n": number}, SHA, "planner")
            token = writer.start_attempt(number, 0)
            writer.finish_trial(token, number, DONE, [{"n": number}])
            print("wrote", number, flush=True)
except AutooptError as error:
    print(type(error).__name__, error, flush=True)
"""


class OwnerProcess:
    """Another process that owns study 's' and writes the trials it is told to."""

    def __init__(self, url: str, script: str = OWNER) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pid = self.process.pid

    def says(self) -> str:
        """Its next line; empty at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def write(self, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait(timeout=30)


@contextlib.contextmanager
def owner_process(url: str, script: str = OWNER) -> Iterator[OwnerProcess]:
    """An owner that is ended, whatever happens."""
    owner = OwnerProcess(url, script)
    try:
        yield owner
    finally:
        owner.kill()
