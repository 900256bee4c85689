"""Ctrl-C, SIGTERM, a second owner, a name that is taken: real commands, real exit codes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_cli import run_here
from support_faults import STUDY, picture, violations
from support_kills import FINISHING, Commands

pytestmark = pytest.mark.slow

MANY = 60
"""Trials of a search that is not to end by itself."""


def ready(commands: Commands) -> Commands:
    """Nothing is wrong and nothing is left of what ran."""
    assert violations(commands.home, settled=True) == []
    assert commands.left_behind() == []
    return commands


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(home=tmp_path / "home", work=tmp_path / "work")
    yield made
    made.end()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A study of three trials that has ended; each test leaves it finished."""
    folder = tmp_path_factory.mktemp("finished")
    made = Commands(home=folder / "home", work=folder / "work")
    command = made.run(*made.search(3))
    assert command.process.returncode == 0, command.output
    yield ready(made)
    made.end()


def counted(commands: Commands) -> int:
    now = picture(commands.home)
    assert now is not None
    return now.counted


@pytest.mark.usefixtures("tracked")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_one_signal_stops_well_and_resume_goes_on(commands: Commands, number: signal.Signals) -> None:
    command = commands.start(*commands.search(MANY))
    assert command.until(command.says("trial 0 ")), command.output
    command.signal(number)
    assert command.wait() == 130, command.output
    assert f"autoopt resume {STUDY} --home {commands.home}" in command.output
    assert "Traceback" not in command.output
    ready(commands)
    before = picture(commands.home)
    assert before is not None
    assert before.study["state"] == "open"
    assert before.counted < MANY
    stopped = [t.recipe for t in before.trials if t.state == "stopped"]

    again = commands.start(*commands.resume())
    assert again.until(lambda: counted(commands) > before.counted), again.output
    again.signal(number)
    assert again.wait() == 130, again.output
    assert violations(commands.home, before, settled=True) == []
    later = picture(commands.home)
    assert later is not None
    taken_up = [t.recipe for t in later.trials[len(before.trials) :]]
    assert set(taken_up[: len(set(stopped))]) <= set(stopped)


def test_a_signal_while_exporting_stops_at_once_and_resume_exports(commands: Commands) -> None:
    command = commands.start(*commands.search(3))
    assert command.until(command.says(*FINISHING)), command.output
    command.signal(signal.SIGINT)
    code = command.wait()
    ready(commands)
    if "writing " not in command.output:
        assert code == 130, command.output
        assert f"autoopt resume {STUDY}" in command.output
        assert not (commands.home / "bundles" / STUDY).exists()
    again = commands.run(*commands.resume())
    assert again.process.returncode == 0, again.output
    assert (commands.home / "bundles" / STUDY / "manifest.json").is_file()
    assert counted(ready(commands)) == 3


def test_two_signals_end_at_once_and_the_study_can_be_resumed(commands: Commands) -> None:
    command = commands.start(*commands.search(5))
    assert command.until(command.says("trial 0 ")), command.output
    command.signal(signal.SIGINT)
    command.signal(signal.SIGTERM)  # of another kind: two of one kind that meet count as one
    assert command.wait() == 130, command.output
    assert f"autoopt resume {STUDY}" in command.output
    assert "Traceback" not in command.output
    assert commands.left_behind() == []
    before = picture(commands.home)
    assert violations(commands.home, settled=False) == []
    again = commands.run(*commands.resume())
    assert again.process.returncode == 0, again.output
    assert violations(commands.home, before, settled=True) == []
    assert counted(commands) == 5


def test_a_signal_before_the_first_trial_leaves_a_study_that_can_be_resumed_or_none(commands: Commands) -> None:
    command = commands.start(*commands.search(2))
    assert command.until(lambda: picture(commands.home) is not None), command.output
    command.signal(signal.SIGTERM)
    assert command.wait() == 130, command.output
    assert f"autoopt resume {STUDY}" in command.output
    assert "Traceback" not in command.output
    again = commands.run(*commands.resume())
    assert again.process.returncode == 0, again.output
    assert counted(ready(commands)) == 2


def test_a_second_orchestrator_is_refused_and_told_who_is_there(commands: Commands) -> None:
    first = commands.start(*commands.search(MANY))
    assert first.until(first.says("trial 0 ")), first.output
    second = run_here(*commands.resume())
    assert second.code == 2, second.err
    assert f"process {first.process.pid} " in " ".join(second.err.split())
    more = run_here(*commands.resume("--trials", "5"))
    assert more.code == 2, more.err
    now = picture(commands.home)
    assert now is not None
    assert now.study["budget_trials"] == MANY
    first.signal(signal.SIGINT)
    assert first.wait() == 130, first.output
    ready(commands)


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(finished: Commands) -> None:
    before = _files(finished.home)
    for arguments in (finished.search(3), ("search", "demo:wine", "--study", STUDY, "--home", str(finished.home))):
        ran = run_here(*arguments)
        assert ran.code == 2, ran.err
        assert f"autoopt resume {STUDY}" in " ".join(ran.err.split())
    assert _files(finished.home) == before


def _files(home: Path) -> dict[str, tuple[int, int]]:
    """(bytes, time of change) of every file, SQLite's own helper files left out."""
    found: dict[str, tuple[int, int]] = {}
    for folder, _, names in os.walk(home):
        for name in names:
            if not name.endswith(("-wal", "-shm")):
                status = (Path(folder) / name).stat()
                found[str(Path(folder) / name)] = (status.st_size, status.st_mtime_ns)
    return found


def test_resuming_a_finished_study_exports_again(finished: Commands) -> None:
    before = picture(finished.home)
    assert before is not None
    command = finished.run(*finished.resume())
    assert command.process.returncode == 0, command.output
    after = picture(finished.home)
    assert after is not None
    assert len(after.trials) == len(before.trials)
    assert len(after.exports) > len(before.exports)
    assert after.study["state"] == "finished"
    scored = [(e["number"], e["sha256"]) for e in after.exports if e["test_value"] is not None]
    assert len(scored) == len(set(scored))  # no artifact is scored on the test split twice
    assert violations(finished.home, before, settled=True) == []
    ready(finished)
