"""Runs the command line, here or in a process of its own, and tells what it said and what it left."""

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from autoopt.cli import main

ROOT = Path(__file__).resolve().parents[1]
CHEAP = ("--set", "model=decision_tree", "--slots", "1")
"""Options of a search whose trials take a fraction of a second."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last_json(self) -> dict[str, Any]:
        """The last line of stdout."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def run_here(*words: str) -> Ran:
    """A command in this process: what it prints goes through sys.stdout and sys.stderr, as in a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    hook, terminate = sys.excepthook, signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(words))
    finally:
        sys.excepthook = hook
        signal.signal(signal.SIGTERM, terminate)
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def end_soon(patch: pytest.MonkeyPatch) -> None:
    """Searches of this process measure for one second of three at their end, forms of a twin for a third of one."""
    from autoopt.app import session, twin_ladder

    patch.setattr(session, "end_seconds", lambda left_s, combining: (1.0, session.MOST_ENSEMBLE_S))
    patch.setattr(twin_ladder, "LEAST_S", 0.3)


def run_process(
    *words: str, folder: Path, timeout_s: float = 240.0, launcher: Sequence[str] = (), **environment: str
) -> Ran:
    """A command in a process of its own, as a user starts it, in that folder; `launcher` comes before its words."""
    done = subprocess.run(
        [*launcher, sys.executable, "-m", "autoopt", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def tree(folder: Path) -> dict[str, str]:
    """Every path below a folder with a hash of what is there: equal trees, nothing was written."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file" if path.is_file() else "other"
        content = hashlib.sha256(path.read_bytes()).hexdigest() if kind == "file" else ""
        found[str(path.relative_to(folder))] = f"{kind} {content}"
    return found


@cache
def table(rows: int = 120, seed: int = 0) -> tuple[str, ...]:
    """Lines of a sound CSV: numbers a and b, a category c, and the target y with two classes."""
    rng = random.Random(seed)
    lines = ["a,b,c,y"]
    for _ in range(rows):
        a, b, c = rng.gauss(0, 1), rng.gauss(5, 2), rng.choice("pqr")
        lines.append(f"{a:.4f},{b:.4f},{c},{'yes' if a + 0.3 * (c == 'p') + rng.gauss(0, 0.3) > 0 else 'no'}")
    return tuple(lines)


def write_table(path: Path, lines: Sequence[str] = ()) -> Path:
    """A sound CSV, or the lines given."""
    path.write_text("\n".join(lines or table()) + "\n")
    return path


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A home with one finished study, to be read and never changed: tests that change something take a copy."""

    home: Path
    study: str
    bundle: Path
    data: Path
    ran: Ran
