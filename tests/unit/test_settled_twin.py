"""What becomes of a twin that is not as promised: it stays out of the bundle, unless it is what was picked."""

from dataclasses import replace

from test_twin_ladder import FLOAT, result

from autoopt.app.settled_twin import artifacts_of, settled, with_tests
from autoopt.app.twin_ladder import entered
from autoopt.stages.contract import VerifyResult
from autoopt.values import Measurement

SLOWER = "The quantized twin is not as promised: it is slower."
RUNG = {"quantize": "dynamic_int8"}


def verified(reason: str) -> VerifyResult:
    sample = {"columns": {"x": [1]}, "float": [[0.5]], "quantized": [[0.4]]}
    return replace(result(reason), sample=sample, twin_compared="4.00 times smaller", twin_weights={"a": "/a"})


def test_a_twin_as_promised_stays_with_its_figures() -> None:
    found = settled(verified(""), entered((), RUNG, verified("")), is_pick=False)
    assert found.twin is not None
    assert (found.twin_reason, found.twin_compared) == ("", "4.00 times smaller")
    assert [t["reason"] for t in found.tried] == [""]


def test_one_that_is_not_goes_with_all_that_is_its_own() -> None:
    found = settled(verified(SLOWER), entered((), RUNG, verified(SLOWER)), is_pick=False)
    assert artifacts_of(found) == [FLOAT]
    assert found.twin_reason == "There is no quantized twin, as dynamic_int8 fell: it is slower."
    assert set(found.sample) == {"columns", "float"}
    assert found.twin_compared == ""
    assert found.twin_weights == {}
    assert found.tried[0]["latency_ms"] == 0.02


def test_of_several_the_last_is_told() -> None:
    both = entered(entered((), {"quantize": "static_int8"}, verified(SLOWER)), RUNG, verified(SLOWER))
    told = settled(replace(verified(""), twin=None), both, is_pick=False).twin_reason
    assert told == (
        "There is no quantized twin, as all 2 forms that were tried fell; the last, dynamic_int8: it is slower."
    )


def test_what_was_picked_stays_and_says_why() -> None:
    found = settled(verified(SLOWER), entered((), RUNG, verified(SLOWER)), is_pick=True)
    assert [a.role for a in artifacts_of(found)] == ["float", "quantized"]
    assert found.twin_reason.startswith("The quantized artifact stays, as it is what the trial deploys;")
    assert found.twin_reason.endswith("it is slower.")


def test_a_model_without_forms_keeps_its_own_reason() -> None:
    none = replace(result("There is no quantized twin: no form applies.", valid=None), sample={})
    assert settled(none, (), is_pick=False).twin_reason == "There is no quantized twin: no form applies."


def test_scores_on_test_come_by_the_files_hash() -> None:
    pair = replace(verified(""), float_artifact=replace(FLOAT, sha256="f"))
    found = with_tests(pair, {"f": Measurement(value=0.7)})
    assert found.float_artifact.test == Measurement(value=0.7)
    assert found.twin is not None
    assert found.twin.test is None
