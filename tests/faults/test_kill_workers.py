"""kill -9 of attempts and of the processes that start them, while a real search runs."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_faults import Picture, picture, violations
from support_kills import Commands, kill_workers

pytestmark = pytest.mark.slow

SEED = 20261122


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(home=tmp_path / "home", work=tmp_path / "work")
    yield made
    made.end()


def ended_well(commands: Commands, code: int, output: str, trials: int) -> Picture:
    assert code == 0, output
    assert violations(commands.home, settled=True) == []
    assert commands.left_behind() == []
    now = picture(commands.home)
    assert now is not None
    assert now.counted == trials
    return now


@pytest.mark.parametrize("servers", [False, True], ids=["attempts", "fork servers"])
def test_what_was_killed_is_tried_again(commands: Commands, servers: bool) -> None:
    trials = 8 if servers else 14  # without a server that is ready, every attempt imports by itself
    command = commands.start(*commands.search(trials))
    assert command.until(command.says("trial 0 ")), command.output
    killed = kill_workers(command, 2 if servers else 4, random.Random(SEED), servers=servers)
    assert killed == (2 if servers else 4), command.output
    now = ended_well(commands, command.wait(), command.output, trials)
    crashed = [a for a in now.attempts if a["reason"] == "crashed"]
    assert len(crashed) <= (2 * 2 if servers else 4)  # a server has two attempts at most; some were between two
    failed = {t.number for t in now.trials if t.state == "failed"}
    for number in {a["number"] for a in crashed}:
        states = [a["state"] for a in now.attempts if a["number"] == number]
        assert states[-1] == "done" or (number in failed and states == ["failed"] * 3)


def test_a_worker_killed_while_exporting_is_started_again(commands: Commands) -> None:
    command = commands.start(*commands.search(2))
    assert command.until(command.says("verifying trial")), command.output
    assert kill_workers(command, 1, random.Random(SEED)) == 1
    ended_well(commands, command.wait(), command.output, 2)
    assert (commands.home / "bundles" / "s" / "manifest.json").is_file()
