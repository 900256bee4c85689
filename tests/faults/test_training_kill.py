"""A training, or a pruning, that is killed goes on in the next process and comes to the same weights, bit for bit."""

import subprocess
import sys
from pathlib import Path

import pytest
import support_training_child as child

SCRIPT = Path(child.__file__)


def lines(kind: str, folder: Path, *, kill_at: int | None) -> list[str]:
    """What a training process said until its end, or until it was killed after an epoch's report."""
    command = [sys.executable, str(SCRIPT), kind, str(folder)]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parent.parent) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.strip())
            if line.strip() == f"epoch {kill_at}":
                process.kill()
    return said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "cnn", "channels"])
def test_killed_and_resumed(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = lines(kind, folder, kill_at=3)
    second = lines(kind, folder, kill_at=6)
    last = lines(kind, folder, kill_at=None)
    began = [int(said[0].removeprefix("epoch ")) for said in (first, second, last)]
    assert 1 == began[0] < began[1] < began[2]
    assert last[-1] == f"weights {child.train(kind, None)}"
