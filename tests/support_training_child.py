"""A training in a process of its own, for tests that kill it: says each epoch, and in the end the weights' digest."""

import dataclasses
import sys
import time
from pathlib import Path

from support_learning import convolutional, digest, judge_of, perceptron, plan_of, source_of

from autoopt.strategies.learning.training_loop import fit, settled
from autoopt.values import Slot

EPOCHS = 8
RECIPE = {"optimizer": "sgd", "optimizer.momentum": 0.9, "optimizer.nesterov": True, "ema": True, "schedule": "cosine"}


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def train(kind: str, folder: Path | None, *, pause_s: float = 0.0) -> str:
    """The digest of the weights that a training of `kind` ('mlp', 'cnn') comes to."""

    def report(epoch: int, values: dict[str, float]) -> None:
        say(f"epoch {epoch}")
        time.sleep(pause_s)

    shape = (4,) if kind == "mlp" else (3, 6, 6)
    plan = dataclasses.replace(plan_of(RECIPE, epochs=EPOCHS), checkpoint_every_s=0.0)
    with settled(Slot(index=0, threads=1), 3):
        network = perceptron(normalized=True) if kind == "mlp" else convolutional()
        fit(network, source_of(*shape), judge_of(*shape), plan, report, checkpoints=folder)
    return digest(network)


if __name__ == "__main__":
    say(f"weights {train(sys.argv[1], Path(sys.argv[2]), pause_s=0.2)}")
