"""What every executor promises (autoopt/executors/base.py), on each of them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import support_executors as support
from support_executors import collect, gang_job, job, run

from autoopt.executors import (
    Executor,
    Failed,
    Finished,
    ForkServer,
    FreshProcess,
    InlineExecutor,
    Job,
    ProcessExecutor,
    Progress,
    SlotFreed,
)
from autoopt.values import FailureReason, Slot

SLOTS = (Slot(index=0, threads=1), Slot(index=1, threads=1, features=frozenset({"bf16"})))
KINDS = ("inline", "forkserver", "fresh")


def make_executor(kind: str, folder: Path) -> Executor:
    if kind == "inline":
        return InlineExecutor(SLOTS)
    launcher = ForkServer() if kind == "forkserver" else FreshProcess()
    return ProcessExecutor(SLOTS, launcher=launcher, log_folder=folder / "logs", preload=("support_executors",))


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executor]:
    with make_executor(request.param, tmp_path) as made:
        yield made


def test_a_result_comes_back_with_the_slot_it_ran_on(executor: Executor) -> None:
    executor.submit(job("a", "double", SLOTS[1], value=21))
    assert collect(executor) == [Finished(token="a", result={"value": 42, "slot": SLOTS[1].to_json()})]


def test_progress_comes_in_order_and_before_the_ending(executor: Executor) -> None:
    executor.submit(job("a", "count", SLOTS[0], steps=5))
    *progress, ending = collect(executor)
    assert progress == [
        Progress(token="a", stage="count", step=step, values={"loss": 1.0 / (step + 1)}) for step in range(5)
    ]
    assert ending == Finished(token="a", result={})


def test_a_stage_failure_keeps_its_reason_and_nan_progress_passes(executor: Executor) -> None:
    executor.submit(job("a", "count_to_nan", SLOTS[0]))
    progress, ending = collect(executor)
    assert isinstance(progress, Progress)
    assert math.isnan(progress.values["loss"])
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.NOT_FINITE, "the loss became NaN at step 0")


def test_a_stage_failure_with_an_unknown_reason_is_an_error(executor: Executor) -> None:
    ending = run(executor, "fail_with_unknown_reason")
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.ERROR, "it rains")


@pytest.mark.parametrize(
    "function, message",
    [
        ("divide_by_zero", "ZeroDivisionError: division by zero"),
        ("leave", "SystemExit: 3"),
        ("no_dict", "TypeError: entry point 'support_executors:no_dict' returned list, not dict"),
        ("no_json", "TypeError: entry point 'support_executors:no_json' returned what JSON cannot hold"),
        ("nan_result", "TypeError: entry point 'support_executors:nan_result' returned what JSON cannot hold"),
        ("is_not_there", "AttributeError: module 'support_executors' has no attribute 'is_not_there'"),
        ("HERE", "TypeError: entry point 'support_executors:HERE' is not a function"),
    ],
)
def test_whatever_is_raised_is_told_in_one_line_with_a_traceback(
    executor: Executor, function: str, message: str
) -> None:
    ending = run(executor, function)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.ERROR
    assert ending.message.startswith(message)
    assert "\n" not in ending.message
    assert "Traceback" in ending.detail
    assert not ending.cancelled


def test_an_entry_module_that_does_not_exist_is_an_error(executor: Executor) -> None:
    executor.submit(Job(token="a", entry="no_such_module:run", payload={}, slot=SLOTS[0]))
    (ending,) = collect(executor)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.ERROR
    assert ending.message == "ModuleNotFoundError: No module named 'no_such_module'"


@pytest.mark.parametrize("function", ["no_memory", "no_device_memory"])
def test_out_of_memory_is_told_as_such(executor: Executor, function: str) -> None:
    ending = run(executor, function)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.OUT_OF_MEMORY


def test_a_slot_is_taken_until_its_ending_was_told(executor: Executor) -> None:
    executor.submit(job("a", "count", SLOTS[0], steps=1))
    with pytest.raises(ValueError, match="taken"):
        executor.submit(job("b", "count", SLOTS[0], steps=1))
    with pytest.raises(ValueError, match="taken"):
        executor.submit(job("a", "count", SLOTS[1], steps=1))
    executor.submit(job("b", "count", SLOTS[1], steps=1))
    endings = [event.token for event in collect(executor, 2) if isinstance(event, Finished)]
    assert sorted(endings) == ["a", "b"]
    executor.submit(job("a", "count", SLOTS[0], steps=1))
    assert collect(executor)[-1] == Finished(token="a", result={})


def test_a_slot_of_another_executor_is_refused(executor: Executor) -> None:
    with pytest.raises(ValueError, match="slot 7"):
        executor.submit(job("a", "count", Slot(index=7), steps=1))


def test_cancelling_ends_an_attempt_once_and_frees_its_slot(executor: Executor) -> None:
    executor.submit(job("a", "sleep_for_ever", SLOTS[0]))
    executor.cancel("a")
    executor.cancel("a")
    (ending,) = [event for event in collect(executor) if not isinstance(event, Progress)]
    assert isinstance(ending, Failed)
    assert ending.cancelled
    executor.cancel("a")
    executor.cancel("never heard of")
    assert run(executor, "count", steps=1) == Finished(token="only", result={})
    assert executor.poll(0.05) == []


def test_a_large_payload_and_a_large_result_pass(executor: Executor) -> None:
    ending = run(executor, "large", size_bytes=5_000_000, text="y" * 3_000_000)
    assert isinstance(ending, Finished)
    assert ending.result["payload_bytes"] == 3_000_000
    assert ending.result["text"] == "x" * 5_000_000


def test_each_of_many_tokens_ends_exactly_once(executor: Executor) -> None:
    many = 10 if isinstance(executor, ProcessExecutor) and "fresh" in os.environ["PYTEST_CURRENT_TEST"] else 50
    endings: list[str] = []
    for number in range(0, many, 2):
        for slot in SLOTS:
            function = "divide_by_zero" if number % 3 == 0 else "count"
            executor.submit(job(f"{number + slot.index}", function, slot, steps=2))
        endings += [event.token for event in collect(executor, 2) if not isinstance(event, Progress)]
    assert sorted(endings, key=int) == [str(number) for number in range(many)]


def test_polling_with_nothing_to_tell_gives_nothing(executor: Executor) -> None:
    assert executor.poll(0.0) == []
    assert executor.poll(0.05) == []


def test_closing_twice_is_closing_once(executor: Executor) -> None:
    executor.submit(job("a", "sleep_for_ever", SLOTS[0]))
    executor.close()
    executor.close()


def test_threads_are_capped_to_the_slot(executor: Executor) -> None:
    ending = run(executor, "count_threads")
    assert isinstance(ending, Finished), ending
    assert ending.result["torch"] == 1
    assert set(ending.result["pools"]) == {1}


@pytest.fixture(params=["forkserver", "fresh"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executor]:
    with make_executor(request.param, tmp_path) as made:
        yield made


def test_a_gang_runs_on_all_its_slots_and_tells_of_the_first(processes: Executor) -> None:
    processes.submit(gang_job("a", "tell_rank", SLOTS, value=7))
    progress, *freed, ending = collect(processes, 1)
    while not isinstance(ending, Finished):
        freed.append(ending)
        (ending,) = collect(processes)
    assert progress == Progress(token="a", stage="here", step=0)
    folder = ending.result.pop("folder")
    assert ending == Finished(token="a", result={"number": 0, "size": 2, "devices": [], "slot": 0, "value": 7})
    assert freed in ([], [SlotFreed(token="a", slot=SLOTS[1])])  # the other may have returned before it
    assert not Path(folder).exists()
    assert run(processes, "count", steps=1) == Finished(token="only", result={})


def test_the_slots_of_a_gang_are_taken_until_its_ending_was_told(processes: Executor, tmp_path: Path) -> None:
    given = {"victim": 0, "fate": "sleep_for_ever", "pids": str(tmp_path)}
    processes.submit(gang_job("a", "come_to_harm", SLOTS[::-1], **given))
    for slot in SLOTS:
        with pytest.raises(ValueError, match="taken"):
            processes.submit(job("b", "count", slot, steps=1))
    processes.cancel("a")
    ending = collect(processes)[-1]
    assert isinstance(ending, Failed)
    assert (ending.token, ending.cancelled) == ("a", True)
    processes.submit(job("b", "count", SLOTS[1], steps=1))
    assert collect(processes)[-1] == Finished(token="b", result={})
    assert processes.poll(0.05) == []


def test_all_slots_of_a_gang_or_none(processes: Executor) -> None:
    processes.submit(job("b", "sleep_for_ever", SLOTS[1]))
    with pytest.raises(ValueError, match=r"slot 1 .* taken"):
        processes.submit(gang_job("a", "tell_rank", SLOTS, value=7))
    with pytest.raises(ValueError, match=r"slot 0 .* taken"):
        processes.submit(gang_job("a", "tell_rank", (SLOTS[0], SLOTS[0]), value=7))
    assert run(processes, "count", steps=1) == Finished(token="only", result={})


def test_a_rank_that_returns_before_the_first_gives_its_slot_back(processes: Executor, tmp_path: Path) -> None:
    file = tmp_path / "go"
    processes.submit(gang_job("a", "return_before_leader", SLOTS, file=str(file)))
    freed = [event for event in collect(processes) if not isinstance(event, Progress)]
    assert freed == [SlotFreed(token="a", slot=SLOTS[1])]
    processes.submit(job("b", "count", SLOTS[1], steps=1))
    assert collect(processes)[-1] == Finished(token="b", result={})
    file.touch()
    assert collect(processes)[-1] == Finished(token="a", result={})


def test_a_process_alone_refuses_a_gang() -> None:
    with InlineExecutor(SLOTS) as executor, pytest.raises(ValueError, match="a gang of 2 needs a process for each"):
        executor.submit(gang_job("a", "tell_rank", SLOTS, value=7))


def test_the_entry_points_of_this_suite_are_those_of_this_folder() -> None:
    assert Path(support.__file__).parent == Path(__file__).parent.parent
