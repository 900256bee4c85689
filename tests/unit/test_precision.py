"""Precision: products really run in the format named, and weights stay float32."""

import pytest
import torch
from support_network import Reports, context, facts_of, run, task

from autoopt.strategies.learning.precision import Precision
from autoopt.strategies.learning.training_loop import Plan, fit, settled
from autoopt.strategies.networks.mlp import MLP
from autoopt.task.facts import Kind
from autoopt.values import Slot

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32}


@pytest.mark.parametrize("name", DTYPES)
def test_products_of_training_run_in_it_and_those_of_scoring_in_float32(name: str) -> None:
    data = task(Kind.BINARY)
    where = context({"precision": name}, features="bf16 fp16")
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    with settled(where.slot, 1) as device:
        network = MLP(width=16).build(data)
        network.blocks[0].inner.register_forward_hook(lambda module, _, output: seen[module.training].add(output.dtype))
        plan = Plan.from_recipe(where.recipe, epochs=2, patience=5, seed=1)
        fit(network, MLP().source(data, where, device), MLP().judge(data, device), plan, Reports())
    assert seen == {True: {DTYPES[name]}, False: {torch.float32}}
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_graph_is_still_the_trained_network(name: str) -> None:
    data = task(Kind.REGRESSION, embed=True)
    trained = MLP(width=16, epochs=2).train(data, context({"precision": name}))
    found = run(trained.artifact.graph(), data.valid)
    assert abs(found / trained.valid_scores - 1).max() < 1e-5


def test_only_fp16_scales_the_loss() -> None:
    assert {name: Precision(format=name).scaler("cpu").is_enabled() for name in DTYPES} == {
        "fp32": False,
        "bf16": False,
        "fp16": True,
        "tf32": False,
    }


@pytest.mark.parametrize("name", DTYPES)
def test_only_tf32_rounds_products_of_float32_and_only_in_training(name: str) -> None:
    """NVIDIA's switches: their effect needs such a card, their state does not."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [switch.fp32_precision for switch in switches]
    with Precision(format=name).products():
        assert {switch.fp32_precision for switch in switches} == {"tf32" if name == "tf32" else "ieee"}
    assert [switch.fp32_precision for switch in switches] == before


def test_tf32_is_for_the_cards_that_have_it() -> None:
    def refused(slot: Slot) -> bool:
        return Precision.value_applies("tf32", facts_of(Kind.BINARY, 2), slot) is not None

    assert not refused(Slot(index=0, device="cuda", features=frozenset({"fp16", "bf16"})))
    assert refused(Slot(index=0, device="cuda", features=frozenset({"fp16"})))
    assert refused(Slot(index=0, device="cpu", features=frozenset({"fp16", "bf16"})))


@pytest.mark.parametrize(
    ("features", "refused"), [("", {"bf16", "fp16", "tf32"}), ("bf16", {"fp16", "tf32"}), ("bf16 fp16", {"tf32"})]
)
def test_formats_that_the_device_lacks_are_refused_with_the_reason(features: str, refused: set[str]) -> None:
    slot = Slot(index=0, features=frozenset(features.split()))
    reasons = {name: Precision.value_applies(name, facts_of(Kind.BINARY, 2), slot) for name in DTYPES}
    assert {name for name, reason in reasons.items() if reason is not None} == refused
    assert all(name in str(reasons[name]) and "cpu" in str(reasons[name]) for name in refused)
