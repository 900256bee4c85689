"""What the loop's tests share: an executor that follows a script, and sessions of one study in a folder."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from support_space import small_space

from autoopt.executors import Event, Executor, Failed, Finished, Job, Progress
from autoopt.ledger import Ledger, StudyWriter, TrialRow
from autoopt.orchestrator import BudgetClock, SearchLoop, SearchPlan, Silent, StopReason
from autoopt.planners import Climb, Planner
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.planners.random_planner import RandomPlanner
from autoopt.space import Recipe, Space
from autoopt.values import Budget, FailureReason, Slot, parse_limits, parse_objectives

OBJECTIVES = ("quality", "latency_ms", "size_bytes")
STUDY = "s"
TINY_SPACE = """
name: tiny
dimensions:
  model: [line, forest]
  fill: [median]
  forest.trees: [10, 20]
  forest.depth: [2]
  forest.rate: [0.1]
  shrink: [none]
portfolio:
  - {model: line}
"""
"""Three recipes in all."""


# ---- the script ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ends; None as reason: with a result."""

    reason: FailureReason | None = None
    after_polls: int = 1
    infeasible: str = ""
    measures: Mapping[str, float] | None = None
    steps: int = 0


DONE = Ending()
NEVER = Ending(after_polls=10**9)


def crash(after_polls: int = 1) -> Ending:
    return Ending(reason=FailureReason.CRASHED, after_polls=after_polls)


Script = Callable[[Recipe, int], Ending]
"""(recipe, how many attempts at it were submitted before) → how this one ends."""


def always(ending: Ending) -> Script:
    return lambda _recipe, _tries: ending


SUCCEEDING = always(DONE)


def measures_of(recipe: Recipe) -> dict[str, float]:
    """Figures that hang on the recipe alone, as trials of one seed do."""
    digest = hashlib.sha256(recipe.sha256.encode()).digest()
    return {"quality": digest[0] / 256, "latency_ms": 0.01 + digest[1] / 100, "size_bytes": 1000.0 + digest[2]}


@final
class ScriptedExecutor(Executor):
    """Keeps the executors' promises without processes: attempts end after so many polls, as the script says."""

    def __init__(self, script: Script = SUCCEEDING, *, slots: int = 1, store: Path | None = None) -> None:
        self._script = script
        self._slots = tuple(Slot(index=i) for i in range(slots))
        self._store = store
        self._at_work: dict[str, tuple[Job, Ending, int]] = {}
        self._cancelled: set[str] = set()
        self.submitted: list[Recipe] = []
        self.jobs: list[Job] = []
        self.extra: list[Event] = []  # events to be mixed in: what a broken executor would say
        self.freed: set[tuple[str, Slot]] = set()  # what gangs gave back: (token, slot)
        self.on_poll: Callable[[], None] = lambda: None
        self.most_at_once = 0

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    @property
    def at_work(self) -> list[tuple[Job, Ending, int]]:
        """What the slots are at."""
        return list(self._at_work.values())

    def start(self) -> None:
        """Nothing to get ready."""

    def submit(self, job: Job) -> None:
        held = [(j.token, slot) for j, _, _ in self._at_work.values() for slot in (j.slot, *j.peers)]
        taken = [slot for token, slot in held if (token, slot) not in self.freed]
        for slot in (job.slot, *job.peers):
            if slot not in self._slots or slot in taken:
                raise ValueError(f"slot {slot.index} is taken")
        recipe = Recipe(job.payload["recipe"])
        ending = self._script(recipe, self.submitted.count(recipe))
        self._at_work[job.token] = (job, ending, 0)
        self.submitted.append(recipe)
        self.jobs.append(job)
        self.most_at_once = max(self.most_at_once, len(self._at_work))

    def poll(self, timeout_s: float) -> list[Event]:
        self.on_poll()
        events, self.extra = self.extra, []
        for token, (job, ending, polls) in list(self._at_work.items()):
            self._at_work[token] = (job, ending, polls + 1)
            if token in self._cancelled:
                del self._at_work[token]
                events.append(Failed(token=token, reason=FailureReason.ERROR, message="cancelled", cancelled=True))
            elif polls + 1 >= ending.after_polls:
                del self._at_work[token]
                events += self._end(job, ending)
        return events

    def _end(self, job: Job, ending: Ending) -> list[Event]:
        steps: list[Event] = [
            Progress(token=job.token, stage="train", step=i, values={"loss": 1.0 / (i + 1)})
            for i in range(ending.steps)
        ]
        if ending.reason is not None:
            return [*steps, Failed(token=job.token, reason=ending.reason, message="as the script says", detail="log")]
        return [*steps, Finished(token=job.token, result=self.result(Recipe(job.payload["recipe"]), ending))]

    def result(self, recipe: Recipe, ending: Ending = DONE) -> dict[str, Any]:
        """EvaluateResult as JSON, its artifact in the store."""
        measures = measures_of(recipe) if ending.measures is None else ending.measures
        key, sha256 = ("", "") if ending.infeasible else self._artifact(recipe)
        return {
            "measures": {k: {"value": v, "low": None, "high": None} for k, v in measures.items()},
            "infeasible": ending.infeasible,
            "artifact_key": key,
            "artifact_sha256": sha256,
            "stages": [],
            "notes": [],
        }

    def _artifact(self, recipe: Recipe) -> tuple[str, str]:
        content = recipe.sha256.encode()
        sha256 = hashlib.sha256(content).hexdigest()
        if self._store is not None:
            folder = self._store / "deploy" / recipe.sha256
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.onnx").write_bytes(content)
            (folder / "entry.json").write_text(json.dumps({"files": {"model.onnx": sha256}, "size_bytes": 64}))
        return recipe.sha256, sha256

    def cancel(self, token: str) -> None:
        if token in self._at_work:
            self._cancelled.add(token)

    def close(self) -> None:
        self._at_work.clear()


class SteppedClock(BudgetClock):
    """A budget's clock whose session time is set by the test."""

    now_s = 0.0

    @property
    def session_s(self) -> float:
        return self.now_s


# ---- sessions ------------------------------------------------------------------------------------------------------


class Unsent:
    """An outbox that leaves everything in the ledger."""

    def pump(self, writer: object) -> None:
        """Nothing is sent."""


@dataclass(kw_only=True)
class Sessions:
    """Sessions of one study in one folder, one after the other, each with parts of its own."""

    folder: Path
    planner: str = "optuna"
    slots: int = 1
    trials: int | None = None
    limits: tuple[str, ...] = ()
    space: Space = field(default_factory=small_space)
    climb: Climb | None = None
    max_attempts: int = 3
    grace_s: float = 0.0
    clock: BudgetClock = field(default_factory=lambda: SteppedClock(started=0.0, before_s=0.0, budget_s=None))
    wrap_writer: Callable[[Any], Any] = lambda writer: writer
    wrap_planner: Callable[[Planner], Planner] = lambda planner: planner

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'autoopt.db'}"

    @property
    def objectives(self) -> Any:
        return parse_objectives(OBJECTIVES, "maximize")

    def create(self) -> None:
        with Ledger.open(self.url, create=True) as ledger:
            spec = {"facts": {"metric_direction": "maximize"}, "objectives": list(OBJECTIVES)}
            ledger.create_study(STUDY, spec, Budget(trials=self.trials))

    def executor(self, script: Script = SUCCEEDING) -> ScriptedExecutor:
        return ScriptedExecutor(script, slots=self.slots, store=self.folder / "store")

    @contextlib.contextmanager
    def loop(self, executor: Executor, *, until_s: float = float("inf")) -> Iterator[SearchLoop]:
        """A session's loop, ready to run."""
        with (
            Ledger.open(self.url, create=False) as ledger,
            ledger.own(STUDY) as writer,
            self._new_planner(ledger) as planner,
        ):
            yield SearchLoop(
                plan=SearchPlan(
                    study=ledger.study(STUDY),
                    snapshot="",
                    store=str(self.folder / "store"),
                    seed=7,
                    objectives=self.objectives,
                    limits=parse_limits(self.limits),
                    trials=self.trials,
                    search_until_s=until_s,
                    grace_s=self.grace_s,
                    max_attempts=self.max_attempts,
                ),
                ledger=ledger,
                writer=self._wrapped(writer),
                planner=self.wrap_planner(planner),
                executor=executor,
                clock=self.clock,
                outbox=Unsent(),
                observer=Silent(),
            )

    def _wrapped(self, writer: StudyWriter) -> Any:
        return self.wrap_writer(writer)

    def _new_planner(self, ledger: Ledger) -> Planner:
        if self.planner == "random":
            return RandomPlanner(space=self.space, seed=7, climb=self.climb)
        return OptunaPlanner(
            storage_url=ledger.url,
            study_name=STUDY,
            space=self.space,
            objectives=self.objectives,
            seed=7,
            climb=self.climb,
        )

    def die(self) -> None:
        """A session that ends while every slot is at work, its results owed."""
        executor = self.executor(always(NEVER))
        executor.on_poll = _interrupt
        with contextlib.suppress(KeyboardInterrupt):
            self.run(executor)

    def run(self, executor: Executor | None = None, *, until_s: float = float("inf")) -> StopReason:
        """One session to its end."""
        with self.loop(executor or self.executor(), until_s=until_s) as loop:
            return loop.run()

    def rows(self) -> list[TrialRow]:
        with Ledger.open(self.url, create=False) as ledger:
            return ledger.trials(STUDY)

    def states(self) -> list[str]:
        return [t.state.value for t in self.rows()]

    def attempts(self, number: int) -> list[tuple[str, str]]:
        """(state, reason) of each attempt at a trial."""
        with Ledger.open(self.url, create=False) as ledger:
            return [(a.state.value, a.reason) for a in ledger.attempts(STUDY) if a.number == number]


def _interrupt() -> None:
    raise KeyboardInterrupt


class CrashPoint(BaseException):
    """Stands for the process's death: nothing in the package catches it."""


@final
class Crashing:
    """Stands before a writer or a planner and dies before the n-th call."""

    def __init__(self, inner: Any, fuse: "Fuse") -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._fuse.around(name, found) if callable(found) and not name.startswith("_") else found


@dataclass(kw_only=True)
class Fuse:
    """Burns before call number `at` of all that it is put around."""

    at: int
    calls: int = 0

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                raise CrashPoint(f"before {name}, call {self.calls}")
            return call(*arguments, **named)

        return called
