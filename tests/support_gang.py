"""A training that ranks share, as an executor's entry point; and what tests ask of its ranks."""

import dataclasses
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # which the first optimizer of a process imports: here, it is in the server that they fork from
from support_executors import GIVE_UP_S, collect
from support_learning import convolutional, judge_of, perceptron, plan_of, source_of
from torch import nn

from autoopt.executors import Executor, Failed, Finished, Job, ProcessExecutor, Reporter
from autoopt.strategies.learning.ranks import joined
from autoopt.strategies.learning.source import Source
from autoopt.strategies.learning.training_loop import fit, settled
from autoopt.values import Rank, Slot

SLOTS = (Slot(index=0, threads=1, peers=2), Slot(index=1, threads=1, peers=2))
TRAIN = "support_gang:train"


class HalfUsed(nn.Module):
    """A network of which one layer is used for positive rows alone, and one never."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.always, self.sometimes, self.never = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        found = self.always(rows)
        return found + self.sometimes(rows) if bool(rows[0, 0] > 0) else found


def task_of(kind: str, rows: int) -> tuple[nn.Module, Source, tuple[int, ...]]:
    """A network, training rows and the shape of one of them."""
    made = {"mlp": lambda: perceptron(), "cnn": convolutional, "half_used": HalfUsed}[kind]()
    shape = (3, 6, 6) if kind == "cnn" else (4,)
    return made, source_of(*shape, rows=rows), shape


def train(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Train `kind` on `rows` rows; what it comes to. A rank can be told to raise, die, stop or go on for ever."""
    rank = Rank.from_json(payload["gang"]) if "gang" in payload else None
    network, source, shape = task_of(payload["kind"], payload["rows"])
    told: list[dict[str, float]] = []

    def tell(epoch: int, values: dict[str, float]) -> None:
        told.append(values)
        report("train", step=epoch, values={**values, "pid": os.getpid()})
        if rank is not None and (rank.number, epoch) == (payload.get("victim"), payload.get("epoch")):
            _suffer(payload["fate"])

    with joined(rank, slot) as ranks, settled(slot, 3):
        if rank is not None and rank.number > 0:
            nn.init.zeros_(next(network.parameters()))  # the leader's weights are what counts
        learned = fit(
            network,
            source,
            judge_of(*shape),
            dataclasses.replace(plan_of(payload["recipe"], epochs=payload["epochs"]), checkpoint_every_s=0.0),
            tell,
            checkpoints=Path(payload["checkpoints"]) if payload.get("checkpoints") and ranks.leads else None,
            limit_s=payload.get("limit_s"),
            ranks=ranks,
        )
    weights = {name: value.double().flatten().tolist() for name, value in network.state_dict().items()}
    return {"weights": weights, "losses": [v["train_loss"] for v in told], "notes": list(learned.notes)}


def _suffer(fate: str) -> None:
    if fate == "raise":
        raise ValueError("it rains")
    os.kill(os.getpid(), signal.Signals[fate])
    time.sleep(0.2)  # a signal to oneself may come a moment later


def training_job(slots: tuple[Slot, ...], *, deadline_s: float = GIVE_UP_S, **payload: Any) -> Job:
    """On those slots; one is no gang."""
    given = {"kind": "mlp", "rows": 96, "recipe": {}, "epochs": 3, **payload}
    slot, *peers = slots
    return Job(token="t", entry=TRAIN, payload=given, slot=slot, peers=tuple(peers), progress_deadline_s=deadline_s)


def trained(executor: Executor, slots: tuple[Slot, ...], **payload: Any) -> dict[str, Any]:
    """What a training came to."""
    executor.submit(training_job(slots, **payload))
    ending = ended(executor)
    assert isinstance(ending, Finished), ending
    return ending.result


def ended(executor: Executor) -> Finished | Failed:
    """How the attempt at work ends; slots that come free before do not count."""
    while True:
        ending = collect(executor)[-1]
        if isinstance(ending, Finished | Failed):
            return ending


def gang_executor(folder: Path) -> ProcessExecutor:
    """Two slots, and torch in the server, so that each rank has it at once."""
    return ProcessExecutor(SLOTS, log_folder=folder / "logs", preload=("support_gang",))


def settle(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Find out whether the ranks stay together, where so much of their speed side by side is enough for it."""
    from support_pixels import image_context, pictures

    from autoopt.files import Store
    from autoopt.strategies.networks import together
    from autoopt.strategies.networks.images.depthwise_net import DepthwiseNet

    together.LEAST_S, together.SHARE, together.CANDIDATE_S = payload["least_s"], 1e9, 0.05  # type: ignore[misc]
    together.LEAST_RATIO = payload["least_ratio"]  # type: ignore[misc]
    with joined(Rank.from_json(payload["gang"]), slot) as ranks:
        context = dataclasses.replace(
            image_context(payload["recipe"], Store(Path(payload["store"]))), ranks=ranks, slot=slot, limit_s=500.0
        )
        before = torch.get_rng_state()
        found, notes = together.settled_ranks(DepthwiseNet(width=8, epochs=2), pictures(), context)
        assert torch.equal(before, torch.get_rng_state())
        assert found.limit_s is not None
        if found.ranks.size > 1:
            found.ranks.total(1.0)  # they are still there
    return {"ranks": found.ranks.size, "notes": list(notes), "spent_s": 500.0 - found.limit_s}
