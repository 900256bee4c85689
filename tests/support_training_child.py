"""Trainings in processes of their own, for tests that kill them: each says its epochs, in the end the weights' digest.

As a program it takes a line `KIND FOLDER EPOCH` at a time, and does it in a fork of itself: the libraries are imported
once. Said are the fork's process id first, `ended` last. A training halts after the report of that epoch, if it comes
to it, and waits there for what kills it.
"""

import contextlib
import dataclasses
import hashlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401 - else each fork imports it for its optimizer
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


def train(kind: str, folder: Path | None, *, halt_at: int = 0) -> str:
    """The digest of the weights that a training of `kind` ('mlp', 'cnn') or a pruning ('channels', ...) comes to."""

    def report(epoch: int, values: dict[str, float]) -> None:
        say(f"epoch {epoch}")
        while epoch == halt_at:
            signal.pause()

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


def serve() -> None:
    """Until stdin ends."""
    for line in sys.stdin:
        kind, folder, halt_at = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                say(str(os.getpid()))
                say(f"weights {train(kind, Path(folder), halt_at=int(halt_at))}")
            except Exception:  # noqa: BLE001 - said, and no reason to go on as a second server
                traceback.print_exc()
            os._exit(0)  # without the libraries' own teardown: a fork has none of their threads
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    serve()
