"""The first command, as a person would type it: is the time kept, how soon is there a trial, how good is the best?

    .venv/bin/python scripts/bench/first_run.py [DATA[:TARGET] ...] [--time 60s ...] [--repeats 3] [--json FILE]

Runs `autoopt search` on demo:digits and on each file given, each time with a fresh home; then `autoopt --help`.
Wall time is taken from outside: from the start of the process to its end, interpreter and helpers included.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import ROOT, Spread, print_surroundings, print_table, surroundings, write_result

from autoopt.values import parse_duration_s

HEAVY = ("torch", "sklearn", "mlflow", "optuna", "pandas")
FIRST_TRIAL_BAR_S = 10.0
HELP_BAR_S = 0.4
TIME_KEPT = 0.10
_TRIAL_ENDED = re.compile(r"^\s*[\d.]+s\s+trial \d+\s+\w+\s+(?!starts again)")
_PHASE = re.compile(r"^\s*([\d.]+)s  (measuring|verifying|writing)")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One search, seen from outside."""

    data: str
    budget_s: float
    wall_s: float
    first_trial_s: float
    trials: dict[str, int]
    valid: float
    test: float | None
    metric: str
    model: str
    phases_s: dict[str, float]  # when each of the closing phases began
    code: int

    @property
    def trials_per_minute(self) -> float:
        return 60 * sum(self.trials.values()) / self.wall_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", metavar="FILE:TARGET", help="tables beside demo:digits")
    parser.add_argument("--time", action="append", dest="times", metavar="60s")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-demo", action="store_true", help="only the files given")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    found = surroundings()
    print_surroundings(found)
    cases = ([] if options.no_demo else ["demo:digits"]) + options.data
    runs = [
        _search(case, budget)
        for _ in range(options.repeats)  # outermost: the machine's moods strike every case alike
        for budget in options.times or ["60s"]
        for case in cases
    ]
    _print_runs(runs)
    helped = _help(5)
    _print_help(helped)
    write_result(options.json, {"surroundings": found, "runs": [asdict(r) for r in runs], "help": helped})
    return 0 if all(_kept(r) for r in runs) else 1


def _search(case: str, budget: str) -> Run:
    source, target = (case, "") if case.startswith("demo:") else case.rsplit(":", 1)
    chosen = ["--target", target] if target else []
    with tempfile.TemporaryDirectory(prefix="autoopt-first-run-") as folder:
        command = [sys.executable, "-m", "autoopt", "search", source, *chosen, "--time", budget, "--json"]
        began = time.monotonic()
        with subprocess.Popen(
            [*command, "--home", f"{folder}/home"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            first_s, phases = _watch(process, began)
            told = process.stdout.read() if process.stdout else ""
            code = process.wait()
        wall_s = time.monotonic() - began
    if code not in (0, 3):
        sys.exit(f"{' '.join(command)} ended with {code}: {told}")
    return _run_of(source, budget, wall_s, first_s, phases, json.loads(told.splitlines()[-1]), code)


def _watch(process: "subprocess.Popen[str]", began: float) -> tuple[float, dict[str, float]]:
    """Seconds until the first trial's line and the closing phases' beginnings; what is shown goes to our own screen."""
    first_s, phases = float("nan"), dict[str, float]()
    for line in process.stderr or ():
        now_s = time.monotonic() - began
        if first_s != first_s and _TRIAL_ENDED.match(line):
            first_s = now_s
        if (phase := _PHASE.match(line)) is not None:
            phases.setdefault(phase[2], round(now_s, 2))
    return first_s, phases


def _run_of(
    data: str, budget: str, wall_s: float, first_s: float, phases: dict[str, float], told: dict[str, Any], code: int
) -> Run:
    best = told["best"] or {}
    run = Run(
        data=Path(data).name,
        budget_s=parse_duration_s(budget),
        wall_s=wall_s,
        first_trial_s=first_s,
        trials=told["trials"],
        valid=best.get("valid", float("nan")),
        test=best.get("test"),
        metric=told["metric"],
        model=best.get("recipe", {}).get("model", ""),
        phases_s=phases,
        code=code,
    )
    print(
        f"{run.data} --time {budget}: {wall_s:.1f} s, first trial {first_s:.1f} s, "
        f"{sum(run.trials.values())} trials, test {run.metric} {run.test}",
        file=sys.stderr,
        flush=True,
    )
    return run


def _kept(run: Run) -> bool:
    return abs(run.wall_s - run.budget_s) <= TIME_KEPT * run.budget_s


def _print_runs(runs: Sequence[Run]) -> None:
    rows = []
    for data, budget_s in dict.fromkeys((r.data, r.budget_s) for r in runs):
        some = [r for r in runs if (r.data, r.budget_s) == (data, budget_s)]
        tests = [r.test for r in some if r.test is not None]
        rows.append(
            (
                data,
                f"{budget_s:g} s",
                len(some),
                _range([r.wall_s for r in some], ".1f"),
                "yes" if all(map(_kept, some)) else "NO",
                _range([r.first_trial_s for r in some], ".1f"),
                _range([r.trials_per_minute for r in some], ".0f"),
                some[0].metric,
                _range([r.valid for r in some], ".4f"),
                _range(tests, ".4f") if tests else "-",
                ", ".join(dict.fromkeys(r.model for r in some)),
            )
        )
    headings = ("data", "budget", "runs", "wall s", "within 10 %", "first trial s", "trials a minute")
    print_table((*headings, "metric", "valid", "test", "best model"), rows)


def _range(values: Sequence[float], form: str) -> str:
    """Median and range: of a few runs, percentiles would say nothing."""
    median = Spread.of(values).median
    return f"{median:{form}} ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else f"{median:{form}}"


def _help(times: int) -> dict[str, Any]:
    """Wall seconds of `autoopt --help`, and which of the heavy libraries it imports."""
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "autoopt", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - began)
    look = (
        f"import sys; from autoopt.cli import main; main(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=True, capture_output=True, text=True)
    return {"seconds": seconds, "imports": shown.stdout.splitlines()[-1]}


def _print_help(helped: dict[str, Any]) -> None:
    seconds = helped["seconds"]
    kept = "yes" if Spread.of(seconds).median < HELP_BAR_S else "NO"
    rows = [(len(seconds), _range(seconds, ".2f"), kept, helped["imports"])]
    print_table(("autoopt --help, runs", "s", f"under {HELP_BAR_S} s", f"imports of {', '.join(HEAVY)}"), rows)


if __name__ == "__main__":
    sys.exit(main())
