"""Small trainings by the one loop: networks, rows and judges that cost milliseconds."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from support_network import Reports
from torch import Tensor, nn

from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.judge import Judge, tensor_parts
from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.source import Batch, Source, TensorSource, WrappedSource

CLASSES = 3
ROWS = 96
SIDE = 6


def softmax_scores(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Of a network that gives logits (rows, classes)."""
    probabilities: Tensor = network(*inputs).float().softmax(1)
    return probabilities


def perceptron(*, normalized: bool = False) -> nn.Module:
    """Numbers (rows, 4) → logits (rows, 3), the same weights each time; with dropout where it is normalized."""
    torch.manual_seed(5)
    inner: list[nn.Module] = [nn.Linear(4, 8), nn.ReLU()]
    if normalized:
        inner = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*inner, nn.Linear(8, CLASSES))


def convolutional() -> nn.Module:
    """Images (rows, 3, 6, 6) → logits (rows, 3), with batch normalization and dropout."""
    torch.manual_seed(6)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Dropout(0.3))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 4, CLASSES))


def rows_of(*shape: int, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Inputs (rows, *shape), and classes (rows,) that hang on them."""
    random = torch.Generator().manual_seed(11)
    inputs = torch.randn(rows, *shape, generator=random)
    return inputs, inputs.flatten(1)[:, :CLASSES].argmax(1)


def source_of(*shape: int, rows: int = ROWS) -> Source:
    inputs, target = rows_of(*shape, rows=rows)
    return TensorSource((inputs,), target)


def judge_of(*shape: int) -> Judge:
    """Accuracy on rows of its own; a judge that looks at every epoch's weights."""
    inputs, target = rows_of(*shape, rows=60)
    expected = target.numpy()
    return Judge(
        parts=tensor_parts((inputs,)),
        scores_of=softmax_scores,
        score=lambda scores: float(np.mean(scores.argmax(1) == expected)),
        greater_is_better=True,
    )


def plan_of(recipe: Mapping[str, Any] | None = None, *, epochs: int = 3, patience: int = 99) -> Plan:
    return Plan.from_recipe(
        Recipe({"batch_size": 16, **(recipe or {})}), epochs=epochs, patience=patience, seed=3, classes=CLASSES
    )


def digest(network: nn.Module) -> str:
    """SHA-256 over all weights and buffers."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


class Watched(WrappedSource):
    """Another source, told of before each batch."""

    def __init__(self, plain: Source, tell: Callable[[Batch], None]) -> None:
        super().__init__(plain)
        self._tell = tell

    def batches(self, groups: Iterator[Tensor]) -> Iterator[Batch]:
        for batch in self._plain.batches(groups):
            self._tell(batch)
            yield batch


class CutOffError(Exception):
    """Stands for whatever ends a process."""


class CutOff(Reports):
    """Lets a training go as far as an epoch's end."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def __call__(self, step: int, values: dict[str, float]) -> None:
        if step > self.after:
            raise CutOffError
        super().__call__(step, values)
