"""How a bundle is run: measured at its export, kept in its manifest, done where it can be, told where it cannot."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support_bundle import Made, contents_of, make_bundle, mixed_frame, seal_again
from support_cli import Searched, run_here
from support_stages import Reports, recipe_of

from autoopt.app.jobs import Jobs
from autoopt.app.settled_serving import with_serving
from autoopt.bundle import check_bundle, check_serving, load_bundle, write_bundle
from autoopt.errors import BundleError
from autoopt.executors.inline import InlineExecutor
from autoopt.runtime import Predictor, Serving
from autoopt.runtime.engines import ENGINES
from autoopt.runtime.fastest import Fastest, Tried
from autoopt.stages import worker
from autoopt.stages.contract import ServeJob
from autoopt.values import Slot

pytest_plugins = ["support_cli_fixtures"]

ABSENT = [e for e in ENGINES if e.absence]
OPENVINO = next(e for e in ENGINES if e.name == "openvino")
needs_openvino = pytest.mark.skipif(bool(OPENVINO.absence), reason="the extra openvino is not installed")
SLOT = Slot(index=0, device="cpu", threads=1)


def serve(made: Made, **changes: Any) -> dict[str, Any]:
    """What a serve job finds about the artifacts of a bundle."""
    verified = made.contents.verified
    pair = [a for a in (verified.float_artifact, verified.twin) if a is not None]
    job = ServeJob(
        snapshot=made.place.snapshot,
        graphs={a.role: a.file for a in pair},
        exact=tuple(a.role for a in pair if a.parity["gate"] == "scores"),
        runtimes=("onnxruntime",),
        tolerance=0.01,
        seconds=0.3,
    )
    return worker.serve(replace(job, **changes).to_json(), SLOT, Reports())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Categories among the columns, a lossless twin."""
    return make_bundle(tmp_path_factory.mktemp("mixed"), mixed_frame(160), "decision_tree", "compact")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A network of numbers, which other runtimes take too; its twin is int8."""
    frame = mixed_frame(160)[["age", "income", "label"]]
    settings = {"mlp.epochs": 3, "mlp.width": 64}
    return make_bundle(tmp_path_factory.mktemp("numbers"), frame, "mlp", "static_int8", settings)


def served_by(made: Made, folder: Path, serving: dict[str, Any]) -> Path:
    """The bundle with that in its manifest, in a folder of its own."""
    shutil.copytree(made.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    seal_again(folder, artifacts=[{**a, "serving": serving} for a in manifest["artifacts"]])
    return folder


def test_every_artifact_gets_one_that_was_measured(mixed: Made) -> None:
    found = serve(mixed, seconds=1.0)
    assert set(found) == {"float", "quantized"}
    for entry in found.values():
        assert Serving.parse(entry).runtime == "onnxruntime"
        assert entry["ms_1"] > 0
        assert entry["tried"]
    json.dumps(found, allow_nan=False)


def test_it_is_written_into_the_manifest_and_used(mixed: Made, tmp_path: Path) -> None:
    serving = {**Serving(graph="basic", arena=False).to_json(), "ms_1": 0.5, "tried": []}
    artifact = replace(mixed.contents.verified.float_artifact, serving=serving)
    verified = replace(mixed.contents.verified, float_artifact=artifact)
    recipe = recipe_of("decision_tree").to_json()
    write_bundle(tmp_path / "bundle", contents_of(mixed.place, verified, recipe))
    needed = (tmp_path / "bundle" / "requirements.txt").read_text()
    assert [line.partition("==")[0] for line in needed.splitlines()] == ["numpy", "onnxruntime"]
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest["artifacts"][0]["serving"] == serving
    rows = mixed.frame.drop(columns="label").head(9)
    np.testing.assert_allclose(bundle.scores(rows), load_bundle(mixed.folder).scores(rows), atol=1e-6)
    here = bundle.served("float")
    assert here is not None
    assert here.serving == Serving(graph="basic", arena=False)
    told = {row.name: row.detail for row in check_bundle(tmp_path / "bundle", seconds=0.2).rows}
    assert told["serving of float"].startswith("onnxruntime, one thread, graph level basic, no arena")
    assert "when exported 0.5000 ms" in told["latency of float"]


@pytest.mark.parametrize("runtime", [*(e.name for e in ABSENT), "of-tomorrow"])
def test_where_its_runtime_is_not_here_it_predicts_all_the_same(mixed: Made, tmp_path: Path, runtime: str) -> None:
    folder = served_by(mixed, tmp_path / "bundle", {"runtime": runtime, "threads": 2, "ms_1": 0.1})
    rows = mixed.frame.drop(columns="label").head(9)
    bundle = load_bundle(folder)
    np.testing.assert_allclose(bundle.scores(rows), load_bundle(mixed.folder).scores(rows), atol=1e-6)
    np.testing.assert_allclose(Predictor.load(folder).scores(rows), bundle.scores(rows), atol=1e-9)
    here = bundle.served("float")
    assert here is not None
    assert here.serving.runtime == "onnxruntime"
    report = check_bundle(folder, seconds=0.1)
    assert report.holds
    assert runtime in next(row.detail for row in report.rows if row.name == "serving of float")


def test_the_bundles_own_script_does_as_the_manifest_says(mixed: Made, tmp_path: Path) -> None:
    rows = mixed.frame.drop(columns="label").head(9)
    rows.to_csv(tmp_path / "new.csv", index=False)
    found = []
    for place, serving in enumerate(({}, {"threads": 2, "graph": "extended", "arena": False}, {"runtime": "cuda"})):
        folder = served_by(mixed, tmp_path / f"bundle{place}", serving)
        words = [sys.executable, str(folder / "predict.py"), str(tmp_path / "new.csv")]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found.append(done.stdout)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "serving", [[], {"threads": -1}, {"runtime": None}, {"graph": "x" * 9999}, {"ms_1": "1"}, {"ms_1": -1}], ids=str
)
def test_a_forged_one_is_refused(mixed: Made, tmp_path: Path, serving: Any) -> None:
    folder = served_by(mixed, tmp_path / "bundle", serving)
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(folder)


def test_threads_that_a_caller_names_count(mixed: Made, tmp_path: Path) -> None:
    bundle = load_bundle(served_by(mixed, tmp_path / "bundle", {"threads": 2}), threads=1)
    bundle.predictor("float")
    here = bundle.served("float")
    assert here is not None
    assert here.serving == Serving()


@needs_openvino
def test_texts_are_not_for_openvino_and_the_manifest_says_why(mixed: Made) -> None:
    found = serve(mixed, runtimes=("openvino",), seconds=0.2)
    assert Serving.parse(found["float"]) == Serving()
    assert "cannot be run by OpenVINO" in found["float"]["tried"][0]["reason"]


@needs_openvino
def test_a_network_is_served_by_openvino_where_that_is_asked_for(numbers: Made, tmp_path: Path) -> None:
    found = serve(numbers, runtimes=("openvino",), seconds=0.2)
    assert Serving.parse(found["float"]).runtime == "openvino"
    verified = numbers.contents.verified
    verified = replace(verified, float_artifact=replace(verified.float_artifact, serving=found["float"]))
    folder = write_bundle(tmp_path / "bundle", contents_of(numbers.place, verified, recipe_of("mlp").to_json()))
    assert "\nopenvino==" in (folder / "requirements.txt").read_text()
    rows = numbers.frame.drop(columns="label").head(9)
    np.testing.assert_allclose(load_bundle(folder).scores(rows), load_bundle(numbers.folder).scores(rows), atol=1e-4)
    assert check_bundle(folder, seconds=0.1).holds
    rows.to_csv(tmp_path / "new.csv", index=False)
    words = [sys.executable, str(folder / "predict.py"), str(tmp_path / "new.csv")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 10


def test_targets_that_cannot_be_are_told_at_once(searched: Searched, tmp_path: Path) -> None:
    home, output = str(searched.home), str(tmp_path / "out")
    names = ["tflite", *(e.name for e in ABSENT)]
    targets = ("--targets", ",".join(names), "--home", home)
    for words in (
        ("search", str(searched.data), "--target", "y", "--trials", "1", *targets),
        ("resume", searched.study, "--trials", "1", *targets),
        ("export", searched.study, "-o", output, *targets),
    ):
        ran = run_here(*words)
        assert ran.code == 2
        assert "'tflite' is no runtime" in ran.err
        assert all(e.install in ran.err.replace("\n", " ") for e in ABSENT)
        assert "Traceback" not in ran.err
    assert not Path(output).exists()


def test_a_search_says_what_serves(searched: Searched) -> None:
    assert "served by onnxruntime" in searched.ran.err
    manifest = json.loads((searched.bundle / "manifest.json").read_text())
    for artifact in manifest["artifacts"]:
        serving = artifact["serving"]
        assert Serving.parse(serving).runtime in {t["runtime"] for t in serving["tried"]} | {"onnxruntime"}
        assert serving["ms_1"] > 0


def test_check_says_what_would_be_faster_here(mixed: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_serving, "fastest", lambda *_, **__: faster)
    faster = Fastest(
        serving=Serving(threads=2),
        single_ms=0.1,
        batch_ms=1.0,
        batch_rows=256,
        single_gain=1.5,
        batch_gain=1.25,
        tried=(Tried(serving=Serving(threads=2), taken=True, single_gain=1.5, batch_gain=1.25),),
    )
    told = {row.name: row.detail for row in check_bundle(mixed.folder, seconds=1.0).rows}
    assert told["serving of float"] == (
        "onnxruntime, one thread; here onnxruntime, 2 threads is 1.50 times as fast with one row, 1.25 with 256: "
        "export again on this machine"
    )


@pytest.mark.parametrize("chosen", ["float", "quantized"])
def test_an_export_takes_what_was_found_and_does_without_where_that_fails(mixed: Made, chosen: str) -> None:
    jobs = Jobs(InlineExecutor([SLOT]), pump=lambda: None, stopping=lambda: False)
    context = SimpleNamespace(snapshot=mixed.place.snapshot, targets=None, tolerance=0.01)
    verified = mixed.contents.verified
    found = with_serving(verified, chosen, context, jobs, seconds=0.1)  # type: ignore[arg-type]  # all that it reads
    assert found.twin is not None
    assert found.float_artifact.serving["ms_1"] > 0
    assert found.twin.serving["ms_1"] > 0
    gone = replace(verified, float_artifact=replace(verified.float_artifact, file="/nowhere/model.onnx"))
    kept = with_serving(gone, chosen, context, jobs, seconds=0.1)  # type: ignore[arg-type]
    assert kept.float_artifact == gone.float_artifact
    assert "how it runs fastest was not settled" in kept.notes[-1]
