"""Small tasks and the stages' entry points, called in this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoopt.space.recipe import Recipe
from autoopt.stages import worker
from autoopt.stages.contract import EvaluateJob, EvaluateResult, RemeasureJob, VerifyJob, VerifyResult
from autoopt.task.options import TaskOptions
from autoopt.task.prepare import prepare_task
from autoopt.values import Slot

MODELS: Mapping[str, Mapping[str, Any]] = {
    "lightgbm": {"lightgbm.n_trees": 20},
    "random_forest": {"random_forest.n_trees": 10},
    "extra_trees": {"extra_trees.n_trees": 10},
    "decision_tree": {},
    "linear": {},
    "linear_svm": {},
    "mlp": {"mlp.width": 32, "mlp.depth": 1, "mlp.epochs": 3},
}
"""Small recipes of every model; numbers that keep a test short."""


@dataclass
class Reports:
    """A reporter that remembers."""

    stages: list[str] = field(default_factory=list)
    steps: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None:
        if step is None:
            self.stages.append(stage)
        else:
            self.steps.append((stage, step))


@dataclass(frozen=True, kw_only=True)
class Place:
    """A snapshot and a store to work in."""

    snapshot: str
    store: str
    seed: int = 1
    slot: Slot = field(default_factory=lambda: Slot(index=0))

    def evaluate(self, recipe: Mapping[str, Any], report: Reports | None = None, **options: Any) -> EvaluateResult:
        job = EvaluateJob(
            snapshot=self.snapshot, store=self.store, recipe=recipe, **{"seed": self.seed, "quiet": True, **options}
        )
        return EvaluateResult.from_json(worker.evaluate(job.to_json(), self.slot, report or Reports()))

    def remeasure(self, *keys: str, seconds: float = 0.2) -> dict[str, Any]:
        job = RemeasureJob(snapshot=self.snapshot, store=self.store, artifact_keys=keys, seconds=seconds)
        return worker.remeasure(job.to_json(), self.slot, Reports())

    def verify(self, recipe: Mapping[str, Any], twin: Mapping[str, Any] | None, **options: Any) -> VerifyResult:
        job = VerifyJob(
            snapshot=self.snapshot,
            store=self.store,
            float_recipe=recipe,
            twin_recipe=twin,
            **{"seed": self.seed, "tolerance": 0.01, "seconds": 0.4, **options},
        )
        return VerifyResult.from_json(worker.verify(job.to_json(), self.slot, Reports()))


def recipe_of(model: str, quantize: str = "none", **changes: Any) -> Recipe:
    """A small recipe of a model."""
    return Recipe({"model": model, "quantize": quantize, "impute": "median", **MODELS[model], **changes})


def make_place(folder: Path, source: "str | pd.DataFrame", target: str | None = None, **options: Any) -> Place:
    """A place with the snapshot of a demo, a frame or a module."""
    prepare_task(source, TaskOptions(target=target, **options), "test").save(folder / "snapshot")
    return Place(snapshot=str(folder / "snapshot"), store=str(folder / "store"))


def mixed_frame(rows: int = 400) -> pd.DataFrame:
    """Numbers with gaps, categories with gaps, two classes."""
    draw = np.random.default_rng(7)
    age, income = draw.normal(40, 12, rows), draw.lognormal(3, 1, rows)
    city = draw.choice(["Bern", "Graz", "Ulm", "Łódź"], rows)
    job = draw.choice(["cook", "clerk", "smith"], rows, p=[0.5, 0.3, 0.2])
    bonus = np.where(city == "Ulm", 1.0, 0.0) + np.where(job == "cook", 0.7, 0.0)
    label = (age / 40 + np.log(income) / 3 + bonus + draw.normal(0, 0.3, rows)) > 2.5
    frame = pd.DataFrame({"age": age.round(1), "income": income.round(2), "city": city, "job": job})
    frame.loc[draw.random(rows) < 0.1, "age"] = np.nan
    frame.loc[draw.random(rows) < 0.1, "city"] = None
    return frame.assign(label=np.where(label, "yes", "no"))
