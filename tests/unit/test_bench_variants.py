"""The variants of the strategies' bench: each is a recipe that the catalogue knows."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from support_cli import ROOT

from autoopt.strategies import catalogue


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "bench"))
    yield importlib.import_module("strategies")
    for name in ("strategies", "common"):
        sys.modules.pop(name, None)


def test_every_variant_changes_fields_that_are_there_to_values_that_are_possible(bench: ModuleType) -> None:
    declared = catalogue().declarations
    for name, changes in {"base": bench.BASE, **bench.VARIANTS}.items():
        for field, value in changes.items():
            assert declared[field].domain.contains(value), (name, field, value)
        recipe = bench.known({**bench.BASE, **changes})
        assert changes.keys() <= recipe.keys() or name == "base", (name, changes.keys() - recipe.keys())


def test_a_run_is_compared_with_the_bases_beside_it(bench: ModuleType) -> None:
    speeds = {"base": [10.0, 20.0, 40.0]}
    runs = [bench.Run(name="base", samples_per_s=s) for s in speeds["base"]]
    variant, failed = bench.Run(name="a", samples_per_s=1.0), bench.Run(name="base", failed="why")
    order = [runs[0], variant, runs[1], variant, failed, runs[2]]
    assert [b.samples_per_s for b in bench.bases_beside(order, 1)] == [10.0, 20.0]
    assert [b.samples_per_s for b in bench.bases_beside(order, 3)] == [20.0, 40.0]
    assert [b.samples_per_s for b in bench.bases_beside(order, 2)] == [20.0, 20.0]
