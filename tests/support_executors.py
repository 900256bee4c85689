"""Entry points that the executors' tests run, each named for what it does."""

import ctypes
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from autoopt.errors import StageFailure
from autoopt.executors import Event, Executor, Failed, Finished, Job, Progress, Reporter
from autoopt.executors.calling import resolve
from autoopt.values import Rank, Slot

HERE = "support_executors"
GIVE_UP_S = 60.0  # of no test's meaning: a broken executor must fail a test, not hang it


def double(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"value": 2 * payload["value"], "slot": slot.to_json()}


def count(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    for step in range(payload["steps"]):
        report("count", step=step, values={"loss": 1.0 / (step + 1)})
    return {}


def count_to_nan(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    report("count", values={"loss": float("nan")})
    raise StageFailure("not_finite", "the loss became NaN at step 0")


def fail_with_unknown_reason(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    raise StageFailure("bad_weather", "it rains")


def divide_by_zero(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"value": 1 / 0}


def leave(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    sys.exit(3)


def no_memory(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"value": len(bytearray(1 << 60))}


def be_taken_for_memory(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """What the kernel does: count, and kill the worker or one of its helpers."""
    Path(payload["counter"]).write_text("under_oom 0\noom_kill 1\n")
    if payload["victim"] == "worker":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed.")


def fill_memory(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Here or in a helper; with `shared_by`, so many helpers have it in common with this process, as after any fork."""
    kept: list[bytes] = []

    def fill() -> None:
        while len(kept) < payload["megabytes"] // 10:
            kept.append(b"x" * 10_000_000)
            time.sleep(0.005)

    context = multiprocessing.get_context("fork")
    if payload.get("in_helper"):
        helpers = [context.Process(target=fill)]
    else:
        fill()
        helpers = [context.Process(target=time.sleep, args=(1.0,)) for _ in range(payload.get("shared_by", 0))]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()
    return {"filled": len(kept)}


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


def no_device_memory(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def no_dict(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> Any:
    return [1, 2]


def no_json(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"value": {1, 2}}


def nan_result(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"value": float("nan")}


def large(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"text": "x" * payload["size_bytes"], "payload_bytes": len(payload.get("text", ""))}


def exit_at_once(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    sys.stderr.write("last words\n")
    os._exit(payload["code"])


def send_self(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    report("about to be signalled")
    os.kill(os.getpid(), signal.Signals[payload["signal"]])
    time.sleep(GIVE_UP_S)
    return {}


def read_null(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    return {"value": ctypes.string_at(0).decode()}


def sleep_for_ever(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    report("asleep", values={"pid": os.getpid()})
    threading.Event().wait()
    return {}


def defy(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Hang, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report("defiant")
    threading.Event().wait()
    return {}


def keep_reporting(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Longer than the deadline in all, never silent for so long."""
    for step in range(payload["steps"]):
        time.sleep(payload["pause_s"])
        report("alive", step=step)
    return {}


def end_helper(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """What pools of processes do with their members."""
    helper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    helper.start()
    helper.terminate()
    helper.join(10)
    return {"exit_code": helper.exitcode}


def wait_for_file(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    report("waiting")
    while not Path(payload["file"]).exists():
        time.sleep(0.01)
    return {}


def leave_children(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Start one process in the group, and one that has left it and whose parent is gone; then do as told."""
    sleeper = subprocess.Popen(["sleep", "1000"])
    orphan = subprocess.run(
        [sys.executable, "-c", _DAEMON], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    pids = [os.getpid(), sleeper.pid, int(orphan.stdout)]
    if payload.get("file"):
        Path(payload["file"]).write_text(json.dumps(pids))
    report("children", values={str(i): pid for i, pid in enumerate(pids)})
    if payload["then"] == "return":
        return {"pids": pids}
    if payload["then"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()
    return {}


_DAEMON = """
import os, subprocess
null = subprocess.DEVNULL
print(subprocess.Popen(["sleep", "1000"], start_new_session=True, stdin=null, stdout=null, stderr=null).pid)
"""


def make_noise(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    sys.stdout.write("noise by stdout\n")
    sys.stderr.write("noise by stderr\n")
    os.write(1, b"noise by descriptor\n")
    subprocess.run(["sh", "-c", "echo noise by child; echo noise by child >&2"], check=True)
    return {"stdin": sys.stdin.read() if sys.stdin else ""}


def stay_as_thread(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Return beside a thread that never ends."""
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    return {}


def kill_server(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(GIVE_UP_S)
    return {}


def stop_server(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    os.kill(os.getppid(), signal.SIGSTOP)
    threading.Event().wait()
    return {}


def close_everything(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Lose the pipe, and stay."""
    os.closerange(3, 256)
    threading.Event().wait()
    return {}


def look_around(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM", "PYTHONWARNINGS")
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "folder": str(Path.cwd()),
        "environment": {name: os.environ.get(name) for name in names},
        "modules": [name for name in payload["modules"] if name in sys.modules],
        "handles": sorted(int(p.name) for p in Path("/proc/self/fd").iterdir()) if sys.platform == "linux" else [],
    }


def count_threads(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    import threadpoolctl
    import torch

    (torch.ones(300, 300) @ torch.ones(300, 300)).sum()
    pools = threadpoolctl.threadpool_info()
    return {"torch": torch.get_num_threads(), "pools": [pool["num_threads"] for pool in pools]}


def tell_rank(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Which rank of a gang this is, once all of them have said so."""
    rank = Rank.from_json(payload["gang"])
    report("here", step=rank.number)
    _meet(rank)
    return {**rank.to_json(), "slot": slot.index, "value": payload["value"]}


def come_to_harm(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """One rank of a gang does as it is told; the others wait for it for ever, or say that it is gone."""
    rank = Rank.from_json(payload["gang"])
    (Path(payload["pids"]) / f"{rank.number}.part").write_text(str(os.getpid()))
    (Path(payload["pids"]) / f"{rank.number}.part").rename(Path(payload["pids"]) / f"{rank.number}")
    _meet(rank)
    report("all here")
    if rank.number == payload["victim"]:
        return resolve(f"{HERE}:{payload['fate']}")({**payload, "signal": "SIGKILL"}, slot, report)
    victim = int((Path(payload["pids"]) / str(payload["victim"])).read_text())
    while payload.get("others_notice") and psutil.pid_exists(victim):
        time.sleep(0.005)
    if payload.get("others_notice"):
        raise StageFailure("peer_lost", "another rank is gone")
    threading.Event().wait()
    return {}


def return_before_leader(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """All ranks but the first return at once; that one waits for a file."""
    rank = Rank.from_json(payload["gang"])
    return wait_for_file(payload, slot, report) if rank.leads else {"from": "a rank that does not lead"}


def _meet(rank: Rank) -> None:
    """Wait until all ranks are here."""
    (Path(rank.folder) / f"here{rank.number}").touch()
    while not all((Path(rank.folder) / f"here{number}").exists() for number in range(rank.size)):
        time.sleep(0.005)


def gang_job(token: str, function: str, slots: Sequence[Slot], *, deadline_s: float = GIVE_UP_S, **payload: Any) -> Job:
    """One attempt on all these slots, the first of which leads."""
    alone = job(token, function, slots[0], deadline_s=deadline_s, **payload)
    return dataclasses.replace(alone, peers=tuple(slots[1:]))


def job(token: str, function: str, slot: Slot, *, deadline_s: float = GIVE_UP_S, **payload: Any) -> Job:
    return Job(token=token, entry=f"{HERE}:{function}", payload=payload, slot=slot, progress_deadline_s=deadline_s)


def collect(executor: Executor, tokens: int = 1) -> list[Event]:
    """Every event up to the ending of so many attempts."""
    events: list[Event] = []
    give_up_s = time.monotonic() + GIVE_UP_S
    while sum(not isinstance(event, Progress) for event in events) < tokens:
        if time.monotonic() > give_up_s:
            raise AssertionError(f"no ending; so far: {events}")
        events += executor.poll(0.5)
    return events


def run(executor: Executor, function: str, *, deadline_s: float = GIVE_UP_S, **payload: Any) -> Finished | Failed:
    """The ending of one attempt on the first slot."""
    executor.submit(job("only", function, executor.slots[0], deadline_s=deadline_s, **payload))
    ending = collect(executor)[-1]
    assert isinstance(ending, Finished | Failed)
    return ending


def wait_for_progress(executor: Executor) -> Progress:
    give_up_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up_s:
        for event in executor.poll(0.5):
            assert isinstance(event, Progress), event
            return event
    raise AssertionError("no progress")


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < give_up_s, "waited in vain"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
