"""Ranks that exchange gradients and decisions through torch.distributed: NCCL between GPUs, gloo for all else.

torch's own DistributedDataParallel is not used. It sends gradients while the backward pass goes on, so a rank that runs
out of memory in the middle cannot try again in smaller parts: the others would take its second try for the next step.
It also needs a walk through the graph in each step where some weights have no gradient, as a user's module may. Here
the whole gradient is sent once it is there: accumulation, retries, compiling and recomputing stay a rank's own affair.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar, final

import torch
import torch.distributed as dist
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from autoopt.errors import StageFailure
from autoopt.files import derived_seed
from autoopt.strategies.learning.ranks import Ranks, share
from autoopt.strategies.learning.training import Captured, Training
from autoopt.values import FailureReason, Rank, Slot

LEADER: Final = 0
PATIENCE: Final = timedelta(days=7)
"""For the others in any exchange. How long a silence may last is for whoever watches the leader's progress to say."""
_LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
T = TypeVar("T")


@contextlib.contextmanager
def gang(rank: Rank, slot: Slot) -> Iterator[Ranks]:
    """Wait for the other ranks in the gang's folder. They talk over the loopback interface, closed to any network."""
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = _LOOPBACK
    store = dist.FileStore(str(Path(rank.folder) / "meeting"), rank.size)
    store.set_timeout(PATIENCE)  # the group's own is for what comes after the meeting
    with _peers():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if slot.device == "cuda" else "gloo",
            store=store,
            rank=rank.number,
            world_size=rank.size,
            timeout=PATIENCE,
        )
    found = Gang(rank.number, rank.size)
    found.total(0.0)  # which the last to come ends
    yield found
    dist.destroy_process_group()  # after a failure it may wait for peers; the end of the process does as well


@contextlib.contextmanager
def _peers() -> Iterator[None]:
    """An exchange. What can fail in it is that a peer is gone."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise StageFailure(FailureReason.PEER_LOST, f"another rank of the training is gone: {first}") from error


@final
class Gang(Ranks):
    """One rank of a process group."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"trained by {self.size} ranks, each with its share of every batch",)

    def share(self, rows: Tensor) -> tuple[Tensor, float]:
        return share(rows, self.number, self.size)

    def begin(self, training: Training) -> None:
        found = training.capture() if self.leads else None
        values = self.agree(lambda: found.values if found else {})
        content = self._told(bytes_of(dict(found.tensors)) if found else b"")
        if not self.leads:
            training.restore(Captured(tensors=tensors_of(content), values=values))

    def begin_epoch(self, training: Training) -> None:
        # Not from a state of its own: a training that goes on from the leader's checkpoint draws the same again.
        if not self.leads:
            seed = derived_seed(training.plan.seed, self.number, training.epoch)
            torch.manual_seed(seed)
            training.noise.manual_seed(seed)

    def add_up(self, network: nn.Module, part: float) -> None:
        learning = [p for p in network.parameters() if p.requires_grad]
        for _, alike in groupby(sorted(learning, key=_kind), key=_kind):
            _add_up(list(alike), part)

    def agree(self, make: Callable[[], T]) -> T:
        content = self._told(json.dumps(make()).encode() if self.leads else b"")
        value: T = json.loads(content)
        return value

    def total(self, *values: float) -> tuple[float, ...]:
        sums = torch.tensor(values, dtype=torch.float64)
        with _peers():
            dist.all_reduce(sums)
        return tuple(sums.tolist())

    def _told(self, content: bytes) -> bytes:
        """The leader's content."""
        length = torch.tensor([len(content)])
        with _peers():
            dist.broadcast(length, LEADER)
            room = torch.frombuffer(bytearray(content), dtype=torch.uint8) if self.leads else None
            room = torch.empty(int(length), dtype=torch.uint8) if room is None else room
            dist.broadcast(room, LEADER)
        return bytes(room.numpy())


def _kind(parameter: nn.Parameter) -> tuple[str, str]:
    return str(parameter.dtype), str(parameter.device)


def _add_up(parameters: list[nn.Parameter], part: float) -> None:
    """Sum the gradients of parameters that are alike. One that has none on any rank keeps none, as without a gang."""
    has = torch.tensor([p.grad is not None for p in parameters]).to(parameters[0])
    flat = torch.cat([*(_gradient(p).flatten() for p in parameters), has])
    flat = flat.mul_(part) if part > 0 else flat.zero_()  # not times 0: what overflowed for nothing would stay NaN
    with _peers():
        dist.all_reduce(flat)
    *summed, had = flat.split([*(p.numel() for p in parameters), len(parameters)])
    for number, (parameter, values) in enumerate(zip(parameters, summed, strict=True)):
        if parameter.grad is not None or float(had[number]) > 0:
            parameter.grad = torch.empty_like(parameter).copy_(values.view(parameter.shape))


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
