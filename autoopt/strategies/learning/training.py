"""All that changes while a network learns: what a checkpoint holds, and what a timed start is put back to."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.source import Source

_STATE = "optimizer"


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A training at the end of an epoch: tensors by name, the rest as JSON."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


@final
class Best:
    """The best weights so far."""

    def __init__(self, greater_is_better: bool) -> None:
        self._sign = 1.0 if greater_is_better else -1.0
        self.value = math.nan
        self.epoch = 0
        self.weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, value: float, network: nn.Module) -> bool:
        """Keep a copy of the weights if `value` is better than every one before."""
        better = self.epoch == 0 or self._sign * value > self._sign * self.value
        if better:
            self.value, self.epoch = value, epoch
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return better

    def load(self, values: Mapping[str, Any], weights: Mapping[str, Tensor], network: nn.Module) -> None:
        """Go on from what was kept. Raises KeyError, ValueError or RuntimeError for what is not of this network."""
        own = network.state_dict() if values["epoch"] else {}
        self.weights = {name: torch.empty_like(value).copy_(weights[name]) for name, value in own.items()}
        self.epoch, self.value = int(values["epoch"]), float.fromhex(values["value"])

    def restore(self, network: nn.Module) -> None:
        network.load_state_dict(self.weights)


@final
class Training:
    """One network on its way through a plan."""

    def __init__(self, network: nn.Module, source: Source, plan: Plan, greater_is_better: bool) -> None:
        self.network = network
        self.device = source.device
        self.plan = plan
        self.optimizers = plan.optimizer.build(network)
        self.scaler = plan.precision.scaler(self.device.type)
        self.average = plan.ema.average(network)
        self.best = Best(greater_is_better)
        self.shuffle = torch.Generator().manual_seed(plan.seed)
        self.noise = torch.Generator(self.device).manual_seed(plan.seed)  # of augmentation
        self.parts = plan.gradients.accumulate
        self.epoch = self.step = 0  # done
        self.seconds = 0.0  # spent on it before this process
        self._epoch_steps = plan.batch_size.steps(len(source))
        self.lay_out(plan.epochs)

    def lay_out(self, epochs: int) -> None:
        """Plan the learning rates for that many epochs."""
        self.epochs = epochs
        peak, steps = self.plan.optimizer.learning_rate, epochs * self._epoch_steps
        self.pace = self.plan.schedule.pace(peak=peak, total_steps=steps)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.pace.rate(self.step)

    @property
    def progress(self) -> float:
        """The share of its epochs that are done."""
        return self.epoch / self.epochs

    @property
    def over(self) -> bool:
        """Whether the epochs are done, or patience is."""
        return self.epoch >= self.epochs or (self.epoch > 0 and self.epoch - self.best.epoch >= self.plan.patience)

    def judged(self) -> contextlib.AbstractContextManager[None]:
        """Within it, the network has the weights that are judged and kept."""
        return self.average.applied(self.network) if self.average else contextlib.nullcontext()

    def capture(self) -> Captured:
        """Copies of everything, on the CPU."""
        found = dict(self._tensors())
        return Captured(
            # One by one: tensors that share memory are told apart, and a file holds each in plain order.
            tensors={name: value.detach().to("cpu", copy=True).contiguous() for name, value in found.items()},
            values={
                "epochs": self.epochs,
                "epoch": self.epoch,
                "step": self.step,
                "seconds": self.seconds,
                "parts": self.parts,
                "pace": self.pace.state(),
                "scaler": self.scaler.state_dict(),
                "best": {"epoch": self.best.epoch, "value": self.best.value.hex()},
                "plain": [dict(_plain(optimizer)) for optimizer in self.optimizers],
            },
        )

    def restore(self, captured: Captured) -> None:
        """Be again as it was. Raises KeyError, TypeError, ValueError or RuntimeError for what is not of this training.

        Of something that does not fit, part may have been taken over by then.
        """
        values, tensors = captured.values, captured.tensors
        self.lay_out(int(values["epochs"]))
        self.pace.load(values["pace"])
        self.epoch, self.step = int(values["epoch"]), int(values["step"])
        self.seconds, self.parts = float(values["seconds"]), int(values["parts"])
        self.network.load_state_dict(_under(tensors, "network"))
        if self.average:
            self.average.load(_under(tensors, "average"))
        self.best.load(values["best"], _under(tensors, "best"), self.network)
        for number, (optimizer, plain) in enumerate(zip(self.optimizers, values["plain"], strict=True)):
            _restore_optimizer(optimizer, _under(tensors, f"{_STATE}{number}"), plain)
        self.scaler.load_state_dict(values["scaler"])
        self._restore_random(_under(tensors, "random"))

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        kept = {"network": self.network.state_dict(), "best": self.best.weights}
        if self.average:
            kept["average"] = self.average.tensors
        for part, tensors in kept.items():
            yield from ((f"{part}/{name}", value) for name, value in tensors.items())
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                pairs = ((f"{_STATE}{number}/{index}/{key}", value) for key, value in state.items())
                yield from ((name, value) for name, value in pairs if isinstance(value, Tensor))
        yield from ((f"random/{name}", state) for name, state in random_states(self.device).items())
        yield "random/shuffle", self.shuffle.get_state()
        yield "random/noise", self.noise.get_state()

    def _restore_random(self, states: Mapping[str, Tensor]) -> None:
        set_random_states(states, self.device)
        self.shuffle.set_state(states["shuffle"])
        self.noise.set_state(states["noise"])


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Of torch's own generators: the CPU's as `torch`, and that of another device as `device`."""
    states = {"torch": torch.get_rng_state()}
    if device.type != "cpu":
        states["device"] = torch.get_device_module(device).get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put torch's own generators where `random_states` found them. Raises KeyError, RuntimeError or TypeError."""
    torch.set_rng_state(states["torch"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states["device"], device)


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Those of one part, by their names within it."""
    start = f"{part}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _plain(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    """What an optimizer keeps of each parameter that is no tensor, by the parameter's number."""
    for index, state in optimizer.state_dict()["state"].items():
        yield str(index), {key: value for key, value in state.items() if not isinstance(value, Tensor)}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Mapping[str, Any]]
) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain.items()}
    for name, value in tensors.items():
        index, key = name.split("/", 1)
        parameter = parameters[int(index)]
        # As the parameter lies in memory: fused kernels walk both alike.
        fits = value.shape == parameter.shape
        state[int(index)][key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value) if fits else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
