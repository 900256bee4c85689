"""A real out-of-memory kill: a memory group of 300 MB, and a worker that wants more."""

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_executors import GIVE_UP_S

_MEMBERSHIP = Path("/proc/self/cgroup")


def own_memory_group() -> Path | None:
    """Folder of this process's own memory group, v1; v2 forbids groups below one that holds processes."""
    text = _MEMBERSHIP.read_text() if _MEMBERSHIP.exists() else ""
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        folder = Path("/sys/fs/cgroup/memory") / path.lstrip("/")
        if names == "memory" and os.access(folder, os.W_OK):
            return folder
    return None


@pytest.fixture
def small_group() -> Iterator[Path]:
    parent = own_memory_group()
    if parent is None:
        pytest.skip("no memory group may be made here")
    group = parent / f"autoopt-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no memory group may be made here: {error}")
    yield group
    group.rmdir()


def test_a_kill_for_memory_is_told_from_other_kills(small_group: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        Path({str(small_group / "cgroup.procs")!r}).write_text(str(os.getpid()))
        sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
        from support_executors import run
        from autoopt.executors import ProcessExecutor
        from autoopt.values import Slot
        with ProcessExecutor([Slot(index=0)]) as executor:
            print(run(executor, "eat_memory").reason.value)
            print(run(executor, "send_self", signal="SIGKILL").reason.value)
            print(run(executor, "count", steps=1))
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=GIVE_UP_S, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (
        ["out_of_memory", "crashed", "Finished(token='only', result={})"],
        "",
    )
