"""A writer that is killed at any moment, and a reader beside it: the old bundle or the new one, never a part."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_bundle import Made, make_bundle, mixed_frame

from autoopt.bundle import load_bundle, write_bundle

WRITERS = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from support_bundle import contents_of
from support_stages import Place
from autoopt.bundle import write_bundle
from autoopt.stages.contract import VerifyResult

given = json.loads(Path(sys.argv[1]).read_text())
place = Place(snapshot=given["snapshot"], store=given["store"])
contents = contents_of(place, VerifyResult.from_json(given["verified"]), given["recipe"])
for line in sys.stdin:
    writer = os.fork()
    if not writer:
        for number in range(10_000):
            write_bundle(Path(line.rstrip()), replace(contents, pick=f"write {number}"))
        os._exit(0)
    print(writer, flush=True)
    os.waitpid(writer, 0)
    print("ended", flush=True)
"""
"""Imports once, then forks a writer for each folder that it is told: importing takes longer than what is tested."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160))


class Writers:
    """Starts and kills processes that write bundles, one at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._writer = 0

    def start(self, folder: Path) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        self._writer = int(self._told())

    def kill(self) -> None:
        os.kill(self._writer, signal.SIGKILL)
        assert self._told() == "ended\n"

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def writers(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    given = tmp_path_factory.mktemp("given") / "given.json"
    job = {
        "snapshot": made.place.snapshot,
        "store": made.place.store,
        "recipe": made.contents.trial.recipe,
        "verified": made.contents.verified.to_json(),
    }
    given.write_text(json.dumps(job))
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS, str(given)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Writers(process)


@pytest.mark.slow
def test_a_killed_writer_leaves_a_whole_bundle(made: Made, writers: Writers, tmp_path: Path) -> None:
    folder, draw, seen = tmp_path / "bundle", random.Random(5), set()
    write_bundle(folder, made.contents)
    for _ in range(6):
        writers.start(folder)
        time.sleep(draw.uniform(0.0, 1.2))
        writers.kill()
        seen.add(load_bundle(folder).manifest["pick"])
    assert len(seen) > 1
    write_bundle(folder, made.contents)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert load_bundle(folder).manifest["pick"] == "best"


@pytest.mark.slow
def test_a_reader_beside_a_writer_never_sees_a_part(made: Made, writers: Writers, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", made.contents)
    writers.start(folder)
    picks = []
    try:
        for _ in range(1000):  # until some replacements were read, however slow the machine is
            picks.append(load_bundle(folder).manifest["pick"])
            if len(picks) >= 150 and len(set(picks)) > 3:
                break
    finally:
        writers.kill()
    assert len(set(picks)) > 3
