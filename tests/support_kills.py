"""Real commands that can be killed, and the loops that kill them: for the test suite and for scripts/bench/kills.py."""

import contextlib
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from support_cli import write_table
from support_faults import STUDY, Picture, dump, picture, violations

MARK = "AUTOOPT_TEST_MARK"
"""Environment variable by which every process of a test's commands can be found."""
CHEAP = ("--set", "model=decision_tree")
"""A space of thousands of recipes whose trials take a fraction of a second."""
GIVE_UP_S = 240.0
"""Of no test's meaning: a command that hangs must fail a test, not stop it."""
ENDS_S = 20.0
"""Within this time of a kill nothing of its processes may be there. They end at once; a busy machine takes longer."""


@dataclass(kw_only=True)
class Commands:
    """Starts `autoopt` commands on one home, all with a mark and a temporary folder of their own."""

    home: Path
    work: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    count: int = 0
    shared_memory: frozenset[str] = field(default_factory=lambda: frozenset(_shared_memory()))

    def start(self, *arguments: str) -> "Command":
        self.count += 1
        return Command(self, self.count, arguments)

    def run(self, *arguments: str) -> "Command":
        """Start one and wait for its end."""
        command = self.start(*arguments)
        command.wait()
        return command

    def search(self, trials: int, *more: str) -> tuple[str, ...]:
        """Arguments of a cheap search."""
        self.work.mkdir(parents=True, exist_ok=True)
        data = write_table(self.work / "table.csv")
        fixed = ("search", str(data), "--target", "y", "--study", STUDY, "--trials", str(trials))
        return (*fixed, *(more or CHEAP), "--home", str(self.home))

    def resume(self, *more: str) -> tuple[str, ...]:
        return ("resume", STUDY, *more, "--home", str(self.home))

    @property
    def temporary(self) -> Path:
        folder = self.work / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def processes(self) -> list[psutil.Process]:
        """Live processes of the commands."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def left_behind(self, *, temporary: bool = True) -> list[str]:
        """Processes, shared memory and temporary files of commands that have ended, after a moment to end."""
        until = time.monotonic() + ENDS_S
        while (alive := self.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        found = [f"process {p.pid} {_command_line(p)[:200]}" for p in alive]
        found += [f"/dev/shm/{name}" for name in sorted(set(_shared_memory()) - self.shared_memory) if _is_ours(name)]
        if temporary:
            allowed = ("autoopt-measuring-", ".")  # the machine-wide lock; what systems hide there is none of ours
            found += [str(p) for p in self.temporary.iterdir() if not p.name.startswith(allowed)]
        return found

    def end(self) -> None:
        """Kill whatever is left."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


def _shared_memory() -> list[str]:
    folder = Path("/dev/shm")
    return [p.name for p in folder.iterdir()] if folder.is_dir() else []


def _is_ours(name: str) -> bool:
    """Other programs of the machine use shared memory too; what our libraries make is named for them."""
    return name.startswith(("torch_", "psm_", "sem.loky", "sem.mp", "autoopt"))


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


class Command:
    """One running command; what it printed lies in a file."""

    def __init__(self, commands: Commands, number: int, arguments: Sequence[str]) -> None:
        self._commands = commands
        commands.work.mkdir(parents=True, exist_ok=True)
        self.log = commands.work / f"command-{number}.log"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTHONWARNINGS")},
            MARK: commands.mark,
            "TMPDIR": str(commands.temporary),
            "COLUMNS": "200",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "autoopt", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=Path(__file__).resolve().parents[1],
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        return self.process.wait(timeout=GIVE_UP_S)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait(timeout=GIVE_UP_S)

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until something is so; False when the command ended first."""
        give_up = time.monotonic() + GIVE_UP_S
        while self.running and time.monotonic() < give_up:
            if condition():
                return True
            time.sleep(0.01)
        return condition()

    def says(self, *words: str) -> Callable[[], bool]:
        """Whether the output holds any of the words."""
        return lambda: any(word in self.output for word in words)

    def servers(self) -> list[psutil.Process]:
        """The fork servers of this command."""
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.process.pid).children()
            return [p for p in children if "executors.forkserver" in _command_line(p)]
        return []

    def workers(self) -> list[psutil.Process]:
        """Attempts at work: children of the fork servers."""
        found: list[psutil.Process] = []
        for server in self.servers():
            with contextlib.suppress(psutil.Error):
                found += server.children()
        return found


FINISHING = ("measuring the best again", "verifying trial", "writing ")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill, and how the study stood when it was found by the next command."""

    kind: str
    after_s: float
    hit: bool  # False: the command had ended by itself
    counted: int
    running: int
    best: float | None
    violations: tuple[str, ...]


KINDS = ("start", "search", "search", "finish", "write")
TRIALS_A_KILL = 4


def kill_orchestrators(commands: Commands, kinds: Sequence[str], chance: random.Random) -> Iterator[Kill]:
    """Kill the command of one study again and again, at a random moment of each kind's phase; then it is to be resumed.

    'start': within the first seconds, whatever it does then. 'search': between trials. 'finish': while the best is
    measured again and verified. 'write': while the bundle is written, and shortly after.
    """
    before: Picture | None = None
    for kind in kinds:
        command = commands.start(*_next_arguments(commands, kind))
        after_s = _wait_for_phase(command, kind, chance)
        hit = command.running
        command.kill()
        found = violations(commands.home, before, settled=False) + commands.left_behind(temporary=False)
        now = picture(commands.home)
        before = now or before
        yield Kill(
            kind=kind,
            after_s=after_s,
            hit=hit,
            counted=now.counted if now else 0,
            running=sum(t.state == "running" for t in now.trials) if now else 0,
            best=now.best if now else None,
            violations=tuple(found),
        )


def _next_arguments(commands: Commands, kind: str) -> tuple[str, ...]:
    now = picture(commands.home)
    if now is None:
        return commands.search(TRIALS_A_KILL)
    left = now.study["budget_trials"] - now.counted
    return (
        commands.resume()
        if kind in ("finish", "write") or left >= 2
        else commands.resume("--trials", str(TRIALS_A_KILL))
    )


def _wait_for_phase(command: Command, kind: str, chance: random.Random) -> float:
    """Wait for a random moment of the phase; returns the seconds waited within it."""
    after_s = chance.uniform(0.0, {"start": 4.0, "search": 1.2, "finish": 4.0, "write": 0.3}[kind])
    if kind == "search":
        command.until(lambda: bool(command.workers()))
    elif kind == "finish":
        command.until(command.says(*FINISHING))
    elif kind == "write":
        command.until(command.says(FINISHING[-1]))
    until = time.monotonic() + after_s
    while command.running and time.monotonic() < until:
        time.sleep(min(0.005, max(0.0, until - time.monotonic())))
    return after_s


def kill_workers(command: Command, kills: int, chance: random.Random, *, servers: bool = False) -> int:
    """Kill that many attempts (or fork servers) of a running command at random moments; returns how many it were."""
    done = 0
    killed: set[int] = set()
    while done < kills and command.running:
        choices = [p for p in (command.servers() if servers else command.workers()) if p.pid not in killed]
        if not choices:
            time.sleep(0.002)
            continue
        victim = chance.choice(choices)
        time.sleep(chance.uniform(0.0, 0.5))
        with contextlib.suppress(psutil.Error):
            victim.kill()  # psutil compares the start time: a pid that was given anew is not hit
            killed.add(victim.pid)
            done += 1
    return done


def recovered_twice(home: Path, into: Path) -> list[dict[str, list[tuple[object, ...]]]]:
    """All rows of a copy of the home's database, after a session that only recovers and after another one."""
    from autoopt.executors import InlineExecutor
    from autoopt.ledger import Ledger
    from autoopt.orchestrator import BudgetClock, SearchLoop, SearchPlan, Silent
    from autoopt.planners.optuna_planner import OptunaPlanner
    from autoopt.space import space_from_json
    from autoopt.values import Slot, parse_objectives

    into.mkdir(parents=True)
    with (
        contextlib.closing(sqlite3.connect(home / "autoopt.db")) as source,
        contextlib.closing(sqlite3.connect(into / "autoopt.db")) as target,
    ):
        source.backup(target)
    found = []
    for _ in range(2):
        with Ledger.open(f"sqlite:///{into / 'autoopt.db'}", create=False) as ledger, ledger.own(STUDY) as writer:
            study = ledger.study(STUDY)
            objectives = parse_objectives(study.spec["objectives"], study.spec["facts"]["metric_direction"])
            space = space_from_json(study.spec["space"])
            with OptunaPlanner(
                storage_url=ledger.url, study_name=STUDY, space=space, objectives=objectives, seed=0
            ) as planner:
                SearchLoop(
                    plan=SearchPlan(
                        study=study, snapshot="", store="", seed=0, objectives=objectives, search_until_s=0.0
                    ),
                    ledger=ledger,
                    writer=writer,
                    planner=planner,
                    executor=InlineExecutor((Slot(index=0),)),
                    clock=BudgetClock(started=time.monotonic(), before_s=0.0, budget_s=None),
                    outbox=Unsent(),
                    observer=Silent(),
                ).run()
        found.append(dump(into))
    return found


def deliver(home: Path) -> int:
    """Tell MLflow what is still owed to it, in a process of its own as ever; returns how many rows are left."""
    from autoopt.files import Home
    from autoopt.ledger import Ledger
    from autoopt.tracking import TrackingOutbox

    where = Home.locate(home)
    log = where.logs(STUDY) / "tracking.log"
    with (
        Ledger.open(where.database_url, create=False) as ledger,
        ledger.own(STUDY) as writer,
        TrackingOutbox(where.tracking_url, artifact_folder=where.tracking_artifacts, log_path=log) as outbox,
    ):
        return outbox.drain(writer, until_s=GIVE_UP_S)


class Unsent:
    """An outbox that leaves everything in the ledger."""

    def pump(self, writer: object) -> None:
        """Nothing is sent."""
