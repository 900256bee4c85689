"""A training, or a pruning, that is killed goes on in the next process and comes to the same weights, bit for bit."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import support_training_child as child

SCRIPT = Path(child.__file__)
Server = subprocess.Popen[str]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Forks a process for each training."""
    command = [sys.executable, str(SCRIPT)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parent.parent
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def lines(server: Server, kind: str, folder: Path, *, kill_at: int = 0) -> list[str]:
    """What a training process said until its end, or until it was killed after an epoch's report."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{kind} {folder} {kill_at}\n")
    server.stdin.flush()
    pid = int(server.stdout.readline())
    said: list[str] = []
    for line in map(str.strip, server.stdout):
        if line == "ended":
            break
        said.append(line)
        if line == f"epoch {kill_at}":
            os.kill(pid, signal.SIGKILL)
    return said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "cnn", "channels"])
def test_killed_and_resumed(server: Server, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = lines(server, kind, folder, kill_at=3)
    second = lines(server, kind, folder, kill_at=6)
    last = lines(server, kind, folder)
    began = [int(said[0].removeprefix("epoch ")) for said in (first, second, last)]
    assert 1 == began[0] < began[1] < began[2]
    assert last[-1] == f"weights {child.train(kind, None)}"
