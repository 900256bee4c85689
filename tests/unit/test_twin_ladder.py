"""The ladder of twins: who is tried, in which order, and when it ends."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support_network import facts_of

from autoopt.app.twin_ladder import CLIMBS, climbed, rungs_of
from autoopt.space import Recipe, Value
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.task.facts import Kind
from autoopt.values import Measurement

FACTS = facts_of(Kind.MULTICLASS, 3, "accuracy")
FLOAT = VerifiedArtifact(
    role="float",
    artifact_key="",
    file="",
    sha256="",
    size_bytes=400,
    recipe={},
    valid=Measurement(value=0.9),
    test=None,
    latency={},
    parity={},
)


def result(reason: str = "", *, valid: float | None = 0.89) -> VerifyResult:
    twin = None if valid is None else replace(FLOAT, role="quantized", valid=Measurement(value=valid), size_bytes=100)
    return VerifyResult(float_artifact=FLOAT, twin=twin, twin_reason=reason)


class Attempts:
    """Gives results in turn, and remembers what was asked for."""

    def __init__(self, *results: VerifyResult, takes_s: float = 0.0) -> None:
        self._left = list(results)
        self._takes_s = takes_s
        self.asked: list[Mapping[str, Value]] = []

    def __call__(self, changes: Mapping[str, Value], seconds: float) -> VerifyResult:
        assert seconds >= 1.0
        self.asked.append(changes)
        time.sleep(self._takes_s)
        return self._left.pop(0)


def ahead(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


NETWORK = rungs_of(Recipe({"model": "mlp"}))


def test_networks_climb_from_plain_static_over_ranges_and_float_layers_to_dynamic() -> None:
    assert NETWORK[0] == {"quantize": "static_int8"}
    assert [dict(r) for r in NETWORK[1:-1]] == [{"quantize": "static_int8", **climb} for climb in CLIMBS]
    assert NETWORK[-1] == {"quantize": "dynamic_int8"}
    assert rungs_of(Recipe({"model": "residual_net"})) == NETWORK[:-1], "dynamic ranges do not serve convolutions"


@pytest.mark.parametrize(("model", "rungs"), [("lightgbm", ({"quantize": "compact"},)), ("linear", ())])
def test_other_models_have_no_rungs_to_climb(model: str, rungs: tuple[dict[str, Any], ...]) -> None:
    assert rungs_of(Recipe({"model": model})) == rungs


def test_what_a_recipe_is_deployed_as_is_its_only_twin() -> None:
    recipe = Recipe({"model": "mlp", "quantize": "dynamic_int8"})
    assert rungs_of(recipe) == ({"quantize": "dynamic_int8"},)


def test_the_first_that_is_as_promised_ends_it() -> None:
    attempts = Attempts(result("it loses 3 %"), result("", valid=0.895))
    rung, tried = climbed(NETWORK, attempts, FACTS, until=ahead())
    assert rung == NETWORK[1]
    assert attempts.asked == list(NETWORK[:2])
    assert [t["reason"] for t in tried] == ["it loses 3 %", ""]
    assert tried[0] == {"form": {"quantize": "static_int8"}, "valid": 0.89, "bytes": 100, "reason": "it loses 3 %"}


def test_where_none_is_the_one_that_lost_least_is_taken() -> None:
    losses = [0.80, 0.84, 0.86, 0.85, 0.70]
    attempts = Attempts(*(result("worse", valid=v) for v in losses), result("it cannot be built", valid=None))
    rung, tried = climbed(NETWORK, attempts, FACTS, until=ahead())
    assert rung == NETWORK[2]
    assert len(tried) == len(NETWORK)
    assert "valid" not in tried[-1]


def test_a_twin_that_is_better_and_only_not_smaller_lost_nothing() -> None:
    attempts = Attempts(result("it loses", valid=0.88), *(result("not smaller", valid=0.99) for _ in NETWORK[1:]))
    assert climbed(NETWORK, attempts, FACTS, until=ahead())[0] == NETWORK[1]


def test_it_stops_climbing_when_the_time_is_over() -> None:
    attempts = Attempts(*(result("worse") for _ in NETWORK), takes_s=0.05)
    _, tried = climbed(NETWORK, attempts, FACTS, until=ahead(0.12))
    assert 1 <= len(tried) <= 2


def test_an_only_rung_is_not_tried_beforehand() -> None:
    assert climbed(NETWORK[:1], Attempts(), FACTS, until=ahead()) == (NETWORK[0], ())
    assert climbed((), Attempts(), FACTS, until=ahead()) == (None, ())
