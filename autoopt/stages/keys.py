"""The key of a stage's result: a hash over everything that the result hangs on, and over nothing else.

A key holds the stage's own slots of the recipe, its parent's key, the version of the stage's code and of the libraries
behind it. One trained model therefore serves every way of deploying it, and a new library makes new results instead of
handing out old ones.
"""

import functools
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoopt.files import sha256_json
from autoopt.space.catalogue import Catalogue
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies import models
from autoopt.strategies.shrinking.qat import Qat

PREPARE: Final = "prepare"
TRAIN: Final = "train"
SHRINK: Final = "shrink"
PRUNE: Final = "prune"
"""The dimension whose value says, beside that of `qat`, whether that stage does anything."""
DEPLOY: Final = "deploy"

CODE_VERSIONS: Final[Mapping[str, int]] = {PREPARE: 2, TRAIN: 3, SHRINK: 3, DEPLOY: 4}
"""Raise a stage's number when its code, or a strategy's of that stage, gives another result for the same recipe."""

LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    PREPARE: ("numpy", "onnx", "onnxruntime", "scikit-learn", "tokenizers"),
    TRAIN: ("lightgbm", "numpy", "scikit-learn", "torch"),
    SHRINK: ("numpy", "torch", "torch-pruning"),
    DEPLOY: ("onnx", "onnxruntime"),
}
"""Distributions whose version is part of a key. A new torch makes the trees train again too: rare, and never wrong."""


@dataclass(frozen=True, kw_only=True)
class StageKeys:
    """Keys of one recipe's results, each the parent of the next."""

    prepare: str
    train: str
    shrink: str  # the training's own where the recipe neither prunes nor fine-tunes in int8
    deploy: str


@functools.cache
def library_version(distribution: str) -> str:
    """Version of an installed distribution; 'absent' when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def stage_keys(
    catalogue: Catalogue, recipe: Recipe, *, fingerprint: str, seed: int, device: str, teacher_key: str = ""
) -> StageKeys:
    """Keys of every stage of `recipe` on the task with this fingerprint.

    `teacher_key` names what the training learns from beside the data, whatever number its trial has. `seed` is the
    study's and `device` the kind that trains ('cpu', 'cuda'): both change what a training leaves.
    """
    # A slot that no strategy declares could mean anything, so it counts from the first stage on.
    unknown = {name: recipe[name] for name in recipe if name not in catalogue.declarations}
    start: dict[str, Any] = {"task": fingerprint, "unknown": unknown}
    model = models().get(str(recipe.get("model")))
    if model is not None and model.counts_ngrams:
        start["counts"] = True  # texts are prepared in two forms, and fields left out would not tell which
    prepare = _key(catalogue, recipe, PREPARE, start)
    origin = {"parent": prepare, "seed": seed, "device": device}
    if teacher_key:
        origin["teacher"] = teacher_key
    train = _key(catalogue, recipe.asked, TRAIN, origin)
    in_int8, shrink = Qat.from_recipe(recipe).on, train
    if in_int8 or recipe.get(PRUNE, "none") != "none":
        counting = recipe if in_int8 else {n: v for n, v in recipe.items() if n.partition(".")[0] != Qat.name}
        shrink = _key(catalogue, counting, SHRINK, {"parent": train})
    deploy = _key(catalogue, recipe, DEPLOY, {"parent": shrink})
    return StageKeys(prepare=prepare, train=train, shrink=shrink, deploy=deploy)


def _key(catalogue: Catalogue, recipe: Mapping[str, Value], stage: str, origin: Mapping[str, Any]) -> str:
    return sha256_json(
        {
            "stage": stage,
            "code": CODE_VERSIONS[stage],
            "slots": {name: recipe[name] for name in catalogue.stage_names(stage) if name in recipe},
            "origin": dict(origin),
            "libraries": {name: library_version(name) for name in LIBRARIES[stage]},
        }
    )
