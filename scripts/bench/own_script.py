"""One's own training script against the recipe that autoopt finds for the same network and data.

    .venv/bin/python scripts/bench/own_script.py cifar10_10k.tar.gz [--time 10m] [--epochs 20] [--seeds 3] [--json FILE]

The script is the way articles write it: fp32, contiguous, batches of 32, Adam at 1e-3, no schedule, no workers. Its
best accuracy on valid is the target; compared are the seconds of training, scoring on valid after each epoch included,
until that accuracy is reached. autoopt searches once, with objectives quality and train_s; of the trials that reached
the target, the one that trained shortest is then trained anew with every seed, in turns with the script.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from common import Spread, print_surroundings, print_table, surroundings, write_result
from torch import nn
from torch.utils.data import DataLoader

import autoopt
from autoopt.devices import machine, slots
from autoopt.files import Store
from autoopt.space.recipe import Recipe
from autoopt.stages.flow import Flow
from autoopt.task import Snapshot

HERE = Path(__file__).resolve().parent
BAR, BAR_WITHOUT_BF16 = 3.0, 1.5


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy on valid over seconds of training."""

    seed: int
    points: tuple[tuple[float, float], ...]  # (seconds, accuracy) after each epoch

    @property
    def best(self) -> float:
        return max(accuracy for _, accuracy in self.points)

    def seconds_to(self, accuracy: float) -> float:
        """Infinity where it was never reached."""
        return next((s for s, a in self.points if a >= accuracy), float("inf"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="images, a folder a class, as .tar.gz")
    parser.add_argument("--time", default="10m", help="of the search")
    parser.add_argument("--epochs", type=int, default=20, help="of the script")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["CIFAR_ARCHIVE"] = str(options.archive.resolve())
    found = surroundings()
    print_surroundings(found)
    sys.path.insert(0, str(HERE))
    scripts = [own_script(0, options.epochs)]
    with tempfile.TemporaryDirectory(prefix="autoopt-own-") as home:
        study = autoopt.search(
            f"{HERE / 'cifar_task.py'}:task",
            time=options.time,
            objectives=["quality", "train_s"],
            slots=1,
            home=home,
            study="own",
        )
        recipe = quickest(study, scripts[0].best)
        recipes = []
        for seed in range(options.seeds):
            if seed > 0:
                scripts.append(own_script(seed, options.epochs))
            recipes.append(with_recipe(study, recipe, seed))
            print_progress(scripts[-1], recipes[-1])
    ratios = [s.seconds_to(s.best) / r.seconds_to(s.best) for s, r in zip(scripts, recipes, strict=True)]
    print_result(scripts, recipes, ratios, recipe)
    write_result(
        options.json,
        {
            "surroundings": found,
            "recipe": dict(recipe),
            "script": [asdict(c) for c in scripts],
            "autoopt": [asdict(c) for c in recipes],
            "ratios": ratios,
        },
    )
    bar = BAR if "bf16" in slots(machine(), 1)[0].features else BAR_WITHOUT_BF16
    return 0 if Spread.of(ratios).median >= bar else 1


def own_script(seed: int, epochs: int) -> Curve:
    """What the articles write."""
    import cifar_task

    torch.manual_seed(seed)
    torch.set_num_threads(machine().cores)
    network, task = cifar_task.build(), cifar_task.task()
    train = DataLoader(task.train, batch_size=32, shuffle=True)
    valid = DataLoader(task.valid, batch_size=256)
    optimizer, loss_of = torch.optim.Adam(network.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    began, points = time.perf_counter(), []
    for _ in range(epochs):
        network.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss_of(network(images), labels).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            right = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in valid)
        points.append((time.perf_counter() - began, right / len(task.valid)))
    return Curve(seed=seed, points=tuple(points))


def quickest(study: autoopt.Study, target: float) -> Recipe:
    """Of the trials that reached the target, the one that trained shortest; else the best."""
    complete = [t for t in study.trials if t.artifact_key]
    reached = [t for t in complete if t.measures["quality"].value >= target]
    chosen = min(reached, key=lambda t: t.measures["train_s"].value) if reached else study.best
    if chosen is None:
        raise SystemExit("The search found nothing: give it more time.")
    return Recipe(chosen.recipe)


def with_recipe(study: autoopt.Study, recipe: Recipe, seed: int) -> Curve:
    """The recipe trained anew, as a trial trains it: what probes have settled in the search holds for it."""
    began, points = time.perf_counter(), []

    def report(stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None:
        nonlocal began
        if stage == "train" and step is None:
            began = time.perf_counter()
        if step is not None and values and "valid" in values:
            points.append((time.perf_counter() - began, values["valid"]))

    flow = Flow(
        snapshot=Snapshot.open(study.context.snapshot),
        store=Store(study.context.home.store),
        recipe=recipe,
        seed=study.context.seed + 1 + seed,  # that of the search would find its training in the store
        slot=slots(machine(), 1)[0],
        report=report,
    )
    flow.trained()
    return Curve(seed=seed, points=tuple(points))


def print_progress(script: Curve, recipe: Curve) -> None:
    told = f"script {script.best:.3f} after {script.seconds_to(script.best):.0f} s"
    print(f"seed {script.seed}: {told}, the recipe {recipe.seconds_to(script.best):.0f} s", file=sys.stderr, flush=True)


def print_result(scripts: list[Curve], recipes: list[Curve], ratios: list[float], recipe: Mapping[str, Any]) -> None:
    rows = [
        [
            s.seed,
            f"{s.best:.3f}",
            f"{s.seconds_to(s.best):.0f}",
            f"{r.seconds_to(s.best):.0f}",
            f"{r.best:.3f}",
            f"{x:.2f}",
        ]
        for s, r, x in zip(scripts, recipes, ratios, strict=True)
    ]
    headings = ["seed", "script's best valid", "script, s", "autoopt's recipe, s", "its own best", "times faster"]
    print_table(headings, rows)
    print(f"\ntimes faster, median and the middle 80 %: {Spread.of(ratios).text('.2f')}")
    print("recipe: " + ", ".join(f"{name}={value}" for name, value in recipe.items()))


if __name__ == "__main__":
    sys.exit(main())
