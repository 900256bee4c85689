"""A task of small prepared images, for the tests of how networks read their rows."""

import dataclasses

import numpy as np
from support_network import Reports, facts_of

from autoopt.files import Store
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.model import TrainingContext, TrainingData
from autoopt.strategies.prepared import Pixels
from autoopt.task.facts import Kind, Modality, TaskFacts, TensorFacts
from autoopt.values import Slot

SIDE = 8
PREPARED_KEY = "a" * 64


def image_facts() -> TaskFacts:
    tensors = (TensorFacts(name="image", dtype="uint8", shape=(SIDE, SIDE, 3)),)
    return dataclasses.replace(facts_of(Kind.MULTICLASS, 3, "accuracy"), modality=Modality.IMAGES, tensors=tensors)


def pictures(rows: int = 96) -> TrainingData[Pixels]:
    """Noise, in which one colour is stronger: that colour is the class. Two thirds are train."""
    random = np.random.default_rng(4)
    target = random.integers(0, 3, rows)
    pixels = random.integers(0, 160, (rows, SIDE, SIDE, 3))
    pixels[np.arange(rows), :, :, target] += 80
    images, cut = pixels.astype(np.uint8), rows * 2 // 3
    return TrainingData(
        facts=image_facts(),
        train=Pixels(pixels=images[:cut]),
        train_target=target[:cut],
        valid=Pixels(pixels=images[cut:]),
        valid_target=target[cut:],
    )


def image_context(recipe: dict[str, Value], store: Store | None, *, threads: int = 1) -> TrainingContext:
    return TrainingContext(
        recipe=Recipe({"batch_size": 16, **recipe}),
        slot=Slot(index=0, threads=threads),
        seed=7,
        report=Reports(),
        store=store,
        prepared_key=PREPARED_KEY,
    )
