"""`autoopt bench`: every artifact at every size, in turns; what is asked for wrongly is told at once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support_cli import ROOT, Searched, run_here

from autoopt.bundle import bench_bundles, load_bundle, sample_rows
from autoopt.bundle.sample_rows import feeds_of_sample
from autoopt.errors import BundleError

pytest_plugins = ["support_cli_fixtures"]
pytestmark = pytest.mark.slow


def test_two_bundles_are_measured_in_turns_at_every_size(searched: Searched, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(searched.bundle, other)
    ran = run_here(
        "bench", str(searched.bundle), str(other), "--rows", "16,1", "--threads", "1", "--time", "0.5s", "--json"
    )
    assert ran.code == 0, ran.err
    roles = [a["role"] for a in json.loads((searched.bundle / "manifest.json").read_text())["artifacts"]]
    named = [(bundle, role) for bundle in ("tree", "other") for role in roles]
    found = ran.last_json
    assert [(a["bundle"], a["role"]) for a in found["artifacts"]] == named
    assert [(s["bundle"], s["role"], s["rows"]) for s in found["speeds"]] == [(*n, r) for r in (1, 16) for n in named]
    for artifact in found["artifacts"]:
        assert artifact["load_s"] > 0
        assert artifact["runtime"] == "onnxruntime"
        assert 0 < artifact["memory_bytes"] < 1e9, "of loading one tree, not of what Python has imported"
    for speed in found["speeds"]:
        latency = speed["latency"]
        assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
        assert speed["rows_per_s"] == pytest.approx(1000 * speed["rows"] / latency["p50_ms"])
    assert [s["gain"] for s in found["speeds"][:: len(named)]] == [1.0, 1.0]
    for text in ("rows/s", "ready after", "other", "float"):
        assert text in ran.err


def test_all_that_cannot_be_meant_is_told_at_once(searched: Searched) -> None:
    bundle = str(searched.bundle)
    ran = run_here("bench", bundle, bundle, "--rows", "0,x", "--threads", "9999", "--time", "soon")
    assert ran.code == 2
    for text in ("'soon'", "--rows '0,x' cannot be meant", "--threads '9999' cannot be meant", "is given twice"):
        assert text in ran.err
    assert "Traceback" not in ran.err


def test_loading_once_is_a_program_without_a_warning(searched: Searched) -> None:
    words = [sys.executable, "-W", "error", "-m", "autoopt.bundle.load_once", str(searched.bundle), "float", "4", ""]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout).keys() == {"load_s", "memory_bytes"}


def test_large_feeds_are_fewer(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle(searched.bundle)
    every = feeds_of_sample(bundle, rows=8)
    assert len(every) > 4
    assert {len(values) for feed in every for values in feed.values()} == {8}
    size = sum(values.nbytes for values in every[0].values())
    monkeypatch.setattr(sample_rows, "FEED_BYTES", 2 * size)
    assert len(feeds_of_sample(bundle, rows=8)) == 2
    assert len(feeds_of_sample(bundle, rows=800)) == 1


@pytest.mark.parametrize("file", ["model.onnx", "sample.json"])
def test_a_damaged_bundle_is_refused(searched: Searched, tmp_path: Path, file: str) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(searched.bundle, damaged)
    (damaged / file).write_bytes((damaged / file).read_bytes()[:-1])
    ran = run_here("bench", str(damaged))
    assert ran.code == 2
    assert file in ran.err
    with pytest.raises(BundleError):
        bench_bundles([searched.bundle, damaged], rows=[1], threads=[1], seconds=0.1)
