"""kill -9 of real commands at random moments, then resume: scripts/bench/kills.py does the same, twenty times."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_faults import make_old, picture, violations
from support_kills import TRIALS_A_KILL, Commands, deliver, kill_orchestrators, recovered_twice

pytestmark = pytest.mark.slow


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(home=tmp_path / "home", work=tmp_path / "work")
    yield made
    made.end()


@pytest.mark.usefixtures("tracked")
@pytest.mark.parametrize("seed", [20261122])
def test_a_killed_search_is_resumed_with_nothing_lost_and_nothing_twice(commands: Commands, seed: int) -> None:
    chance = random.Random(seed)
    compared = 0
    for count, kill in enumerate(kill_orchestrators(commands, ("search", "start", "search", "finish"), chance)):
        assert kill.violations == (), f"seed {seed}, kill {count} ({kill.kind} after {kill.after_s:.2f} s)"
        if kill.running and not compared:
            once, again = recovered_twice(commands.home, commands.work / f"copy{count}")
            assert once == again
            compared += 1
    before = picture(commands.home)
    make_old(commands.home)
    last = commands.run(*(commands.resume() if before else commands.search(TRIALS_A_KILL)))
    assert last.process.returncode == 0, last.output
    assert deliver(commands.home) == 0
    assert violations(commands.home, before, settled=True) == [], f"seed {seed}"
    assert commands.left_behind() == []
    now = picture(commands.home)
    assert now is not None
    assert now.counted == now.study["budget_trials"]
    assert (commands.home / "bundles" / "s" / "manifest.json").is_file()
