"""An export's pair: reloaded, compared with the trained model, measured side by side, scored on test once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_stages import Place, make_place, mixed_frame, recipe_of

from autoopt.errors import StageFailure
from autoopt.files import sha256_file
from autoopt.runtime import Front, Session, front_json
from autoopt.stages import verify, worker
from autoopt.stages.contract import VerifyResult
from autoopt.stages.measure import Timing
from autoopt.task.scoring import score
from autoopt.task.snapshot import Snapshot


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("mixed"), mixed_frame(), "label")


@pytest.fixture(scope="module")
def trees(place: Place) -> VerifyResult:
    return place.verify(recipe_of("extra_trees"), recipe_of("extra_trees", "compact"))


@pytest.fixture(scope="module")
def network(place: Place) -> VerifyResult:
    wide: dict[str, Any] = {"mlp.width": 256, "mlp.depth": 2}
    return place.verify(recipe_of("mlp", **wide), recipe_of("mlp", "static_int8", **wide), tolerance=1.0)


def test_both_artifacts_are_there_and_are_what_they_say(trees: VerifyResult) -> None:
    assert trees.twin is not None
    for role, artifact in (("float", trees.float_artifact), ("quantized", trees.twin)):
        assert artifact.role == role
        assert sha256_file(Path(artifact.file)) == artifact.sha256
        assert Path(artifact.file).stat().st_size == artifact.size_bytes
        assert artifact.valid.low <= artifact.valid.value <= artifact.valid.high  # type: ignore[operator]
        assert artifact.test is not None
        for batch in ("batch_1", "batch_256"):
            found = artifact.latency[batch]
            assert 0 < found["low_ms"] <= found["p50_ms"] <= found["p95_ms"]
        assert artifact.latency["threads"] == 1


def test_a_lossless_twin_is_as_promised(trees: VerifyResult) -> None:
    assert trees.twin is not None
    assert trees.twin_reason == ""
    assert trees.twin.size_bytes < 0.7 * trees.float_artifact.size_bytes
    assert trees.twin.valid.value == pytest.approx(trees.float_artifact.valid.value, abs=1e-6)
    for artifact in (trees.float_artifact, trees.twin):
        assert artifact.parity["holds"]
        assert artifact.parity["gate"] == "scores"
        assert artifact.parity["max_abs_difference"] < 1e-5
        assert artifact.parity["label_agreement"] == 1.0


def test_a_quantized_network_is_held_to_its_quality(network: VerifyResult) -> None:
    assert network.twin is not None
    assert network.float_artifact.parity["gate"] == "scores"
    assert network.twin.parity["gate"] == "quality"
    assert network.twin.parity["max_abs_difference"] > 0
    assert network.twin.parity["holds"]
    assert "it loses" not in network.twin_reason
    assert "times smaller" in network.twin_compared
    assert network.twin.size_bytes < 0.4 * network.float_artifact.size_bytes


def test_test_quality_is_that_of_the_file_on_the_test_rows(place: Place, trees: VerifyResult) -> None:
    snapshot = Snapshot.open(place.snapshot)
    test, facts = snapshot.part("test"), snapshot.facts
    front = Front.parse(
        front_json(
            number_columns=facts.number_columns,
            category_columns=facts.category_columns,
            kind=str(facts.kind),
            classes=facts.classes,
            numeric_classes=facts.numeric_classes,
            target=facts.target,
        )
    )
    columns = dict(zip(facts.number_columns, test.numbers.T, strict=True))
    columns |= dict(zip(facts.category_columns, test.categories.T, strict=True))
    scores = Session(Path(trees.float_artifact.file)).run(front.feed(columns))
    assert trees.float_artifact.test is not None
    assert trees.float_artifact.test.value == pytest.approx(score(facts.metric, facts, test.target, scores))


def test_the_sample_can_be_checked_by_a_bundle(place: Place, trees: VerifyResult) -> None:
    facts = Snapshot.open(place.snapshot).facts
    columns = trees.sample["columns"]
    assert set(columns) == {*facts.number_columns, *facts.category_columns}
    assert {len(v) for v in columns.values()} == {20}
    assert None in columns["age"]
    front = Front.parse(
        front_json(
            number_columns=facts.number_columns,
            category_columns=facts.category_columns,
            kind=str(facts.kind),
            classes=facts.classes,
            numeric_classes=facts.numeric_classes,
            target=facts.target,
        )
    )
    assert trees.twin is not None
    for role, artifact in (("float", trees.float_artifact), ("quantized", trees.twin)):
        again = Session(Path(artifact.file)).run(front.feed(columns))
        np.testing.assert_allclose(again, np.array(trees.sample[role]), atol=1e-6)


def test_weights_are_files_that_are_there(trees: VerifyResult, network: VerifyResult) -> None:
    for result in (trees, network):
        assert any(name.endswith(".safetensors") for name in result.weights)
        assert "valid_scores.npy" not in result.weights
        assert all(Path(path).is_file() for path in result.weights.values())


def test_the_baseline_is_worse_than_a_model(trees: VerifyResult) -> None:
    assert set(trees.baseline) == {"valid", "test"}
    assert trees.baseline["valid"] == pytest.approx(0.5)
    assert trees.float_artifact.valid.value > 0.7


def test_the_result_survives_json(trees: VerifyResult) -> None:
    text = json.dumps(trees.to_json(), allow_nan=False)
    assert VerifyResult.from_json(json.loads(text)) == trees


@pytest.mark.parametrize("keeps_twin", [False, True])
def test_a_twin_that_loses_is_scored_on_test_only_where_it_is_exported_all_the_same(
    place: Place, *, keeps_twin: bool
) -> None:
    recipe, twin = recipe_of("mlp"), recipe_of("mlp", "static_int8")
    result = place.verify(recipe, twin, tolerance=-1.0, keeps_twin=keeps_twin)
    assert result.twin is not None
    assert "more than the tolerance of -100.00%" in result.twin_reason
    assert not result.twin.parity["holds"]
    assert (result.twin.test is not None) == keeps_twin
    assert result.float_artifact.test is not None


@pytest.mark.parametrize("slow_times, as_promised", [(1, True), (2, False)])
def test_a_twin_that_is_only_slower_is_loaded_and_measured_once_more(
    place: Place, monkeypatch: pytest.MonkeyPatch, slow_times: int, *, as_promised: bool
) -> None:
    real, seen = verify.time_graphs, []

    def timed(*given: Any, **options: Any) -> Timing:
        found = real(*given, **options)
        seen.append(found)
        original = found.graphs["float"]
        much_slower = {"p50_ms": 1e6, "low_ms": 1e6, "high_ms": 1e6}
        slower = replace(original, single=replace(original.single, **much_slower))
        return replace(found, graphs={"float": original, "quantized": slower if len(seen) <= slow_times else original})

    monkeypatch.setattr(verify, "time_graphs", timed)
    result = place.verify(recipe_of("extra_trees"), recipe_of("extra_trees", "compact"), seconds=0.1)
    assert len(seen) == 2
    assert (result.twin_reason == "") == as_promised


def test_a_twin_that_cannot_be_built_is_a_reason(place: Place) -> None:
    result = place.verify(recipe_of("decision_tree"), recipe_of("decision_tree", "static_int8"))
    assert result.twin is None
    assert result.twin_reason.startswith("There is no quantized twin: ")
    assert "does not fit a model of kind trees" in result.twin_reason
    assert result.float_artifact.valid.value > 0.5


def test_a_model_without_any_twin_says_so(place: Place) -> None:
    result = place.verify(recipe_of("linear"), None)
    assert result.twin is None
    assert "no form of quantization applies" in result.twin_reason
    assert set(result.sample) == {"columns", "float"}


def test_a_float_artifact_that_cannot_be_built_is_a_failure(place: Place) -> None:
    with pytest.raises(StageFailure):
        place.verify({"model": "oracle"}, None)


def test_the_test_part_is_not_opened_unless_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Snapshot.part

    def watched(self: Snapshot, name: Any) -> Any:
        opened.append(name)
        return real(self, name)

    monkeypatch.setattr(Snapshot, "part", watched)
    place.evaluate(recipe_of("linear_svm"))
    artifact = place.evaluate(recipe_of("linear_svm")).artifact_key
    place.remeasure(artifact, seconds=0.05)
    result = place.verify(recipe_of("linear_svm"), None, look_at_test=False)
    assert "test" not in opened
    assert result.float_artifact.test is None
    assert set(result.baseline) == {"valid"}
    place.verify(recipe_of("linear_svm"), None)
    assert opened.count("test") == 1


def test_only_one_module_names_the_test_part() -> None:
    package = Path(worker.__file__).parent.parent
    naming = [p for p in package.rglob("*.py") if 'part("test")' in p.read_text()]
    assert [p.name for p in naming] == ["verify.py"]
