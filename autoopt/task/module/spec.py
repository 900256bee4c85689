"""What a user's function returns. Light: torch is not imported for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LOSSES: Final[Mapping[str, str]] = {
    "cross_entropy": "classes; the module gives logits (rows, classes)",
    "bce_with_logits": "two classes; the module gives one logit a row, for the second class",
    "mse": "values; the module gives (rows,) or (rows, 1), in the target's unit",
    "mae": "values, the absolute difference",
    "huber": "values, squared near zero and absolute beyond 1",
}
"""Losses by name, with what they take."""
OWN: Final = "own"
"""Name of a loss that is a function of the user's."""


@dataclass(frozen=True, kw_only=True)
class ModuleTask:
    """A network to be trained, the data it learns from, and what it is judged by.

    build: called with the recipe's value of each of `choices` by name; gives a torch.nn.Module with fresh weights, for
        `autoopt compress` with its trained ones.
    train, valid, test: map-style torch Datasets, or functions without arguments that make them. An item is
        (input, target) or (first input, second input, ..., target): tensors, numpy arrays or numbers whose shapes and
        dtypes are the same for every item. A target is one number: a class from 0 on, or a value.
    loss: a name in LOSSES, or a function of (outputs as the module gives them, targets (rows,)).
    metric: a metric's name, or a function of (scores, targets), numpy arrays: probabilities (rows, classes) and
        classes (rows,), or values (rows,) and values (rows,). None: the usual one of the kind of task.
    choices: dimensions of `build` that are searched: {"width": [32, 64], "depth": {"low": 1, "high": 4}}; also
        "log": True, and "default" (else the default of `build`, else the first value).
    classes: labels in the order of the outputs.
    """

    build: Callable[..., Any]
    train: Any
    valid: Any
    test: Any = None
    loss: str | Callable[..., Any] = "cross_entropy"
    metric: str | Callable[..., Any] | None = None
    greater_is_better: bool = True  # of a metric that is a function
    choices: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[Any] = ()
