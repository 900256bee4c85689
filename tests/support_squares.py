"""Small sets of pictures for the tests of the image networks."""

import numpy as np
import onnx
from numpy.typing import NDArray
from support_models import run_feed
from support_network import facts_of

from autoopt.strategies.model import FEATURES, TrainingData
from autoopt.strategies.prepared import Pixels
from autoopt.task.facts import Kind

COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])


def squares(rows: int = 180, height: int = 16, width: int = 16, kind: Kind = Kind.MULTICLASS) -> TrainingData[Pixels]:
    """A coloured square somewhere on noise, a third of it valid. Its colour is the class; its place means nothing."""
    random = np.random.default_rng(5)
    pixels = random.integers(60, 200, (rows, height, width, 3), dtype=np.int64)
    classes = 2 if kind is Kind.BINARY else 3
    target = random.integers(0, classes, rows)
    side = min(height, width) // 2
    for row in range(rows):
        top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
        pixels[row, top : top + side, left : left + side] = COLOURS[target[row]] + random.integers(-30, 30, 3)
    images, cut = np.clip(pixels, 0, 255).astype(np.uint8), rows * 2 // 3
    values: NDArray[np.int64] | NDArray[np.float64] = target if kind.classifies else 100.0 + 7.0 * target
    return TrainingData(
        facts=facts_of(kind, classes if kind.classifies else 0, "" if kind is Kind.REGRESSION else "accuracy"),
        train=Pixels(pixels=images[:cut]),
        train_target=values[:cut],
        valid=Pixels(pixels=images[cut:]),
        valid_target=values[cut:],
    )


def run_images(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores of a graph that takes pixels."""
    return run_feed(model, {FEATURES: pixels})
