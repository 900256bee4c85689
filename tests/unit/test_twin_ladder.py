"""The ladder of twins: who is tried, in which order, and when it ends."""

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
from support_network import facts_of

from autoopt.app.twin_ladder import (
    CLIMBS,
    SMALLER,
    TAUGHT,
    TRIMS,
    climbed,
    entered,
    fitting,
    rungs_of,
    safer,
    why_none_fits,
)
from autoopt.report.wording import form_words
from autoopt.space import Recipe, Value
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.strategies.shrinking import prune
from autoopt.task.facts import Kind, ModuleFacts
from autoopt.values import Measurement, Slot

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
    latency={"batch_1": {"p50_ms": 0.02}},
    parity={},
)
TOLERANCE = 0.02
LOST, KEPT = 0.8, 0.9
"""Quality that is more than the tolerance below the float artifact's, and the same."""


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
HALF, TWO_THIRDS = ({**smaller, **TAUGHT} for smaller in SMALLER)


def found(attempts: Attempts, seconds: float = 60.0) -> tuple[Mapping[str, Value] | None, list[str]]:
    """The rung that the climb ends at, and the forms that were tried."""
    rung, tried = climbed(NETWORK, attempts, FACTS, TOLERANCE, until=ahead(seconds))
    assert [t["form"] for t in tried] == [dict(rung) for rung in attempts.asked]
    return rung, [str(t["form"]["quantize"]) for t in tried]


def test_networks_climb_from_plain_static_to_a_smaller_network_and_then_to_dynamic_and_half_precision() -> None:
    climbs = [*({"quantize": "static_int8", **climb} for climb in CLIMBS), HALF, TWO_THIRDS]
    halves = [{"quantize": "fp16"}, {"quantize": "bf16"}]
    assert list(NETWORK) == [{"quantize": "static_int8"}, *climbs, {"quantize": "dynamic_int8"}, *halves]
    convolutions = rungs_of(Recipe({"model": "residual_net"}))
    assert list(convolutions) == [{"quantize": "static_int8"}, *climbs, *halves], "dynamic ranges do not serve these"


def test_trees_are_trimmed_less_and_less_before_the_form_that_loses_nothing() -> None:
    *trims, safest = rungs_of(Recipe({"model": "lightgbm"}))
    changes = [rung["quantize.score_change"] for rung in trims]
    assert changes == sorted(changes, reverse=True)
    assert all(rung["quantize"] == "trimmed" for rung in trims)
    assert safest == {"quantize": "compact"}
    attempts = Attempts(result("it loses", valid=0.8), result(""), takes_s=0.05)
    rung, _ = climbed((*trims, safest), attempts, FACTS, TOLERANCE, until=ahead(0.06))
    assert rung == safest, "there is no time for more than the safest"


def test_a_graph_that_came_trained_may_hold_trees_or_a_network_and_has_the_rungs_of_both() -> None:
    rungs = rungs_of(Recipe({"model": "brought"}))
    assert rungs[: len(TRIMS) + 1] == rungs_of(Recipe({"model": "lightgbm"}))
    assert rungs[len(TRIMS) + 1 :] == tuple(rung for rung in NETWORK if "prune" not in rung)


def test_linear_models_have_no_rungs_to_climb() -> None:
    assert rungs_of(Recipe({"model": "linear"})) == ()


def test_what_a_recipe_is_deployed_as_is_its_only_twin() -> None:
    recipe = Recipe({"model": "mlp", "quantize": "dynamic_int8"})
    assert rungs_of(recipe) == ({"quantize": "dynamic_int8"},)


def test_the_first_that_is_as_promised_ends_it() -> None:
    attempts = Attempts(result("The quantized twin is not as promised: it loses.", valid=LOST), result("", valid=KEPT))
    rung, tried = climbed(NETWORK, attempts, FACTS, TOLERANCE, until=ahead())
    assert rung == NETWORK[1]
    assert attempts.asked == list(NETWORK[:2])
    assert tried[0] == {
        "form": {"quantize": "static_int8"},
        "valid": LOST,
        "bytes": 100,
        "latency_ms": 0.02,
        "reason": "it loses.",
    }
    assert tried[1]["reason"] == ""


def test_where_none_is_as_promised_there_is_none() -> None:
    attempts = Attempts(*(result("it loses", valid=LOST) for _ in NETWORK[1:]), result("no graph", valid=None))
    rung, forms = found(attempts)
    assert rung is None
    assert len(forms) == len(NETWORK)


def test_what_mends_a_loss_is_left_out_where_nothing_was_lost() -> None:
    attempts = Attempts(*(result("it is slower", valid=KEPT) for _ in range(3)))
    assert found(attempts) == (None, ["static_int8", "dynamic_int8", "fp16"])


def test_what_cannot_be_built_is_not_mended_either() -> None:
    attempts = Attempts(result("no graph", valid=None), result("no graph", valid=None), result("", valid=KEPT))
    assert found(attempts) == ({"quantize": "fp16"}, ["static_int8", "dynamic_int8", "fp16"])


def test_where_the_time_gets_short_the_safest_is_tried_and_no_other() -> None:
    attempts = Attempts(result("it loses", valid=LOST), result("", valid=KEPT), takes_s=0.05)
    assert found(attempts, seconds=0.12) == ({"quantize": "fp16"}, ["static_int8", "fp16"])
    attempts = Attempts(result("it loses", valid=LOST), result("it loses", valid=LOST), takes_s=0.05)
    assert found(attempts, seconds=0.12) == (None, ["static_int8", "fp16"])
    assert safer([{"quantize": "dynamic_int8"}, {"quantize": "bf16"}]) == []


def test_the_last_word_on_a_rung_takes_the_place_of_its_attempt() -> None:
    first = {"form": {"quantize": "static_int8"}, "reason": ""}
    other = {"form": {"quantize": "fp16"}, "reason": "x"}
    (kept, last) = entered([first, other], NETWORK[0], result("it is slower"))
    assert kept == other
    assert (last["form"], last["reason"]) == (first["form"], "it is slower")
    assert entered([first], None, result()) == (first,)


def test_a_form_that_could_not_be_built_says_nothing_of_a_loss() -> None:
    hurried, kept, lost = (result("", valid=None), result("", valid=KEPT), result("it loses", valid=LOST))
    results = [hurried if "qat" in rung else kept if rung == HALF else lost for rung in NETWORK]
    rung, _ = climbed(NETWORK, Attempts(*results), FACTS, TOLERANCE, until=ahead())
    assert rung == HALF


def test_where_there_are_no_more_layers_none_more_is_asked_for_in_float() -> None:
    every_one = replace(result(valid=None), twin_reason="it has 2 products: none would be in int8")
    most = 2
    asked = [rung for rung in NETWORK if int(rung.get("quantize.keep_float", 0)) <= most]
    lost = result("it loses", valid=LOST)
    attempts = Attempts(*(every_one if rung.get("quantize.keep_float") == most else lost for rung in asked))
    climbed(NETWORK, attempts, FACTS, TOLERANCE, until=ahead())
    assert attempts.asked == asked


def test_where_layers_in_float_keep_quality_and_nothing_is_smaller_it_goes_on_to_what_learns() -> None:
    as_large, lost, kept = (result("as large", valid=KEPT), result("it loses", valid=LOST), result("", valid=KEPT))
    tried = [rung for rung in NETWORK[: NETWORK.index(HALF)] if rung.get("quantize.keep_float", 0) not in (2, 4)]
    attempts = Attempts(*(as_large if "quantize.keep_float" in rung else lost for rung in tried), kept)
    rung, _ = climbed(NETWORK, attempts, FACTS, TOLERANCE, until=ahead())
    assert (rung, attempts.asked) == (HALF, [*tried, HALF])


def test_what_learns_for_epochs_gets_more_of_the_time() -> None:
    given: dict[str, float] = {}

    def attempt(changes: Mapping[str, Value], seconds: float) -> VerifyResult:
        given[form_words(changes)] = seconds
        return result("it loses", valid=LOST)

    climbed(NETWORK, attempt, FACTS, TOLERANCE, until=ahead())
    assert given["fp16, pruned 0.5, taught"] > 1.5 * given["static_int8, qat"]


def test_a_smaller_network_is_cut_out_of_whole_networks_where_that_can_be_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for recipe in ({"model": "mlp", "prune": "channels"}, {"model": "brought"}):
        assert not any("prune" in rung for rung in rungs_of(Recipe(recipe)))
    assert [r for r in rungs_of(Recipe({"model": "mlp"}), classifies=False) if "prune" in r] == list(SMALLER)
    assert fitting(NETWORK, FACTS, Slot(index=0)) == NETWORK
    monkeypatch.setattr(prune.importlib.util, "find_spec", lambda name: None)
    assert fitting(NETWORK, FACTS, Slot(index=0)) == tuple(rung for rung in NETWORK if "prune" not in rung)


def test_an_only_rung_is_not_tried_beforehand() -> None:
    assert climbed(NETWORK[:1], Attempts(), FACTS, TOLERANCE, until=ahead()) == (NETWORK[0], ())
    assert climbed((), Attempts(), FACTS, TOLERANCE, until=ahead()) == (None, ())


def test_where_no_form_fits_the_task_each_reason_is_told_once() -> None:
    untraced = ModuleFacts(files={}, loss="own", output="logits", choices={}, held=True, untraceable="it asks a clock")
    own, slot = replace(FACTS, module_facts=untraced), Slot(index=0)
    rungs = rungs_of(Recipe({"model": "module"}))
    assert rungs
    assert fitting(rungs, own, slot) == ()
    assert why_none_fits(rungs, own, slot) == "torch.export cannot trace the module: it asks a clock"
    assert why_none_fits(rungs, FACTS, slot) == ""
    assert why_none_fits((), own, slot) == ""
