"""kill -9 of the orchestrator and of workers at random moments: is anything lost, doubled, stuck, or worse than before?

    .venv/bin/python scripts/bench/kills.py [--orchestrators 20] [--workers 20] [--servers 3] [--seed N] [--json FILE]

Real commands on one study, killed and resumed again and again; after each kill and at the end an independent checker
(tests/support_faults.py) reads the databases and the store. Exit code 1 when it finds anything.
"""

import argparse
import json
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support_faults import Picture, make_old, picture, violations
from support_kills import KINDS, TRIALS_A_KILL, Commands, deliver, kill_orchestrators, kill_workers, recovered_twice


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orchestrators", type=int, default=20)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="autoopt-kills-") as folder:
        root = Path(folder)
        found = {
            "seed": seed,
            "orchestrators": orchestrators(root / "orchestrators", options.orchestrators, random.Random(seed)),
            "workers": workers(root / "workers", options.workers, options.servers, random.Random(seed + 1)),
        }
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    bad = found["orchestrators"]["violations"] + found["workers"]["violations"]
    print("\n".join(["", f"violations: {len(bad)}", *bad]))
    return 1 if bad else 0


def orchestrators(root: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """Kills of the orchestrator, spread over its phases; then one undisturbed resume."""
    commands = Commands(home=root / "home", work=root / "work")
    kinds = [KINDS[i % len(KINDS)] for i in range(count)]
    chance.shuffle(kinds)
    print("kill  phase   after s  hit  counted  running  best   wrong")
    rows: list[dict[str, Any]] = []
    twice: list[str] = []
    try:
        for number, kill in enumerate(kill_orchestrators(commands, kinds, chance), start=1):
            print(
                f"{number:4}  {kill.kind:6}  {kill.after_s:7.2f}  {'yes' if kill.hit else 'no ':3}  {kill.counted:7}  "
                f"{kill.running:7}  {kill.best or 0:.4f} {len(kill.violations)}",
                flush=True,
            )
            rows.append(vars(kill))
            if kill.running:
                once, again = recovered_twice(root / "home", root / f"copy{number}")
                twice += [] if once == again else [f"kill {number}: recovery twice is not recovery once"]
        before = picture(commands.home)
        left = make_old(commands.home)
        began = time.monotonic()
        last = commands.run(*(commands.resume() if before else commands.search(TRIALS_A_KILL)))
        end = ending(commands, before, last.process.returncode, last.output)
    finally:
        commands.end()
    wrong = [f"kill {i}: {v}" for i, row in enumerate(rows, start=1) for v in row["violations"]]
    print(f"half made and to be collected: {left}")
    print(f"then resumed for {time.monotonic() - began:.0f} s: {end['counted']} trials of a budget of {end['budget']}")
    return {"kills": rows, "end": end, "hits": sum(r["hit"] for r in rows), "violations": wrong + twice + end["wrong"]}


def workers(root: Path, count: int, servers: int, chance: random.Random) -> dict[str, Any]:
    """Kills of attempts and of the fork servers while a search runs to its end."""
    commands = Commands(home=root / "home", work=root / "work")
    try:
        command = commands.start(*commands.search(2 * (count + servers)))
        killed = kill_workers(command, count, chance)
        servers_killed = kill_workers(command, servers, chance, servers=True)
        code = command.wait()
        end = ending(commands, None, code, command.output)
    finally:
        commands.end()
    lost = [a for a in end["attempts"] if a["reason"] == "crashed"]
    print(
        f"\nkilled {killed} attempts and {servers_killed} fork servers during one search: {end['counted']} trials of a "
        f"budget of {end['budget']}, {len(lost)} attempts crashed, {end['failed']} trials failed"
    )
    return {"killed": killed, "servers_killed": servers_killed, "end": end, "violations": end["wrong"]}


def ending(commands: Commands, before: Picture | None, code: int, output: str) -> dict[str, Any]:
    """What must hold when a command has ended by itself."""
    if (left := deliver(commands.home)) > 0:
        print(f"{left} rows are still owed to MLflow")
    now = picture(commands.home)
    wrong = violations(commands.home, before, settled=True) + commands.left_behind()
    if code != 0:
        wrong.append(f"the last command ended with {code}: {output[-2000:]}")
    if now is None:
        sys.exit("\n".join(wrong))
    if now.counted != now.study["budget_trials"]:
        wrong.append(f"{now.counted} trials counted of a budget of {now.study['budget_trials']}")
    return {
        "wrong": wrong,
        "counted": now.counted,
        "budget": now.study["budget_trials"],
        "failed": sum(t.state == "failed" for t in now.trials),
        "best": now.best,
        "undelivered": now.undelivered,
        "attempts": [{k: a[k] for k in ("number", "attempt", "state", "reason")} for a in now.attempts],
    }


if __name__ == "__main__":
    sys.exit(main())
