"""torch.compile: training steps run in compiled code, scoring does not, and the result is the same."""

import importlib.util
from pathlib import Path

import pytest
import torch
from support_learning import judge_of, perceptron, plan_of, source_of
from support_network import Reports, facts_of
from torch import nn

from autoopt.strategies.learning import compile as compiling
from autoopt.strategies.learning.compile import Compile
from autoopt.strategies.learning.training_loop import fit
from autoopt.task.facts import Kind
from autoopt.values import DeviceKind, Slot

FACTS = facts_of(Kind.BINARY, 2)


@pytest.mark.slow
@pytest.mark.skipif(compiling.missing("cpu") is not None, reason="no C++ compiler")
def test_steps_are_compiled_and_come_to_the_same() -> None:
    def trained(mode: str, rows: int) -> nn.Module:
        network = perceptron()
        fit(network, source_of(4, rows=rows), judge_of(4), plan_of({"compile": mode}), Reports())
        return network

    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    plain, compiled = trained("none", 90), trained("default", 90)  # the last batch is smaller
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_none_is_the_network_itself() -> None:
    network = perceptron()
    assert Compile(mode="none").forward(network) is network


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    slot = Slot(index=0)
    assert Compile.value_applies("none", FACTS, slot) is None
    for mode in ("default", "max_autotune"):
        assert "C++ compiler" in str(Compile.value_applies(mode, FACTS, slot))
    named = tmp_path / "my-compiler"
    named.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(named))
    assert Compile.value_applies("default", FACTS, slot) is None


@pytest.mark.parametrize("device", ["cuda", "xpu"])
def test_on_a_gpu_it_needs_triton(device: DeviceKind) -> None:
    there = importlib.util.find_spec("triton") is not None
    reason = Compile.value_applies("default", FACTS, Slot(index=0, device=device))
    assert (reason is None) == there
    assert there or "triton" in str(reason)
