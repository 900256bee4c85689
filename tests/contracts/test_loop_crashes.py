"""The loop dies at every call it makes to the ledger and to the planner, one after the other; then it is resumed.

As SQLite's own crash tests do: crash at call n, recover, check, n + 1, until a run gets through without a crash.
"""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from support_faults import dump, picture, violations
from support_loop import DONE, TINY_SPACE, Crashing, CrashPoint, Ending, Fuse, Sessions, crash
from support_space import small_space

from autoopt.orchestrator import StopReason
from autoopt.space import Recipe

TRIALS = 3


def script(recipe: Recipe, tries: int) -> Ending:
    """Some attempts crash first, some trials break the limit, most are done after one or two polls."""
    odd = recipe.sha256.encode()[0] % 2
    return crash() if odd and tries == 0 else Ending(after_polls=1 + odd)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study as it is after its creation, to be copied: migrations are the slow part."""
    folder = tmp_path_factory.mktemp("empty")
    made = Sessions(folder=folder, trials=TRIALS)
    made.create()
    with made.loop(made.executor()):  # Optuna's tables too
        pass
    return folder


def study(empty: Path, folder: Path, **options: Any) -> Sessions:
    folder.mkdir(parents=True)
    shutil.copyfile(empty / "autoopt.db", folder / "autoopt.db")
    return Sessions(folder=folder, trials=TRIALS, slots=2, limits=("latency_ms<=2",), **options)


def die(sessions: Sessions, at: int) -> str:
    """Run a session that dies at that call; returns where, '' when it got through."""
    fuse = Fuse(at=at)
    sessions.wrap_writer = sessions.wrap_planner = lambda inner: Crashing(inner, fuse)
    try:
        sessions.run(sessions.executor(script))
    except CrashPoint as point:
        return str(point)
    finally:
        sessions.wrap_writer = sessions.wrap_planner = lambda inner: inner
    return ""


def check_resumed(sessions: Sessions) -> list[str]:
    """What is wrong after a crash, after recovery, after a second recovery, and at the end of the budget."""
    before = picture(sessions.folder)
    found = [f"crashed: {v}" for v in violations(sessions.folder, before, settled=False)]
    sessions.run(until_s=0.0)
    found += [f"recovered: {v}" for v in violations(sessions.folder, before, settled=True)]
    once = dump(sessions.folder)
    sessions.run(until_s=0.0)
    if dump(sessions.folder) != once:
        found.append("recovery twice is not recovery once")
    reason = sessions.run(sessions.executor(script))
    found += [f"finished: {v}" for v in violations(sessions.folder, before, settled=True)]
    now = picture(sessions.folder)
    if reason is not StopReason.TRIALS or now is None or now.counted != TRIALS:
        found.append(f"ended by {reason} with {now and now.counted} trials")
    return found


@pytest.mark.slow
def test_a_crash_at_any_call_loses_nothing_and_doubles_nothing(empty: Path, tmp_path: Path) -> None:
    """Before each call: what is on disk then is what is there after the call before it."""
    found: dict[str, list[str]] = {}
    for at in range(1, 1000):
        sessions = study(empty, tmp_path / str(at))
        where = die(sessions, at)
        if not where:
            break
        if wrong := check_resumed(sessions):
            found[f"call {at}, {where}"] = wrong
        shutil.rmtree(sessions.folder)
    assert at > 20, "the crashes were not where they should be"
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_crashes_during_recovery_lose_nothing(empty: Path, tmp_path: Path, seed: int) -> None:
    """Dying again and again, each time at a random call of the session that was to mend the last death."""
    chance = random.Random(seed)
    sessions = study(empty, tmp_path / "s")
    before = None
    for count in range(8):
        where = die(sessions, chance.randint(1, 12))
        found = violations(sessions.folder, before, settled=False)
        assert found == [], f"seed {seed}, crash {count}, {where}"
        before = picture(sessions.folder)
    assert check_resumed(sessions) == [], f"seed {seed}"


class Forgetful:
    """A planner that dies when it is to be told for the n-th time."""

    def __init__(self, inner: Any, n: int) -> None:
        self._inner = inner
        self._left = n

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def tell(self, number: int, outcome: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise CrashPoint("tell")
        self._inner.tell(number, outcome)


def lose_tell(sessions: Sessions, n: int) -> None:
    sessions.wrap_planner = lambda planner: Forgetful(planner, n)  # type: ignore[assignment,return-value]
    with pytest.raises(CrashPoint):
        sessions.run(sessions.executor(lambda _, __: DONE))
    sessions.wrap_planner = lambda planner: planner
    assert violations(sessions.folder, settled=False) == []
    assert violations(sessions.folder, settled=True) != []


def test_a_tell_that_was_lost_is_made_good(empty: Path, tmp_path: Path) -> None:
    """The result is in the ledger, Optuna was not told: the next session tells it."""
    sessions = study(empty, tmp_path / "s")
    lose_tell(sessions, 2)
    assert check_resumed(sessions) == []


def test_a_tell_of_a_duplicate_that_was_lost_is_made_good(tmp_path: Path) -> None:
    """It carries the values of the trial that it repeats, then as before."""
    sessions = Sessions(folder=tmp_path, space=small_space(TINY_SPACE))
    sessions.create()
    lose_tell(sessions, 4)  # the first three are the three recipes of the space
    assert sessions.states() == ["complete"] * 3 + ["duplicate"]
    sessions.run(until_s=0.0)
    assert violations(tmp_path, settled=True) == []
