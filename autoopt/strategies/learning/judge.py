"""How good a network is while it learns: the task's metric on the valid part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoopt.strategies.model import TrainingData
from autoopt.task.metrics import metric, metric_of
from autoopt.task.scoring import dummy_scores, score

SCORING_ROWS = 1024
"""Rows of one call when a whole part is scored."""

Scores = Callable[[nn.Module, tuple[Tensor, ...]], Tensor]
"""A network's outputs on some inputs → probabilities (rows, classes) or values (rows, 1) in the target's own unit."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Scores a network on the valid rows. `parts` yields their inputs in order, on the training device."""

    parts: Callable[[], Iterator[tuple[Tensor, ...]]]
    scores_of: Scores
    score: Callable[[NDArray[np.float64]], float]
    greater_is_better: bool

    def scores(self, network: nn.Module) -> NDArray[np.float64]:
        """Scores of every valid row, in evaluation mode and full precision; the network's mode is put back."""
        training = network.training
        network.eval()
        with torch.inference_mode():
            found = [self.scores_of(network, inputs).float().cpu() for inputs in self.parts()]
        network.train(training)
        together: NDArray[np.float64] = torch.cat(found).double().numpy()
        return together

    def __call__(self, network: nn.Module) -> float:
        return self.score(self.scores(network))


def tensor_parts(inputs: tuple[Tensor, ...], rows: int = SCORING_ROWS) -> Callable[[], Iterator[tuple[Tensor, ...]]]:
    """Whole tensors, some rows at a time."""
    return lambda: zip(*(values.split(rows) for values in inputs), strict=True)


def valid_metric(data: TrainingData[Any]) -> tuple[Callable[[NDArray[np.float64]], float], bool]:
    """(score, whether greater is better): a plainer metric where the task's is undefined (ROC AUC of one class)."""
    facts = data.facts
    card = metric_of(facts)
    if np.isnan(score(card.name, facts, data.valid_target, dummy_scores(facts, data.train_target, data.valid.rows))):
        card = metric("log_loss" if facts.kind.classifies else "rmse")
    return lambda scores: score(card.name, facts, data.valid_target, scores), card.greater_is_better
