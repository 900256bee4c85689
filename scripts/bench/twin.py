"""Quantized twins against their float graphs, same runtime, one thread: how much smaller, how much faster, how good?

    .venv/bin/python scripts/bench/twin.py [--seconds 12] [--json FILE]

Networks of 512 units are trained as a trial trains them, on digits and on a table made by scikit-learn, and deployed
as float and as static int8; the network alone and the whole pipeline (raw columns in) are timed in turns. Then trees:
the portable encoding against the compact one, for LightGBM and a random forest.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import Spread, Timed, in_turns, print_surroundings, print_table, surroundings, write_result
from lab import Lab
from numpy.typing import NDArray
from sklearn.datasets import make_classification

from autoopt.runtime import Session
from autoopt.runtime.timing import in_turns as each_in_turn
from autoopt.stages import deploy
from autoopt.stages.flow import Flow
from autoopt.stages.rows import feeds_of
from autoopt.task import TaskOptions, score
from autoopt.values import format_bytes

BATCHES = (1, 256)
FLOAT, TWIN = "float", "twin"
NETWORK = {
    "model": "mlp",
    "encode": "embed",
    "scale": "standard",
    "mlp.width": 512,
    "mlp.epochs": 15,
    "optimizer": "adamw",
    "optimizer.learning_rate": 0.003,
    "schedule": "one_cycle",
    "batch_size": 256,
}
TREES = {
    "lightgbm": {"lightgbm.n_trees": 200, "lightgbm.num_leaves": 31},
    "random_forest": {"random_forest.n_trees": 100, "random_forest.max_leaf_nodes": 512},
}
SETS = ("digits", "made: 8,000 rows, 40 numbers, 2 classes")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two graphs of one trained model, measured."""

    title: str
    size_bytes: Mapping[str, int]
    timed: Mapping[int, Timed]  # by batch size
    quality: Mapping[str, float]
    metric: str
    largest_difference: float
    changed_labels: int
    rows: int

    @property
    def size_ratio(self) -> float:
        return self.size_bytes[FLOAT] / self.size_bytes[TWIN]

    def speed_ratio(self, batch: int) -> Spread:
        return self.timed[batch].ratio(FLOAT, TWIN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12.0, help="of each timing")
    parser.add_argument("--depth", type=int, action="append", dest="depths")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    found = surroundings()
    print_surroundings(found)
    with tempfile.TemporaryDirectory(prefix="autoopt-twin-") as folder:
        labs = _labs(Path(folder))
        networks = [
            pair
            for name, lab in labs.items()
            for depth in options.depths or (2, 3)
            for pair in lab.network(f"{name}; 512 × {depth}", NETWORK | {"mlp.depth": depth}, options.seconds)
        ]
        trees = [
            lab.trees(
                f"{name}; {model}", {"model": model, "impute": "native", "scale": "none", **more}, options.seconds
            )
            for name, lab in labs.items()
            for model, more in TREES.items()
        ]
    _print("static int8 against float", networks)
    _print("compact against portable", trees)
    write_result(options.json, {"surroundings": found, "pairs": [_json(p) for p in (*networks, *trees)]})
    bars = [p for p in networks if p.title.endswith("network")]
    return 0 if all(p.size_ratio >= 3.5 and p.speed_ratio(1).median >= 1.2 for p in bars) else 1


@dataclass(frozen=True, kw_only=True)
class PairLab(Lab):
    """Where pairs of graphs of one trained model are made and measured."""

    def network(self, title: str, recipe: Mapping[str, Any], seconds: float) -> list[Pair]:
        """The network alone, then the whole pipeline."""
        flows = {FLOAT: self.flow(recipe), TWIN: self.flow({**recipe, "quantize": "static_int8"})}
        whole = self._pipelines(flows)
        features = flows[FLOAT].part("valid")
        calibration = flows[FLOAT].part("train")
        alone = {
            role: flow.form.quantize.apply(flow.artifact(), calibration).SerializeToString()
            for role, flow in flows.items()
        }
        rows: dict[str, NDArray[Any]] = features.model_feed(slice(None))
        feeds = {b: _slices({n: rows[n] for n in Session(alone[FLOAT]).inputs}, b) for b in BATCHES}
        scores = {role: Session(graph).run({n: rows[n] for n in feeds[1][0]}) for role, graph in alone.items()}
        return [
            self._pair(f"{title}, the network", alone, feeds, scores, seconds),
            self._whole(f"{title}, the pipeline", flows, whole, seconds),
        ]

    def trees(self, title: str, recipe: Mapping[str, Any], seconds: float) -> Pair:
        """The whole pipeline in both encodings."""
        flows = {FLOAT: self.flow(recipe), TWIN: self.flow({**recipe, "quantize": "compact"})}
        return self._whole(title, flows, self._pipelines(flows), seconds)

    def _pipelines(self, flows: Mapping[str, Flow]) -> dict[str, bytes]:
        return {role: (flow.deployed().path / deploy.GRAPH).read_bytes() for role, flow in flows.items()}

    def _whole(self, title: str, flows: Mapping[str, Flow], graphs: Mapping[str, bytes], seconds: float) -> Pair:
        valid = self.snapshot.part("valid")
        feeds = {b: feeds_of(self.snapshot.facts, valid, batch=b, most=64 if b == 1 else 4) for b in BATCHES}
        scores = {role: deploy.load_valid_scores(flow.deployed()) for role, flow in flows.items()}
        return self._pair(title, graphs, feeds, scores, seconds)

    def _pair(
        self,
        title: str,
        graphs: Mapping[str, bytes],
        feeds: Mapping[int, Sequence[Mapping[str, NDArray[Any]]]],
        scores: Mapping[str, NDArray[Any]],
        seconds: float,
    ) -> Pair:
        sessions = {role: Session(graph) for role, graph in graphs.items()}
        timed = {
            b: in_turns({role: each_in_turn(s.run, feeds[b]) for role, s in sessions.items()}, seconds=seconds)
            for b in BATCHES
        }
        facts, target = self.snapshot.facts, self.snapshot.part("valid").target
        pair = Pair(
            title=title,
            size_bytes={role: len(graph) for role, graph in graphs.items()},
            timed=timed,
            quality={role: score(facts.metric, facts, target, found) for role, found in scores.items()},
            metric=facts.metric,
            largest_difference=float(np.abs(scores[FLOAT] - scores[TWIN]).max()),
            changed_labels=int((scores[FLOAT].argmax(axis=1) != scores[TWIN].argmax(axis=1)).sum()),
            rows=len(target),
        )
        print(f"{title}: {pair.size_ratio:.2f}x smaller, {pair.speed_ratio(1).text('.2f')}x faster", file=sys.stderr)
        return pair


def _labs(folder: Path) -> dict[str, PairLab]:
    numbers, target = make_classification(8000, 40, n_informative=24, n_redundant=4, flip_y=0.05, random_state=0)
    made = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(40)]).assign(target=np.where(target, "yes", "no"))
    found = {}
    for name, data in zip(SETS, ("demo:digits", made), strict=True):
        options = TaskOptions(target=None if isinstance(data, str) else "target")
        found[name] = PairLab.of(data, options, folder / name.split(":")[0])
    return found


def _slices(rows: Mapping[str, NDArray[Any]], batch: int) -> list[dict[str, NDArray[Any]]]:
    count = len(next(iter(rows.values())))
    starts = np.unique(np.linspace(0, max(0, count - batch), num=64 if batch == 1 else 4).astype(int))
    return [{name: np.ascontiguousarray(v[start : start + batch]) for name, v in rows.items()} for start in starts]


def _print(title: str, pairs: Sequence[Pair]) -> None:
    rows = []
    for p in pairs:
        speeds = [cell for b in BATCHES for cell in (_milliseconds(p, b), p.speed_ratio(b).text(".2f"))]
        exact = (
            "equal bits" if p.largest_difference == 0 else f"{p.largest_difference:.1g}, {p.changed_labels} of {p.rows}"
        )
        sizes = f"{format_bytes(p.size_bytes[FLOAT])} → {format_bytes(p.size_bytes[TWIN])}"
        quality = f"{p.quality[FLOAT]:.4f} → {p.quality[TWIN]:.4f} {p.metric}"
        rows.append((p.title, sizes, f"{p.size_ratio:.2f}", *speeds, quality, exact))
    headings = (title, "size", "times smaller", "batch 1, ms", "times faster", "batch 256, ms", "times faster")
    print_table((*headings, "valid", "largest difference of a score, changed labels"), rows)


def _milliseconds(pair: Pair, batch: int) -> str:
    return f"{pair.timed[batch].ms(FLOAT).median:.3g} → {pair.timed[batch].ms(TWIN).median:.3g}"


def _json(pair: Pair) -> dict[str, Any]:
    return {
        "title": pair.title,
        "size_bytes": pair.size_bytes,
        "size_ratio": pair.size_ratio,
        "batches": {
            b: {
                "float_ms": pair.timed[b].ms(FLOAT).to_json(),
                "twin_ms": pair.timed[b].ms(TWIN).to_json(),
                "speed_ratio": pair.speed_ratio(b).to_json(),
            }
            for b in BATCHES
        },
        "metric": pair.metric,
        "valid": pair.quality,
        "largest_difference": pair.largest_difference,
        "changed_labels": pair.changed_labels,
        "rows": pair.rows,
    }


if __name__ == "__main__":
    sys.exit(main())
