"""kill -9 while the end of a search averages its trials: the ensemble is on record whole, or it never was."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_ensembles import DATA, weak_space
from support_faults import STUDY, Picture, make_old, picture, violations
from support_kills import Commands, deliver

pytestmark = pytest.mark.slow
TRIALS = 5


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(home=tmp_path / "home", work=tmp_path / "work")
    yield made
    made.end()


def ensembles(now: Picture | None) -> list[str]:
    return [t.state for t in now.trials if t.source == "ensemble"] if now else []


def test_a_search_killed_while_it_averages_ends_as_if_it_had_not_been(commands: Commands, tmp_path: Path) -> None:
    chance = random.Random(20261122)
    fixed = ("--study", STUDY, "--trials", str(TRIALS), "--home", str(commands.home))
    command = commands.start("search", DATA, "--space", str(weak_space(tmp_path)), *fixed)
    assert command.until(command.says("averaging the predictions")), command.output
    time.sleep(chance.uniform(0.0, 0.8))
    command.kill()
    assert violations(commands.home, settled=False) == []
    assert ensembles(picture(commands.home)) in ([], ["complete"])
    before = picture(commands.home)
    make_old(commands.home)
    last = commands.run(*commands.resume())
    assert last.process.returncode == 0, last.output
    now = picture(commands.home)
    assert now is not None
    assert now.undelivered > TRIALS, "with AUTOOPT_TRACKING_URI=none everything waits"
    assert deliver(commands.home) == 0
    assert violations(commands.home, before, settled=True) == []
    assert ensembles(picture(commands.home)) == ["complete"]
    assert commands.left_behind() == []
