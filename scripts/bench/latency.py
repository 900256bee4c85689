"""One row through the exported bundle, and through the same pipeline in scikit-learn: how long, and how many times?

    .venv/bin/python scripts/bench/latency.py DATA [--target T] [--limit 'latency_ms<=0.3'] [--time 60s] [--json FILE]
    .venv/bin/python scripts/bench/latency.py --home HOME --study NAME         # a study that is there already

Searches with the real command and the limit given, then measures in one process, one thread, in turns, on the same
raw rows: the exported graphs, `load_bundle(...).predict` of a DataFrame, and the recipe written with scikit-learn
(ColumnTransformer and the same kind of model, fitted on the same rows) called on the same DataFrame.
"""

import os

# Before numpy: one thread is what is compared, whatever library brings which pool.
os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

import argparse
import itertools
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, Timed, in_turns, print_surroundings, print_table, surroundings, write_result
from plain_pipeline import labels, plain_pipeline, trees_of

import autoopt
from autoopt.files import Home
from autoopt.space import Recipe
from autoopt.task import Snapshot, score
from autoopt.task.facts import TaskFacts
from autoopt.values import Measurement, broken, parse_limits

LIMIT = "latency_ms<=0.3"
PLAIN = "scikit-learn on a DataFrame"
FRAME = "bundle.predict on a DataFrame"
DICT = "bundle.scores on a dict"
_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: a bundle, the task's data, and the recipe's counterpart."""

    bundle: Any
    snapshot: Snapshot
    recipe: Recipe
    plain: Any

    @property
    def facts(self) -> TaskFacts:
        return self.snapshot.facts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?")
    parser.add_argument("--target", default=None)
    parser.add_argument("--limit", action="append", dest="limits", metavar="MEASURE<=VALUE")
    parser.add_argument("--time", default="60s")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each timing")
    parser.add_argument("--home", default=None)
    parser.add_argument("--study", default="latency")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    limits = options.limits or [LIMIT]
    found = surroundings()
    print_surroundings(found)
    with tempfile.TemporaryDirectory(prefix="autoopt-latency-") as folder:
        home = Path(options.home or f"{folder}/home")
        if options.data:
            _search(options.data, options.target, limits, options.time, home, options.study)
        subject = _subject(home, options.study)
        result = _measured(subject, options.seconds)
        held = _print(subject, result, limits)
    write_result(options.json, {"surroundings": found, "limits_hold": held, **_json(subject, result)})
    return 0 if held else 1


def _search(data: str, target: str | None, limits: list[str], time: str, home: Path, study: str) -> None:
    chosen = ["--target", target] if target else []
    asked = [word for limit in limits for word in ("--limit", limit)]
    command = [sys.executable, "-m", "autoopt", "search", data, *chosen, *asked, "--time", time, "--study", study]
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    subprocess.run([*command, "--home", str(home)], cwd=ROOT, check=True, stdout=sys.stderr, env=environment)


def _subject(home: Path, study: str) -> Subject:
    places = Home.locate(home)
    bundle = autoopt.load_bundle(places.bundle(study))
    snapshot = Snapshot.open(places.snapshot(bundle.manifest["data"]["fingerprint"]))
    recipe = Recipe(bundle.manifest["recipe"])
    text = bundle.folder / "weights" / "model.txt"
    trees = trees_of(text.read_text(), snapshot.facts) if text.is_file() else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a network of one epoch has not converged: it is there to be timed
        plain = plain_pipeline(snapshot.facts, recipe, trees=trees)
        plain.fit(snapshot.frame("train"), labels(snapshot.facts, snapshot.part("train").target))
    return Subject(bundle=bundle, snapshot=snapshot, recipe=recipe, plain=plain)


def _measured(subject: Subject, seconds: float) -> dict[int, Timed]:
    """Timings by batch size."""
    frame = subject.snapshot.frame("valid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {batch: in_turns(_calls(subject, frame, batch), seconds=seconds) for batch in (1, 256)}


def _calls(subject: Subject, frame: Any, batch: int) -> dict[str, Callable[[], object]]:
    bundle, plain = subject.bundle, subject.plain
    starts = np.linspace(0, max(0, len(frame) - batch), num=_ROWS if batch == 1 else 4).astype(int)
    frames = [frame.iloc[start : start + batch] for start in starts]
    tables = [{name: list(some[name]) for name in some} for some in frames]
    feeds = [bundle.front.feed(some) for some in frames]
    plain_predict = plain.predict_proba if subject.facts.kind.classifies else plain.predict
    sessions = {f"graph, {role}": bundle.predictor(role).session for role in bundle.roles}
    graphs = {name: _each(session.run, feeds) for name, session in sessions.items()}
    return {
        **graphs,
        DICT: _each(bundle.scores, tables),
        FRAME: _each(bundle.predict, frames),
        PLAIN: _each(plain_predict, frames),
    }


def _each(call: Callable[[Any], object], arguments: list[Any]) -> Callable[[], object]:
    """Another argument each time, so that no branch is learned by heart."""
    turns = itertools.cycle(arguments)
    return lambda: call(next(turns))


def _print(subject: Subject, result: dict[int, Timed], limits: list[str]) -> bool:
    bundle, facts = subject.bundle, subject.facts
    chosen = f"graph, {bundle.manifest['chosen']}"
    recipe = ", ".join(f"{k} {v}" for k, v in subject.recipe.items())
    print(f"\ntrial {bundle.manifest['trial']}, `predict` uses the {bundle.manifest['chosen']} graph\n{recipe}")
    print(f"{facts.metric} on valid: {_qualities(subject)}")
    rows = []
    for name in result[1].blocks:
        row: list[str] = [name]
        for batch in (1, 256):
            row += [result[batch].ms(name).text(), f"{result[batch].ratio(PLAIN, name).text('.3g')}"]
        rows.append(row)
    per = "scikit-learn takes times"
    print_table(("one thread, in turns", "batch 1, ms", per, "batch 256, ms", per), rows)
    measured = {"latency_ms": Measurement(value=result[1].ms(chosen).median)} | {
        "latency_batch_ms": Measurement(value=result[256].ms(chosen).median),
        "size_bytes": Measurement(value=_artifact(subject)["bytes"]),
    }
    wanted = [x for x in parse_limits(limits) if x.measure in measured]
    misses = broken(wanted, measured)
    told = _artifact(subject)["latency"]["batch_1"]["p50_ms"]
    for limit in wanted:
        print(f"{limit}: {'BROKEN' if limit in misses else 'holds'} (here {measured[limit.measure].value:.4g})")
    print(f"latency_ms in the manifest: {told:.4f}")
    return not misses


def _artifact(subject: Subject) -> dict[str, Any]:
    manifest = subject.bundle.manifest
    return next(a for a in manifest["artifacts"] if a["role"] == manifest["chosen"])


def _qualities(subject: Subject) -> str:
    """Both on the same rows: whether they are the same pipeline at all."""
    facts, frame = subject.facts, subject.snapshot.frame("valid")
    target = subject.snapshot.part("valid").target
    plain = subject.plain.predict_proba(frame) if facts.kind.classifies else subject.plain.predict(frame)[:, None]
    ours = score(facts.metric, facts, target, subject.bundle.scores(frame))
    return f"bundle {ours:.4f}, scikit-learn {score(facts.metric, facts, target, plain):.4f}"


def _json(subject: Subject, result: dict[int, Timed]) -> dict[str, Any]:
    return {
        "recipe": subject.recipe.to_json(),
        "chosen": subject.bundle.manifest["chosen"],
        "batches": {
            batch: {
                name: {"ms": timed.ms(name).to_json(), "scikit_learn_takes_times": timed.ratio(PLAIN, name).to_json()}
                for name in timed.blocks
            }
            for batch, timed in result.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
