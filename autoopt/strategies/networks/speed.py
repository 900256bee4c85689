"""A network's choices of speed: those that its recipe leaves open are settled by a probe before it is trained."""

import contextlib
import copy
import math
import random
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, final

import numpy as np
import psutil
import torch

from autoopt.devices import Cgroups
from autoopt.devices.host import read_cpuinfo, usable_cores
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.base import Strategy
from autoopt.strategies.learning.batch_size import BatchSize
from autoopt.strategies.learning.epoch import Epochs
from autoopt.strategies.learning.loader import Loader
from autoopt.strategies.learning.loader_source import failures_told
from autoopt.strategies.learning.pinned_memory import PinnedMemory
from autoopt.strategies.learning.precision import Precision
from autoopt.strategies.learning.probe import Verdict, probe, settle
from autoopt.strategies.learning.ranks import Ranks
from autoopt.strategies.learning.source import Batch
from autoopt.strategies.learning.storage import Storage
from autoopt.strategies.learning.training import Training
from autoopt.strategies.learning.training_loop import Plan, settled
from autoopt.strategies.model import TrainingContext, TrainingData

if TYPE_CHECKING:
    from autoopt.strategies.networks.learner import Network

SAMPLE_ROWS: Final = 2048
SAMPLE_BYTES: Final = 1 << 25
"""A probe reads so much of the data, in each of the forms; two batches at least."""
SAMPLE_EPOCHS: Final = 64
MEMORY_SHARE: Final = 0.25
"""Data that would take more of the free memory than this are not held in memory unless the recipe says so."""

IN_MEMORY: Final = (Storage.name, "loader.workers", "loader.augment_on", PinnedMemory.name)
"""Choices that mean nothing where all rows are in memory."""


def settled_speed(
    network: "Network", data: TrainingData[Any], context: TrainingContext
) -> tuple[TrainingContext, tuple[str, ...]]:
    """The context with a recipe that leaves no choice of speed open, and notes that say how they were settled.

    Without a store to keep the verdict in, they keep their defaults. The random states are as before, and the time
    that it took is taken off `limit_s`. Of several ranks one finds out, for all.
    """
    began = time.monotonic()
    choices, notes = context.ranks.agree(lambda: _settled_here(network, data, context))
    context = replace(context, recipe=context.recipe.replace(choices))
    return context.since(began) if notes else context, tuple(notes)


def _settled_here(
    network: "Network", data: TrainingData[Any], context: TrainingContext
) -> tuple[Mapping[str, Value], tuple[str, ...]]:
    """The choices that the recipe leaves open, and notes."""
    context = replace(context, ranks=Ranks())  # the others wait for what is found
    held_bytes = sum(values.nbytes for values in network.inputs(data.train))
    tried = open_choices(data, context, held_bytes)
    certain = {name: values[0] for name, values in tried.items() if len(values) == 1}
    context = replace(context, recipe=context.recipe.replace(certain))
    candidates = {name: values for name, values in tried.items() if len(values) > 1}
    if context.store is None or not candidates:
        return certain, ()
    rows = max(data.train.rows, data.facts.rows.get("train", 0))  # of a user's items only some may be held
    total_steps = network.epochs * BatchSize.from_recipe(context.recipe).steps(rows)
    with undisturbed(context) as device:
        sample = sampled(data, network, context.recipe)
        verdict = settle(
            kind_of(network, sample, context, held_bytes),
            candidates,
            total_steps,
            context.store,
            lambda: _measured(network, sample, context, device, candidates, total_steps),
        )
    return {**certain, **verdict.choices}, (verdict.note,)


def open_choices(data: TrainingData[Any], context: TrainingContext, held_bytes: int) -> Mapping[str, tuple[Value, ...]]:
    """Fields that only change speed and that the recipe does not have, with the values that may be tried here.

    Where all rows are held and fit into memory, that is where they are read from, by the training itself: another form
    or process can only add work, and what a probe found for it would be noise.
    """
    from autoopt.strategies import STRATEGIES  # which imports the networks

    recipe, found = context.recipe, dict[str, tuple[Value, ...]]()
    for strategy in STRATEGIES:
        if strategy.speed_only and strategy.applies(data.facts, context.slot) is None:
            tried = strategy.candidates(data.facts, context.slot)
            found |= {name: values for name, values in tried.items() if _counts(strategy, name, recipe)}
    fit = held_bytes <= MEMORY_SHARE * psutil.virtual_memory().available
    if fit and Storage.from_recipe(recipe).form == "memory" and data.train.rows >= data.facts.rows.get("train", 0):
        found = {name: values[:1] if name in IN_MEMORY else values for name, values in found.items()}
    elif not fit:
        found[Storage.name] = tuple(value for value in found.get(Storage.name, ()) if value != "memory")
    return {name: values for name, values in found.items() if values and name not in recipe}


def _counts(strategy: type[Strategy], name: str, recipe: Recipe) -> bool:
    """Whether a field means something in that recipe: where images are augmented nothing, without augmentation."""
    _, _, field = name.partition(".")
    return all(recipe.get(other) in values for other, values in strategy.field_when.get(field, {}).items())


def sampled(data: TrainingData[Any], network: "Network", recipe: Recipe) -> TrainingData[Any]:
    """As much of the training rows as a probe reads."""
    row_bytes = max(sum(values[:1].nbytes for values in network.inputs(data.train)), 1)
    wanted = min(SAMPLE_ROWS, SAMPLE_BYTES // row_bytes)
    rows = min(max(wanted, 2 * BatchSize.from_recipe(recipe).rows), data.train.rows)
    part = data.train.first(rows)
    shares = None if data.shares is None else data.shares[: part.rows]
    return replace(data, train=part, train_target=data.train_target[: part.rows], shares=shares)


@final
class TrainingRig:
    """A training of its own, on a sample of the rows."""

    def __init__(
        self, network: "Network", data: TrainingData[Any], context: TrainingContext, device: torch.device
    ) -> None:
        plan = Plan.from_recipe(
            context.recipe, epochs=network.epochs, patience=1, seed=0, classes=len(data.facts.classes)
        )
        self._plan = plan
        module = network.build(data).to(device)
        plan.memory_format.lay_out(module)
        self._source = network.source(data, context, device)
        self._epochs = Epochs(
            training=Training(module, self._source, plan, greater_is_better=True),
            source=self._source,
            judge=network.judge(data, device),
            report=lambda step, values: None,
            loss=network.loss(data) or plan.loss.function(classifies=self._source.classifies),
            forward=plan.compile.forward(module),
        )
        loader = Loader.from_recipe(context.recipe)
        self._read_ahead = 1 + loader.workers * loader.prefetch
        self._batches = self._endless()

    def steps(self, seconds: float) -> float:
        # Batches that were read ahead while it was another's turn cost nothing now: they do not count.
        for _ in range(self._read_ahead if seconds > 0 else 0):
            self._step()
        began, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - began < seconds:
            self._step()
            count += 1
        return (time.perf_counter() - began) / count

    def among(self, ranks: Ranks) -> Self:
        """This training with every step shared by `ranks`: the same network and rows."""
        other = copy.copy(self)
        other._source = self._source.shared(ranks)
        other._epochs = replace(self._epochs, source=other._source, ranks=ranks)
        other._batches = other._endless()
        return other

    def take(self, count: int) -> float:
        """Take so many steps from newly read batches; seconds of one."""
        self._batches.close()
        self._batches = self._endless()
        for _ in range(self._read_ahead):
            self._step()
        began = time.perf_counter()
        for _ in range(count):
            self._step()
        return (time.perf_counter() - began) / count

    def close(self) -> None:
        self._batches.close()
        self._source.close()

    def _step(self) -> None:
        batch = next(self._batches)
        self._epochs.training.network.train()
        with self._plan.precision.products():
            float(self._epochs.step(batch))  # a device is waited for

    def _endless(self) -> "Generator[Batch, None, None]":
        """One long epoch after the other: at the end of an epoch a loader has nothing to read ahead."""
        rows = len(self._source)
        while True:
            order = torch.cat([torch.randperm(rows) for _ in range(SAMPLE_EPOCHS)])
            yield from self._epochs.batches(order, progress=1.0)  # whole images: most of the time goes there


def _measured(
    network: "Network",
    sample: TrainingData[Any],
    context: TrainingContext,
    device: torch.device,
    candidates: Mapping[str, tuple[Value, ...]],
    total_steps: int,
) -> Verdict:
    """Probe on a sample, in forms that are written for it and go afterwards."""
    assert context.store is not None
    with context.store.scratch() as store, failures_told():
        own = replace(context, store=store, prepared_key=context.prepared_key)
        try:
            return probe(
                context.recipe,
                candidates,
                lambda recipe: TrainingRig(network, sample, replace(own, recipe=recipe), device),
                total_steps,
                longest_s=math.inf if context.limit_s is None else context.limit_s,
            )
        except torch.OutOfMemoryError:  # two networks at once: the training itself may well fit
            choices = {name: values[0] for name, values in candidates.items()}
            gains = dict.fromkeys(choices, 1.0)
            return Verdict(choices=choices, gains=gains, expected_s=0.0, seconds=0.0, measured=0, complete=False)


def kind_of(
    network: "Network", sample: TrainingData[Any], context: TrainingContext, held_bytes: int
) -> Mapping[str, Any]:
    """What a verdict holds for: machine and slot, architecture, and how the data are read."""
    slot, recipe = context.slot, context.recipe
    cpu, _ = read_cpuinfo()
    device = torch.cuda.get_device_name(slot.device_index) if slot.device == "cuda" else slot.device
    weights = network.build(sample).state_dict()
    return {
        "machine": [cpu, usable_cores(Cgroups()), device, slot.threads],
        "model": network.name,
        "weights": [[name, list(value.shape)] for name, value in weights.items()],
        "inputs": [[str(values.dtype), list(values.shape[1:])] for values in network.inputs(sample.train)],
        "batch_size": BatchSize.from_recipe(recipe).rows,
        "precision": Precision.from_recipe(recipe).format,
        "data": held_bytes.bit_length(),
        # What is left open for want of time must not stay so for a training that has more.
        "limit": None if context.limit_s is None else int(math.log(max(context.limit_s, 1.0), 4)),
        "pinned": {name: value for name, value in recipe.items() if name.partition(".")[0] in _speed_only()},
        "torch": torch.__version__,
    }


def _speed_only() -> set[str]:
    from autoopt.strategies import STRATEGIES

    return {strategy.name for strategy in STRATEGIES if strategy.speed_only}


@contextlib.contextmanager
def undisturbed(context: TrainingContext) -> Iterator[torch.device]:
    """The slot's device and threads; every generator of random numbers is afterwards as it was."""
    python, numpy = random.getstate(), np.random.get_state()  # of modules that a user wrote
    with settled(context.slot, context.seed) as device:
        try:
            yield device
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
