"""A training in a process of its own, for tests that kill it: says each epoch, and in the end the weights' digest."""

import contextlib
import dataclasses
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support_learning import convolutional, digest, judge_of, perceptron, plan_of, source_of
from support_network import context, task

from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.training_loop import fit, settled
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.strategies.shrinking import shrink
from autoopt.task.facts import Kind
from autoopt.values import Slot

EPOCHS = 8
RECIPE = {"optimizer": "sgd", "optimizer.momentum": 0.9, "optimizer.nesterov": True, "ema": True, "schedule": "cosine"}


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def train(kind: str, folder: Path | None, *, pause_s: float = 0.0) -> str:
    """The digest of the weights that a training of `kind` ('mlp', 'cnn') or a pruning ('channels', ...) comes to."""

    def report(epoch: int, values: dict[str, float]) -> None:
        say(f"epoch {epoch}")
        time.sleep(pause_s)

    if kind in ("channels", "magnitude", "random"):
        return pruned(kind, folder, report)
    shape = (4,) if kind == "mlp" else (3, 6, 6)
    plan = dataclasses.replace(plan_of(RECIPE, epochs=EPOCHS), checkpoint_every_s=0.0)
    with settled(Slot(index=0, threads=1), 3):
        network = perceptron(normalized=True) if kind == "mlp" else convolutional()
        fit(network, source_of(*shape), judge_of(*shape), plan, report, checkpoints=folder)
    return digest(network)


def pruned(form: str, folder: Path | None, report: Callable[[int, dict[str, float]], None]) -> str:
    """The same of a network pruned in three steps, with three epochs after each; the training before is not told."""
    data, model = task(Kind.BINARY, embed=True), MLP(width=64, depth=1, epochs=2)
    artifact = model.train(data, context({"batch_size": 32})).artifact
    recipe = {"batch_size": 32, "prune": form, "prune.share": 0.5, "prune.steps": 3, "prune.epochs": 3}
    with checkpoints_at_every_epoch():
        told = dataclasses.replace(context(recipe), report=report, checkpoints=folder)
        left = model.shrink(artifact, data, told).artifact
    assert isinstance(left, NetworkArtifact)
    found = hashlib.sha256()
    for name in sorted(left.weights):
        found.update(name.encode() + left.weights[name].tobytes())
    return found.hexdigest()


@contextlib.contextmanager
def checkpoints_at_every_epoch() -> Iterator[None]:
    """Fine-tuning so short would leave none."""
    usual = shrink._plan

    def often(*words: Any) -> Plan:
        return dataclasses.replace(usual(*words), checkpoint_every_s=0.0)

    shrink._plan = often
    try:
        yield
    finally:
        shrink._plan = usual


if __name__ == "__main__":
    say(f"weights {train(sys.argv[1], Path(sys.argv[2]), pause_s=0.2)}")
