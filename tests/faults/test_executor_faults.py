"""Deaths, hangs and interference: what the process executors make of them, and that nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support_executors import GIVE_UP_S, collect, job, run, runs, wait_for_progress, wait_until

from autoopt.devices import Cgroups
from autoopt.executors import Failed, Finished, ForkServer, FreshProcess, Launcher, ProcessExecutor
from autoopt.values import FailureReason, Slot

SLOTS = (Slot(index=0, threads=1), Slot(index=1, threads=1))
LAUNCHERS = {"forkserver": ForkServer(), "fresh": FreshProcess()}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="orphans can be found on Linux only")


@pytest.fixture(params=list(LAUNCHERS))
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return LAUNCHERS[request.param]


@pytest.fixture
def executor(launcher: Launcher, tmp_path: Path) -> Iterator[ProcessExecutor]:
    with ProcessExecutor(SLOTS, launcher=launcher, log_folder=tmp_path, preload=("support_executors",)) as made:
        yield made


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_without_a_result_is_a_crash_with_its_last_words(executor: ProcessExecutor, code: int) -> None:
    ending = run(executor, "exit_at_once", code=code)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.CRASHED
    assert ending.message == f"the worker exited with code {code}"
    assert "last words" in ending.detail


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT"])
def test_a_death_by_signal_is_a_crash_that_names_it(executor: ProcessExecutor, name: str) -> None:
    ending = run(executor, "send_self", signal=name)
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.CRASHED, f"the worker was killed by {name}")


def test_a_segmentation_fault_is_a_crash_with_the_stack(executor: ProcessExecutor) -> None:
    ending = run(executor, "read_null")
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.CRASHED, "the worker was killed by SIGSEGV")
    assert "in read_null" in ending.detail


def test_a_killed_worker_is_told_with_the_other_slot_at_work(executor: ProcessExecutor) -> None:
    executor.submit(job("victim", "sleep_for_ever", SLOTS[0]))
    pid = int(wait_for_progress(executor).values["pid"])
    executor.submit(job("other", "sleep_for_ever", SLOTS[1]))
    wait_for_progress(executor)
    os.kill(pid, signal.SIGKILL)
    (ending,) = collect(executor)
    assert isinstance(ending, Failed)
    assert (ending.token, ending.reason) == ("victim", FailureReason.CRASHED)


@pytest.mark.parametrize(
    "function, payload", [("sleep_for_ever", {}), ("defy", {}), ("send_self", {"signal": "SIGSTOP"})]
)
def test_silence_is_a_hang_that_is_ended(executor: ProcessExecutor, function: str, payload: dict[str, str]) -> None:
    ending = run(executor, function, deadline_s=1.0, **payload)
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.HUNG, "no progress for 1 s")
    if function == "sleep_for_ever":
        assert "in sleep_for_ever" in ending.detail


def test_progress_moves_the_deadline(executor: ProcessExecutor) -> None:
    assert isinstance(run(executor, "keep_reporting", deadline_s=1.5, steps=20, pause_s=0.1), Finished)


def test_time_in_which_nobody_polled_is_not_held_against_an_attempt(executor: ProcessExecutor, tmp_path: Path) -> None:
    file = tmp_path / "go"
    executor.submit(job("a", "wait_for_file", SLOTS[0], deadline_s=2.0, file=str(file)))
    wait_for_progress(executor)
    time.sleep(2.5)
    file.touch()
    assert collect(executor) == [Finished(token="a", result={})]


@pytest.mark.parametrize("victim", ["worker", "helper"])
def test_a_kill_that_the_kernel_counted_is_out_of_memory(
    executor: ProcessExecutor, tmp_path: Path, victim: str
) -> None:
    counter = tmp_path / "memory" / "memory.oom_control"
    counter.parent.mkdir()
    counter.write_text("under_oom 0\noom_kill 0\n")
    (tmp_path / "membership").write_text("3:memory:/\n")
    executor._groups = Cgroups(root=tmp_path, membership=tmp_path / "membership")
    ending = run(executor, "be_taken_for_memory", counter=str(counter), victim=victim)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.OUT_OF_MEMORY
    later = run(executor, "send_self", signal="SIGKILL")
    assert isinstance(later, Failed)
    assert later.reason is FailureReason.CRASHED


@linux_only
@pytest.mark.parametrize("then", ["return", "die", "hang", "be cancelled"])
def test_with_an_attempt_its_descendants_end(executor: ProcessExecutor, then: str) -> None:
    executor.submit(job("a", "leave_children", SLOTS[0], deadline_s=2.0 if then == "hang" else GIVE_UP_S, then=then))
    pids = [int(pid) for pid in wait_for_progress(executor).values.values()]
    assert len(pids) == 3
    if then == "be cancelled":
        executor.cancel("a")
    ending = collect(executor)[-1]
    assert isinstance(ending, Finished if then == "return" else Failed)
    assert [pid for pid in pids if runs(pid)] == []


@linux_only
def test_the_end_of_one_attempt_leaves_the_orphans_of_another(executor: ProcessExecutor) -> None:
    executor.submit(job("a", "leave_children", SLOTS[0], then="hang"))
    pids = [int(pid) for pid in wait_for_progress(executor).values.values()]
    executor.submit(job("b", "leave_children", SLOTS[1], then="die"))
    assert collect(executor)[-1].token == "b"
    assert [pid for pid in pids if runs(pid)] == pids


def test_a_thread_that_never_ends_does_not_keep_an_attempt(executor: ProcessExecutor) -> None:
    assert run(executor, "stay_as_thread") == Finished(token="only", result={})


def test_a_helper_that_is_told_to_end_ends(executor: ProcessExecutor) -> None:
    assert run(executor, "end_helper") == Finished(token="only", result={"exit_code": -signal.SIGTERM})


def test_without_room_for_a_log_an_attempt_runs_all_the_same(executor: ProcessExecutor, tmp_path: Path) -> None:
    (tmp_path / "only.log").mkdir()
    assert run(executor, "make_noise") == Finished(token="only", result={"stdin": ""})


def test_a_worker_that_loses_its_pipe_is_ended(executor: ProcessExecutor) -> None:
    ending = run(executor, "close_everything")
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.CRASHED
    assert "closed its pipe" in ending.message


def test_the_death_of_the_server_costs_the_running_attempts_only(executor: ProcessExecutor) -> None:
    executor.submit(job("other", "leave_children", SLOTS[1], then="hang"))
    pids = [int(pid) for pid in wait_for_progress(executor).values.values()]
    executor.submit(job("killer", "kill_server", SLOTS[0]))
    endings = collect(executor, 2)
    assert {(e.token, e.reason) for e in endings if isinstance(e, Failed)} == {
        ("other", FailureReason.CRASHED),
        ("killer", FailureReason.CRASHED),
    }
    assert [pid for pid in pids if runs(pid)] == []
    assert run(executor, "count", steps=1) == Finished(token="only", result={})


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_replaced(executor: ProcessExecutor) -> None:
    ending = run(executor, "stop_server", deadline_s=1.0)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.HUNG
    assert run(executor, "count", steps=1) == Finished(token="only", result={})


def test_a_module_that_cannot_be_imported_ahead_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_on_import.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with ProcessExecutor(SLOTS, preload=("raises_on_import", "no_such_module"), log_folder=tmp_path) as executor:
        assert run(executor, "count", steps=1) == Finished(token="only", result={})
    assert "not today" in (tmp_path / "workers.log").read_text()


def test_a_module_that_ends_the_server_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ends_on_import.py").write_text("import os; os._exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with ProcessExecutor(SLOTS, preload=("ends_on_import",)) as executor:
        endings = [run(executor, "count", steps=1) for _ in range(2)]
    assert isinstance(endings[0], Failed)
    assert endings[0].reason is FailureReason.CRASHED
    assert endings[0].message == "the process that starts workers exited with code 9"
    assert endings[1] == Finished(token="only", result={})


def test_warm_modules_come_beside_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy_library.py").write_text("import time; time.sleep(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with ProcessExecutor(SLOTS, preload=("support_executors",), warm=("heavy_library",)) as executor:
        seen: list[bool] = []
        give_up_s = time.monotonic() + GIVE_UP_S
        while not (seen and seen[-1]) and time.monotonic() < give_up_s:
            ending = run(executor, "look_around", modules=["heavy_library"])
            assert isinstance(ending, Finished)
            seen.append(bool(ending.result["modules"]))
        assert not seen[0]
        assert seen[-1]
        wait_until(lambda: executor.poll(0.01) == [] and len(psutil.Process().children()) == 1)


def test_nothing_is_left_after_close(launcher: Launcher) -> None:
    me = psutil.Process()
    handles = me.num_fds()
    executor = ProcessExecutor(SLOTS, launcher=launcher, warm=("json",))
    executor.start()
    logs = executor._logs
    run(executor, "count", steps=3)
    executor.submit(job("a", "leave_children", SLOTS[0], then="hang"))
    wait_for_progress(executor)
    executor.submit(job("b", "sleep_for_ever", SLOTS[1]))
    family = me.children(recursive=True)
    assert len(family) >= 4
    executor.close()
    assert [process for process in family if runs(process.pid)] == []
    assert me.num_fds() == handles
    assert not logs.exists()
    with pytest.raises(ValueError, match="closed"):
        executor.submit(job("c", "count", SLOTS[0], steps=1))


_ORCHESTRATOR = """
import json, sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from support_executors import job, run
from autoopt.executors import ForkServer, FreshProcess, ProcessExecutor
from autoopt.values import Slot

slots = [Slot(index=0), Slot(index=1)]
executor = ProcessExecutor(slots, launcher={launcher}(), log_folder=Path({folder!r}), warm=({warm}))
executor.start()
{body}
"""


def orchestrator(folder: Path, body: str, *, launcher: str = "ForkServer", warm: str = "") -> subprocess.Popen[str]:
    text = _ORCHESTRATOR.format(
        tests=str(Path(__file__).parent.parent), launcher=launcher, folder=str(folder), warm=warm, body=body
    )
    script = folder / "script.py"  # without a __main__ guard, as people write them
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@linux_only
@pytest.mark.parametrize("name", ["ForkServer", "FreshProcess"])
def test_kill_9_of_the_orchestrator_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    file = tmp_path / "pids.json"
    body = f"""
        executor.submit(job("a", "leave_children", slots[0], file={str(file)!r}, then="hang"))
        executor.submit(job("b", "sleep_for_ever", slots[1]))
        executor.poll(60)
        print("ready", flush=True)
        threading.Event().wait()
    """
    with orchestrator(tmp_path, textwrap.dedent(body), launcher=name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        wait_until(lambda: file.exists() and file.read_text().endswith("]"))
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        assert set(json.loads(file.read_text())) <= set(family)
        process.kill()
    wait_until(lambda: not any(runs(pid) for pid in family))


@linux_only
@pytest.mark.parametrize("name", ["ForkServer", "FreshProcess"])
def test_kill_9_of_orchestrator_and_server_at_once_leaves_no_worker(tmp_path: Path, name: str) -> None:
    body = (
        'executor.submit(job("a", "sleep_for_ever", slots[0]))\nprint(executor.poll(60)[0].values["pid"], flush=True)'
    )
    with orchestrator(tmp_path, f"{body}\nthreading.Event().wait()\n", launcher=name) as process:
        assert process.stdout is not None
        worker = int(float(process.stdout.readline()))
        server = psutil.Process(worker).parent()
        assert server is not None
        process.send_signal(signal.SIGSTOP)
        server.kill()
        process.kill()
    wait_until(lambda: not runs(worker))


@linux_only
def test_kill_9_while_the_server_imports_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "slow_library.py").write_text("import time; print('importing', flush=True); time.sleep(1000)\n")
    body = 'executor.submit(job("a", "sleep_for_ever", slots[0]))\nexecutor.poll(60)\nthreading.Event().wait()\n'
    with orchestrator(tmp_path, body, warm="'slow_library',") as process:
        log = tmp_path / "workers.log"
        wait_until(lambda: log.exists() and "importing" in log.read_text())
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.kill()
    assert len(family) >= 2
    wait_until(lambda: not any(runs(pid) for pid in family))


@pytest.mark.parametrize("name", ["ForkServer", "FreshProcess"])
def test_noise_stays_off_the_screen_and_stdin_is_empty(tmp_path: Path, name: str) -> None:
    body = "print(run(executor, 'make_noise').result)\nexecutor.close()\n"
    with orchestrator(tmp_path, body, launcher=name) as process:
        output, errors = process.communicate(timeout=GIVE_UP_S)
    assert (output, errors, process.returncode) == ("{'stdin': ''}\n", "", 0)
    log = (tmp_path / "only.log").read_text()
    assert log.count("noise by child") == 2
    assert all(f"noise by {how}" in log for how in ("stdout", "stderr", "descriptor"))


def test_ctrl_c_at_the_terminal_does_not_reach_the_workers(tmp_path: Path) -> None:
    body = """
        import os, signal
        executor.submit(job("a", "keep_reporting", slots[0], steps=10, pause_s=0.1))
        executor.poll(60)
        try:
            os.killpg(0, signal.SIGINT)  # what the terminal does: everybody in the foreground group gets it
            threading.Event().wait()
        except KeyboardInterrupt:
            while (last := executor.poll(60)[-1]).__class__.__name__ == "Progress":
                pass
            print(last)
        executor.close()
    """
    with orchestrator(tmp_path, textwrap.dedent(body)) as process:
        output, errors = process.communicate(timeout=GIVE_UP_S)
    assert (output, errors) == ("Finished(token='a', result={})\n", "")


def test_a_worker_sees_the_orchestrators_folder_and_a_session_of_its_own(executor: ProcessExecutor) -> None:
    ending = run(executor, "look_around", modules=["torch", "pytest"])
    assert isinstance(ending, Finished)
    seen = ending.result
    assert seen["folder"] == str(Path.cwd())
    assert seen["session"] == seen["pid"]
    assert seen["modules"] == []
    assert seen["environment"] == {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
    }
    assert len(seen["handles"]) <= 5  # the standard three, the pipe, and the folder being listed
