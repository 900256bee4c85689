"""Every strategy on and off around one good recipe, on images.

    .venv/bin/python scripts/bench/strategies.py cifar10_10k.tar.gz [--epochs 4] [--only NAME ...] [--json FILE]

Each variant changes one choice of the base recipe and is trained in a process of its own, on all cores, with the same
seed. The base is run again between every few variants: speeds are ratios to the bases before and after, so that the
machine's moods cancel. Seconds to the target are those until the accuracy on valid that the first base ended with, less
two points. A variant harms when it is slower than the base and no better, beyond the spread of the bases. What cannot
be used on this machine is not run, and the table says why.

Left out: distillation, since a run stands alone and has no earlier trial to learn from; parallel training, since that
takes several slots; max_autotune, which on a CPU compiles for longer than the whole training takes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Spread, print_surroundings, print_table, surroundings, write_result

from autoopt.devices import machine, peak_memory_bytes, slots
from autoopt.errors import StageFailure
from autoopt.files import Store
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.stages.flow import Flow
from autoopt.stages.measure import entry_measures
from autoopt.stages.runners import GRAPH
from autoopt.strategies import applies_reason, catalogue
from autoopt.task import Snapshot, TaskOptions, prepare_task
from autoopt.values import QUALITY, Slot

BASE_EVERY = 5
BELOW_BASE = 0.02
BASE: dict[str, Value] = {
    "model": "residual_net",
    "residual_net.width": 16,
    "batch_size": 128,
    "optimizer": "sgd",
    "optimizer.nesterov": True,
    "optimizer.learning_rate": 0.1,
    "optimizer.weight_decay": 5e-4,
    "schedule": "one_cycle",
    "loss": "cross_entropy",
    "loss.label_smoothing": 0.1,
    "augment": "flip_crop",
    "memory_format": "channels_last",
    "precision": "bf16",
    "quantize": "none",
    # What only changes the speed is said too: else each run would begin with probes.
    "storage": "memory",
    "loader.workers": 0,
    "loader.augment_on": "device",
    "compile": "none",
}
ADAMW: dict[str, Value] = {"optimizer": "adamw", "optimizer.learning_rate": 0.004, "optimizer.weight_decay": 0.05}
VARIANTS: dict[str, dict[str, Value]] = {
    # accelerator and precision
    "precision=fp32": {"precision": "fp32"},
    "precision=tf32": {"precision": "tf32"},
    "precision=fp16": {"precision": "fp16"},
    "memory_format=contiguous": {"memory_format": "contiguous"},
    "fp32 and contiguous": {"precision": "fp32", "memory_format": "contiguous"},
    "compile=default": {"compile": "default"},
    # memory and storage
    "storage=memmap": {"storage": "memmap"},
    "storage=hdf5": {"storage": "hdf5"},
    "storage=arrow": {"storage": "arrow"},
    "storage=encoded": {"storage": "encoded"},
    "pinned_memory": {"pinned_memory": True},
    "gradients.accumulate=4": {"gradients.accumulate": 4},
    "gradients.recompute": {"gradients.recompute": True},
    # preprocessing and augmentation
    "resolution=half": {"resolution": "half"},
    "resolution=three_quarters": {"resolution": "three_quarters"},
    "progressive_resizing=half": {"progressive_resizing": "half"},
    "progressive_resizing=three_quarters": {"progressive_resizing": "three_quarters"},
    "augment=none": {"augment": "none"},
    "augment=trivial": {"augment": "trivial"},
    "augment=rand": {"augment": "rand"},
    "no cutout": {"augment.cutout_share": 0.0},
    "brightness and contrast": {"augment.brightness": 0.2, "augment.contrast": 0.2},
    "augment.mix=mixup": {"augment.mix": "mixup"},
    "augment.mix=cutmix": {"augment.mix": "cutmix"},
    # batching and loading
    "batch_size=32": {"batch_size": 32},
    "batch_size=512": {"batch_size": 512},
    "loader.workers=1": {"loader.workers": 1},
    "loader.workers=2": {"loader.workers": 2},
    "augmented by 2 workers": {"loader.workers": 2, "loader.augment_on": "workers"},
    # architecture
    "residual_net.depth=2": {"residual_net.depth": 2},
    "depthwise_net": {"model": "depthwise_net", "depthwise_net.width": 24, "precision": "fp32", **ADAMW},
    "patch_net, convolution": {"model": "patch_net", "patch_net.width": 64, "precision": "fp32", **ADAMW},
    "patch_net, attention": {
        "model": "patch_net",
        "patch_net.mixer": "attention",
        "patch_net.width": 64,
        "precision": "fp32",
        **ADAMW,
    },
    # loss and regularization
    "label_smoothing=0": {"loss.label_smoothing": 0.0},
    "loss=focal": {"loss": "focal"},
    "weight_decay=0.005": {"optimizer.weight_decay": 0.005},
    "dropout=0.2": {"residual_net.dropout": 0.2},
    "ema": {"ema": True},
    # optimizer and schedule
    "optimizer=adamw": ADAMW,
    "optimizer=adam": {"optimizer": "adam", "optimizer.learning_rate": 0.003},
    "optimizer=muon": {"optimizer": "muon", "optimizer.learning_rate": 0.02},
    "optimizer=rmsprop": {"optimizer": "rmsprop", "optimizer.learning_rate": 0.001},
    "no nesterov": {"optimizer.nesterov": False},
    "schedule=constant": {"schedule": "constant"},
    "schedule=step": {"schedule": "step"},
    "schedule=cosine": {"schedule": "cosine"},
    "cosine with warm-up": {"schedule": "cosine", "schedule.warmup_share": 0.1},
    "schedule=plateau": {"schedule": "plateau"},
    "schedule=exponential": {"schedule": "exponential"},
    "gradients.clip_norm=1": {"gradients.clip_norm": 1.0},
    # pruning
    "prune=channels": {"prune": "channels", "prune.share": 0.5, "prune.epochs": 1},
    "prune=channels in 3 steps": {"prune": "channels", "prune.share": 0.5, "prune.steps": 3, "prune.epochs": 1},
    "prune=magnitude": {"prune": "magnitude", "prune.share": 0.5, "prune.epochs": 1},
    "prune=random": {"prune": "random", "prune.share": 0.5, "prune.epochs": 1},
    # quantization and deploying
    "mirror": {"mirror": True},
    "quantize=static_int8": {"quantize": "static_int8"},
    "static_int8 and qat": {"quantize": "static_int8", "qat": True},
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One recipe, trained and deployed."""

    name: str
    failed: str = ""  # why there is no more; '' when there is
    samples_per_s: float = 0.0
    points: tuple[tuple[float, float], ...] = ()  # (seconds, accuracy on valid) after each epoch
    accuracy: float = 0.0  # of the deployed graph on valid
    size_bytes: int = 0
    peak_memory_bytes: int = 0

    def seconds_to(self, accuracy: float) -> float:
        return next((s for s, a in self.points if a >= accuracy), float("inf"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="images: a folder or an archive, a folder a class")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), metavar="NAME", default=list(VARIANTS))
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # a variant in a process of its own
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measured(**json.loads(options.one)))))
        return 0
    found = surroundings()
    print_surroundings(found)
    with tempfile.TemporaryDirectory() as folder:
        prepare_task(options.data, TaskOptions()).save(Path(folder) / "snapshot")
        runs = interleaved(Path(folder), options.only, options.epochs)
    print_runs(runs)
    write_result(options.json, {"surroundings": found, "base": BASE, "runs": [asdict(r) for r in runs]})
    return 0


def interleaved(folder: Path, names: list[str], epochs: int) -> list[Run]:
    """The base, some variants, the base again, ..., and the base at the end."""
    runs: list[Run] = []
    for place, name in enumerate(names):
        if place % BASE_EVERY == 0:
            runs.append(in_process(folder, "base", {}, epochs))
        runs.append(in_process(folder, name, VARIANTS[name], epochs))
    return [*runs, in_process(folder, "base", {}, epochs)]


def in_process(folder: Path, name: str, changes: Mapping[str, Value], epochs: int) -> Run:
    recipe = {**BASE, **changes}
    recipe[f"{recipe['model']}.epochs"] = epochs
    job = json.dumps({"folder": str(folder), "name": name, "recipe": known(recipe)})
    done = subprocess.run([sys.executable, __file__, "-", "--one", job], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = done.stderr.strip().splitlines() or ["nothing said"]
        run = Run(name=name, failed=f"ended with {done.returncode}: {told[-1]}")
    else:
        raw = json.loads(done.stdout.strip().splitlines()[-1])
        run = Run(**{**raw, "points": tuple(tuple(p) for p in raw["points"])})
    told_text = run.failed or f"{run.accuracy:.3f}, {run.samples_per_s:.0f}/s"
    print(f"{name}: {told_text}", file=sys.stderr, flush=True)
    return run


def known(recipe: Mapping[str, Value]) -> dict[str, Value]:
    """Without fields of the base that mean nothing beside another choice. Raises KeyError for what is no field."""
    declared = catalogue().declarations

    def counts(name: str) -> bool:
        conditions = declared[name].when
        return all(other not in recipe or recipe[other] in values for other, values in conditions)

    return {name: value for name, value in recipe.items() if counts(name)}


def measured(folder: str, name: str, recipe: Mapping[str, Any]) -> Run:
    """Train and deploy with a store of its own; what the training told is kept."""
    snapshot, slot = Snapshot.open(f"{folder}/snapshot"), slots(machine(), 1)[0]
    reason = applies_reason(snapshot.facts, slot)
    reasons = [reason(field, value) or reason(field, None) for field, value in recipe.items()]
    if any(reasons):
        return Run(name=name, failed="; ".join(filter(None, dict.fromkeys(reasons))))
    try:
        return trained(snapshot, slot, name, recipe)
    except StageFailure as error:
        return Run(name=name, failed=str(error))


def trained(snapshot: Snapshot, slot: Slot, name: str, recipe: Mapping[str, Any]) -> Run:
    began, points, speeds = time.perf_counter(), [], []

    def report(stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None:
        nonlocal began
        if stage == "train" and step is None:
            began = time.perf_counter()
        if stage == "train" and step is not None and values and "valid" in values:
            points.append((time.perf_counter() - began, values["valid"]))
            speeds.append(values["samples_per_s"])

    with tempfile.TemporaryDirectory() as store:
        flow = Flow(
            snapshot=snapshot, store=Store(Path(store)), recipe=Recipe(recipe), seed=0, slot=slot, report=report
        )
        entry = flow.deployed()
        quality = entry_measures(flow.facts, flow.snapshot.part("valid").target, entry)[QUALITY]
        return Run(
            name=name,
            samples_per_s=Spread.of(speeds).median,
            points=tuple(points),
            accuracy=quality.value,
            size_bytes=(entry.path / GRAPH).stat().st_size,
            peak_memory_bytes=peak_memory_bytes(),
        )


def bases_beside(runs: list[Run], place: int) -> list[Run]:
    """The base before a run and the one after it; a base is beside itself."""
    before = next((r for r in runs[place::-1] if r.name == "base" and not r.failed), None)
    after = next((r for r in runs[place:] if r.name == "base" and not r.failed), None)
    return [base for base in (before, after) if base is not None]


def print_runs(runs: list[Run]) -> None:
    bases = [r for r in runs if r.name == "base" and not r.failed]
    target = bases[0].accuracy - BELOW_BASE if bases else float("nan")
    rows: list[list[str]] = []
    for place, run in enumerate(runs):
        if run.failed:
            rows.append([run.name, *["-"] * 6, run.failed])
            continue
        near = np.mean([base.samples_per_s for base in bases_beside(runs, place)])
        rows.append(
            [
                run.name,
                f"{run.samples_per_s:.0f}",
                f"{run.samples_per_s / near:.2f}",
                f"{run.seconds_to(target):.0f}",
                f"{run.accuracy:.3f}",
                f"{run.size_bytes / 1e6:.2f}",
                f"{run.peak_memory_bytes / 1e6:.0f}",
                "",
            ]
        )
    headings = ["variant", "images/s", "times the base", f"s to {target:.3f}", "valid accuracy", "MB", "memory, MB"]
    print_table([*headings, "not run because"], rows)


if __name__ == "__main__":
    sys.exit(main())
