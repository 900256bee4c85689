"""A writer that is killed at any moment, and a reader beside it: the old bundle or the new one, never a part."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support_bundle import Made, make_bundle, mixed_frame

from autoopt.bundle import load_bundle, write_bundle

WRITER = """
import json, sys
from dataclasses import replace
from pathlib import Path
from support_bundle import contents_of
from support_stages import Place
from autoopt.bundle import write_bundle
from autoopt.stages.contract import VerifyResult

given = json.loads(Path(sys.argv[1]).read_text())
place = Place(snapshot=given["snapshot"], store=given["store"])
contents = contents_of(place, VerifyResult.from_json(given["verified"]), given["recipe"])
print("writing", flush=True)
for number in range(10_000):
    write_bundle(Path(sys.argv[2]), replace(contents, pick=f"write {number}"))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160))


def start_writer(made: Made, folder: Path) -> "subprocess.Popen[str]":
    given = folder.parent / "given.json"
    job = {
        "snapshot": made.place.snapshot,
        "store": made.place.store,
        "recipe": made.contents.trial.recipe,
        "verified": made.contents.verified.to_json(),
    }
    given.write_text(json.dumps(job))
    tests = str(Path(__file__).parent.parent)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(given), str(folder)],
        env={**os.environ, "PYTHONPATH": tests},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def end(writer: "subprocess.Popen[str]") -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert writer.stdout is not None
    writer.stdout.close()


@pytest.mark.slow
def test_a_killed_writer_leaves_a_whole_bundle(made: Made, tmp_path: Path) -> None:
    folder, draw, seen = tmp_path / "bundle", random.Random(5), set()
    write_bundle(folder, made.contents)
    for _ in range(6):
        writer = start_writer(made, folder)
        time.sleep(draw.uniform(0.0, 1.2))
        end(writer)
        seen.add(load_bundle(folder).manifest["pick"])
    assert len(seen) > 1
    write_bundle(folder, made.contents)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert load_bundle(folder).manifest["pick"] == "best"


@pytest.mark.slow
def test_a_reader_beside_a_writer_never_sees_a_part(made: Made, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", made.contents)
    writer = start_writer(made, folder)
    picks = []
    try:
        for _ in range(1000):  # until some replacements were read, however slow the machine is
            picks.append(load_bundle(folder).manifest["pick"])
            if len(picks) >= 150 and len(set(picks)) > 3:
                break
    finally:
        end(writer)
    assert len(set(picks)) > 3
