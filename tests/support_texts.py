"""A small toy language as token numbers, and trainings on it."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from support_models import run_feed
from support_network import facts_of

from autoopt.strategies.model import CODES, TrainingData
from autoopt.strategies.prepared import Tokens
from autoopt.task.facts import Kind, Modality, TaskFacts

VOCABULARY = 40
NOT, GOOD = 2, 3
LENGTH = 12


def text_facts(kind: Kind) -> TaskFacts:
    facts = facts_of(kind, {Kind.BINARY: 2, Kind.MULTICLASS: 3, Kind.REGRESSION: 0}[kind])
    return TaskFacts.from_json({**facts.to_json(), "modality": Modality.TEXT})


def texts(rows: int, seed: int, length: int = LENGTH) -> NDArray[np.int64]:
    """Random texts of 2 tokens to `length`, padded with 0 at the end."""
    random = np.random.default_rng(seed)
    codes = random.integers(4, VOCABULARY, (rows, length))
    codes[np.arange(length) >= random.integers(2, length + 1, rows)[:, None]] = 0
    return codes


def topics(kind: Kind, rows: int = 300, seed: int = 3) -> TrainingData[Tokens]:
    """The target hangs on which words occur: on whether there are more of the upper half of the vocabulary."""
    codes = texts(rows, seed)
    upper = (codes >= VOCABULARY // 2).sum(axis=1) - (codes != 0).sum(axis=1) / 2
    target: NDArray[Any] = 100.0 + 10.0 * upper
    if kind.classifies:
        edges = [0.0] if kind is Kind.BINARY else [-0.5, 0.5]
        target = np.digitize(upper, edges).astype(np.int64)
    return split(kind, codes, target)


def negations(rows: int = 1200, seed: int = 5) -> TrainingData[Tokens]:
    """Both marks in every text: class 1 where the one comes right before the other, class 0 where right after."""
    random = np.random.default_rng(seed)
    codes = texts(rows, seed)
    lengths = (codes != 0).sum(axis=1)
    place = random.integers(0, lengths - 1)
    target = random.integers(0, 2, rows)
    codes[np.arange(rows), place] = np.where(target == 1, NOT, GOOD)
    codes[np.arange(rows), place + 1] = np.where(target == 1, GOOD, NOT)
    return split(Kind.BINARY, codes, target)


def split(kind: Kind, codes: NDArray[np.int64], target: NDArray[Any]) -> TrainingData[Tokens]:
    """The first two thirds of the rows are train, the rest valid."""
    cut = len(codes) * 2 // 3
    return TrainingData(
        facts=text_facts(kind),
        train=Tokens(codes=codes[:cut], vocabulary=VOCABULARY),
        train_target=target[:cut],
        valid=Tokens(codes=codes[cut:], vocabulary=VOCABULARY),
        valid_target=target[cut:],
    )


def run_codes(model: onnx.ModelProto, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    return run_feed(model, {CODES: codes})
