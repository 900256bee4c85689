"""What a trial costs besides its own work: ask, dispatch, record, tell; with everything real but the trial.

    .venv/bin/python scripts/bench/orchestration.py [--trials 500] [--json FILE] [--profile FILE]

The search loop on SQLite, Optuna's planner on the shipped tabular space with three objectives, processes from the fork
server, MLflow on SQLite behind its outbox. A trial reports one step and returns made-up measures at once.

Time per trial: from the end of one trial (its row is written, the planner told) to the end of the next, on one slot.
Nothing is subtracted: it holds the fork of the worker and the way there and back as well.

Bars: median of all <= 100 ms; median of the last 100 <= 1.5 x that of the first 100 after the portfolio (the portfolio
needs no model); the outbox drained within 10 s of the end.
"""

import argparse
import cProfile
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from autoopt.errors import SpaceError
from autoopt.executors import ProcessExecutor, Reporter
from autoopt.ledger import Ledger, TrialRow
from autoopt.orchestrator import BudgetClock, SearchLoop, SearchPlan, SlotView, study_payload
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.space import Recipe, load_space
from autoopt.tracking import TrackingOutbox
from autoopt.values import Budget, Slot, parse_objectives

OBJECTIVES = ("quality", "latency_ms", "size_bytes")
MEDIAN_MS, GROWTH, DRAIN_S = 100.0, 1.5, 10.0
WINDOW = 100


def trivial(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """An entry point of a worker: measures that hang on the recipe alone, as if from a training."""
    report("train", step=0, values={"loss": 0.5})
    digest = hashlib.sha256(Recipe(payload["recipe"]).sha256.encode()).digest()
    values = {"quality": digest[0] / 256, "latency_ms": 0.01 + digest[1] / 1000, "size_bytes": 1e4 + 100 * digest[2]}
    return {
        "measures": {k: {"value": v, "low": None, "high": None} for k, v in values.items()},
        "infeasible": "",
        "artifact_key": digest.hex(),
        "artifact_sha256": digest.hex(),
        "stages": [],
        "notes": [],
    }


class Watch:
    """Notes when trials end."""

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.sources: list[str] = []
        self.cpu_s: list[float] = []

    def trial_started(self, number: int, slot: int, model: str, attempt: int) -> None:
        """Not of interest."""

    def trial_ended(self, trial: TrialRow) -> None:
        self.ended.append(time.perf_counter())
        self.sources.append(trial.source)
        self.cpu_s.append(time.process_time())

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """Not of interest."""

    def phase(self, text: str) -> None:
        """Not of interest."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--profile", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autoopt-orchestration-") as folder:
        watch = Watch()
        profile = cProfile.Profile() if options.profile else None
        began, drained_s, left = run(Path(folder), options.trials, watch, profile)
    if profile is not None:
        profile.dump_stats(options.profile)
    found = figures(began, watch, drained_s, left)
    show(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(found["holds"].values()) else 1


def run(folder: Path, trials: int, watch: Watch, profile: cProfile.Profile | None) -> tuple[float, float, int]:
    """The whole search; returns its start, the seconds that draining took after it, and the rows left over."""
    space, objectives = _space(), parse_objectives(OBJECTIVES, "maximize")
    with (
        Ledger.open(f"sqlite:///{folder / 'autoopt.db'}", create=True) as ledger,
        TrackingOutbox(
            f"sqlite:///{folder / 'mlflow.db'}", artifact_folder=folder / "artifacts", log_path=folder / "tracking.log"
        ) as outbox,
    ):
        study = ledger.create_study("bench", {}, Budget(trials=trials))
        with (
            ledger.own("bench") as writer,
            ProcessExecutor((Slot(index=0),), log_folder=folder / "logs", preload=("orchestration",)) as executor,
            OptunaPlanner(
                storage_url=ledger.url, study_name="bench", space=space, objectives=objectives, seed=0
            ) as planner,
        ):
            writer.enqueue([study_payload(study, {}, {})])
            loop = SearchLoop(
                plan=SearchPlan(
                    study=study,
                    snapshot="",
                    store="",
                    seed=0,
                    objectives=objectives,
                    trials=trials,
                    entry="orchestration:trivial",
                ),
                ledger=ledger,
                writer=writer,
                planner=planner,
                executor=executor,
                clock=BudgetClock(started=time.monotonic(), before_s=0.0, budget_s=None),
                outbox=outbox,
                observer=watch,
            )
            began = time.perf_counter()
            if profile is None:
                loop.run()
            else:
                profile.runcall(loop.run)
            ended = time.perf_counter()
            left = outbox.drain(writer, until_s=60.0)
            return began, time.perf_counter() - ended, left


def _space() -> Any:
    from autoopt.strategies import catalogue

    try:
        return load_space("tabular", catalogue())
    except SpaceError as error:
        sys.exit(f"The tabular space cannot be read: {error}")


def figures(began: float, watch: Watch, drained_s: float, left: int) -> dict[str, Any]:
    """Medians in milliseconds; the first trial, which waits for the server's imports, is told apart."""
    each = [1000 * (b - a) for a, b in zip(watch.ended, watch.ended[1:], strict=False)]
    modelled = [ms for ms, source in zip(each, watch.sources[1:], strict=True) if source == "planner"]
    first, last = modelled[:WINDOW], modelled[-WINDOW:]
    median = statistics.median(each)
    growth = statistics.median(last) / statistics.median(first)
    return {
        "trials": len(watch.ended),
        "first_trial_ms": 1000 * (watch.ended[0] - began),
        "median_ms": median,
        "orchestrator_cpu_ms": statistics.median(
            [1000 * (b - a) for a, b in zip(watch.cpu_s, watch.cpu_s[1:], strict=False)]
        ),
        "p95_ms": statistics.quantiles(each, n=20)[-1],
        "max_ms": max(each),
        "portfolio_median_ms": statistics.median(
            [ms for ms, source in zip(each, watch.sources[1:], strict=True) if source == "portfolio"]
        ),
        "first_100_ms": statistics.median(first),
        "last_100_ms": statistics.median(last),
        "growth": growth,
        "drained_s": drained_s,
        "undelivered": left,
        "holds": {
            "median": median <= MEDIAN_MS,
            "growth": growth <= GROWTH,
            "drained": left == 0 and drained_s <= DRAIN_S,
        },
    }


def show(found: Mapping[str, Any]) -> None:
    """The table."""
    print(f"trials                          {found['trials']:8}")
    print(f"first trial, imports included   {found['first_trial_ms']:8.0f} ms")
    print(f"a trial, median                 {found['median_ms']:8.1f} ms   bar {MEDIAN_MS:.0f} ms")
    print(f"CPU time of the orchestrator    {found['orchestrator_cpu_ms']:8.1f} ms   without workers and MLflow")
    print(f"a trial, p95 and worst          {found['p95_ms']:8.1f} ms   {found['max_ms']:.0f} ms")
    print(f"of the portfolio, median        {found['portfolio_median_ms']:8.1f} ms")
    print(f"first {WINDOW} asked of the model    {found['first_100_ms']:8.1f} ms")
    print(f"last {WINDOW}                        {found['last_100_ms']:8.1f} ms")
    print(f"growth                          {found['growth']:8.2f}      bar {GROWTH}")
    print(f"outbox drained after            {found['drained_s']:8.1f} s    bar {DRAIN_S:.0f} s")
    print(f"rows not delivered              {found['undelivered']:8}")
    print("holds: " + ", ".join(f"{name} {'yes' if ok else 'NO'}" for name, ok in found["holds"].items()))


if __name__ == "__main__":
    sys.exit(main())
