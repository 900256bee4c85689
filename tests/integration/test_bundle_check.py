"""`check` sees whether a bundle still does what it did when it was exported."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support_bundle import Made, make_bundle, mixed_frame, seal_again

from autoopt.bundle import CheckReport, check_bundle, load_bundle
from autoopt.bundle.fastest_artifact import fastest_words
from autoopt.bundle.seal import sealed
from autoopt.errors import BundleError
from autoopt.files import sha256_file
from autoopt.runtime import Latency


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundle(tmp_path_factory.mktemp("made"), mixed_frame(160))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Another model of the same columns."""
    return make_bundle(tmp_path_factory.mktemp("other"), mixed_frame(160), "linear", None)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of other columns."""
    frame = mixed_frame(160).rename(columns={"age": "years"})
    return make_bundle(tmp_path_factory.mktemp("foreign"), frame, "linear", None)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def put(folder: Path, name: str, source: Path) -> None:
    """What a forger does: exchange a file and make every hash hold again."""
    shutil.copyfile(source, folder / name)
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = {"bytes": source.stat().st_size, "sha256": sha256_file(source)}
    artifacts = [{**a, **(facts if a["path"] == name else {})} for a in manifest["artifacts"]]
    seal_again(folder, files={**manifest["files"], name: facts}, artifacts=artifacts)


def check(folder: Path) -> tuple[CheckReport, dict[str, Any]]:
    report = check_bundle(folder, seconds=0.1)
    return report, {row.name: row for row in report.rows}


def test_a_bundle_is_sound_where_it_was_made(folder: Path) -> None:
    report, rows = check(folder)
    assert report.holds
    assert set(rows) >= {
        "hashes",
        "parity of float",
        "parity of quantized",
        "latency of float",
        "latency of quantized",
        "fastest artifact",
        "environment",
    }
    assert "when exported" in rows["latency of float"].detail
    assert rows["environment"].detail == "as when exported"
    json.dumps(report.to_json(), allow_nan=False)


def test_an_older_bundle_with_a_twin_that_is_not_as_promised_still_holds(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"], manifest["twin_compared"], manifest["twins_tried"]
    reason = "The quantized twin is not as promised: it loses 9.00% of accuracy on valid."
    (folder / "manifest.json").write_bytes(sealed({**manifest, "twin_reason": reason}))
    report, rows = check(folder)
    assert report.holds
    assert rows["parity of quantized"].holds
    bundle = load_bundle(folder)
    assert bundle.scores(bundle.sample()["columns"], artifact="quantized").shape[1] == 2


def timed(low_ms: float, high_ms: float) -> Latency:
    p50 = (low_ms + high_ms) / 2
    return Latency(p50_ms=p50, p95_ms=high_ms, p99_ms=high_ms, low_ms=low_ms, high_ms=high_ms, calls=9)


@pytest.mark.parametrize(
    "quantized, told",
    [
        (timed(0.04, 0.06), "quantized is 2.00 times faster than float, the chosen one, beyond the spread"),
        (timed(0.08, 0.10), "float, the chosen one: quantized is not faster beyond the spread (0.0900 ms against"),
        (timed(0.30, 0.40), "float, the chosen one: quantized is not faster"),
    ],
)
def test_what_is_fastest_on_this_machine_is_told(made: Made, quantized: Latency, told: str) -> None:
    words = fastest_words(load_bundle(made.folder), {"float": timed(0.09, 0.11), "quantized": quantized})
    assert told in words
    assert ("autoopt predict " in words) == ("2.00 times" in words)
    assert words.endswith("--artifact quantized") == ("2.00 times" in words)


def test_where_there_is_one_form_it_is_told_why(other: Made) -> None:
    words = fastest_words(load_bundle(other.folder), {"float": timed(0.09, 0.11)})
    assert words.startswith("float: no other form is in the bundle. There is no quantized twin: no form of")


def test_another_graph_is_found_out_although_its_hash_holds(folder: Path, other: Made) -> None:
    put(folder, "model.onnx", other.folder / "model.onnx")
    report, rows = check(folder)
    assert not report.holds
    assert not rows["parity of float"].holds
    assert "largest difference" in rows["parity of float"].detail
    assert rows["parity of quantized"].holds


def test_a_graph_of_other_columns_is_found_out(folder: Path, foreign: Made) -> None:
    put(folder, "model.quantized.onnx", foreign.folder / "model.onnx")
    report, rows = check(folder)
    assert not report.holds
    assert not rows["parity of quantized"].holds


def test_what_is_no_graph_is_found_out(folder: Path) -> None:
    put(folder, "model.onnx", folder / "recipe.yaml")
    report, rows = check(folder)
    assert not report.holds
    assert not rows["parity of float"].holds


@pytest.mark.parametrize("change", [{"float": None}, {"float": []}, {"float": [[0.5]]}, {"float": [["a", "b"]]}])
def test_a_sample_without_scores_is_no_proof(folder: Path, change: dict[str, Any]) -> None:
    sample = json.loads((folder / "sample.json").read_text())
    (folder.parent / "sample.json").write_text(json.dumps({**sample, **change}))
    put(folder, "sample.json", folder.parent / "sample.json")
    report, rows = check(folder)
    assert not report.holds
    assert not rows["parity of float"].holds


@pytest.mark.parametrize("content", ["[]", "{", '{"float": []}', ""])
def test_a_sample_that_is_none_is_damage(folder: Path, content: str) -> None:
    (folder.parent / "sample.json").write_text(content)
    put(folder, "sample.json", folder.parent / "sample.json")
    with pytest.raises(BundleError, match=r"sample\.json is damaged"):
        check(folder)


def test_another_machine_is_told_and_not_judged(folder: Path) -> None:
    environment = json.loads((folder / "manifest.json").read_text())["environment"]
    seal_again(folder, environment={**environment, "cpu": "Z80", "libraries": {"numpy": "0.1"}})
    report, rows = check(folder)
    assert report.holds
    assert "numpy 0.1 →" in rows["environment"].detail
    assert "cpu Z80 →" in rows["environment"].detail


def test_an_exchanged_graph_is_not_even_loaded_when_its_hash_does_not_hold(folder: Path, other: Made) -> None:
    shutil.copyfile(other.folder / "model.onnx", folder / "model.onnx")
    with pytest.raises(BundleError, match="its hash differs"):
        check(folder)
