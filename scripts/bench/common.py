"""What the benches share: the machine in words, calls timed in turns, ratios with their spread, tables."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from autoopt.devices import machine
from autoopt.files import measuring_lock
from autoopt.runtime import latency

ROOT = Path(__file__).resolve().parents[2]
Call = Callable[[], object]
LOW, HIGH = 10, 90
"""Percentiles that a spread goes from and to."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A median and where the middle 80 % lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        low, median, high = np.percentile(np.asarray(values, dtype=np.float64), [LOW, 50, HIGH])
        return cls(median=float(median), low=float(low), high=float(high))

    def text(self, form: str = ".3g") -> str:
        return f"{self.median:{form}} ({self.low:{form}}–{self.high:{form}})"

    def to_json(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Medians in milliseconds of each block, by callable; the blocks of all callables were taken side by side."""

    blocks: Mapping[str, Sequence[float]]

    def ms(self, name: str) -> Spread:
        return Spread.of(self.blocks[name])

    def ratio(self, above: str, below: str) -> Spread:
        """How many times longer `above` takes than `below`, block by block."""
        return Spread.of([a / b for a, b in zip(self.blocks[above], self.blocks[below], strict=True)])


def in_turns(calls: Mapping[str, Call], *, seconds: float, blocks: int = 20) -> Timed:
    """Time the callables against each other in short bursts, as autoopt does in a search; a median each a block.

    The machine-wide measuring lock is held for a block at a time, so that a search beside this one is not starved.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(blocks):
        with measuring_lock():
            for name, timed in latency(calls, seconds=seconds / blocks, blocks=1).items():
                found[name].append(timed.p50_ms)
    return Timed(blocks=found)


def surroundings() -> dict[str, Any]:
    """Machine, load and libraries: without them a figure says nothing."""
    found = machine()
    libraries = ("numpy", "onnxruntime", "scikit-learn", "lightgbm", "torch", "optuna", "mlflow")
    return {
        "cpu": found.cpu_model,
        "cpu_features": sorted(found.cpu_features),
        "cores": found.cores,
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
    }


def print_surroundings(found: Mapping[str, Any]) -> None:
    features = f" ({', '.join(found['cpu_features'])})" if found["cpu_features"] else ""
    libraries = ", ".join(f"{name} {number}" for name, number in found["libraries"].items())
    print(f"{found['cpu']}{features}, {found['cores']} cores, load {found['load_1_min']} at the start")
    print(f"Python {found['python']}, {libraries}")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table with aligned columns."""
    cells = [list(map(str, headings)), *([str(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    print("\n" + "\n".join(lines), flush=True)


def write_result(path: Path | None, result: Mapping[str, Any]) -> None:
    """The figures as JSON, where a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n")
