"""What crosses the border of a worker survives JSON, and the entry points are where their names say."""

import importlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoopt.stages.contract import (
    EVALUATE_ENTRY,
    REMEASURE_ENTRY,
    SELECT_ENTRY,
    VERIFY_ENTRY,
    EvaluateJob,
    EvaluateResult,
    RemeasureJob,
    SelectJob,
    SelectResult,
    StageRun,
    VerifyJob,
)
from autoopt.values import MEASURE_UNITS, Measurement

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MEASUREMENTS = st.builds(
    Measurement,
    value=NUMBERS,
    low=st.none() | NUMBERS,
    high=st.none() | NUMBERS,
    provisional=st.booleans(),
)
RUNS = st.builds(
    StageRun,
    name=st.sampled_from(["prepare", "train", "deploy", "measure"]),
    key=st.text(),
    hit=st.booleans(),
    seconds=NUMBERS,
    size_bytes=st.integers(min_value=0),
)


def _through_json(raw: Any) -> Any:
    return json.loads(json.dumps(raw, allow_nan=False))


@given(
    result=st.builds(
        EvaluateResult,
        measures=st.dictionaries(st.sampled_from(sorted(MEASURE_UNITS)), MEASUREMENTS),
        infeasible=st.text(),
        artifact_key=st.text(),
        artifact_sha256=st.text(),
        stages=st.lists(RUNS, max_size=4).map(tuple),
        notes=st.lists(st.text(), max_size=3).map(tuple),
    )
)
def test_an_evaluation_survives_json(result: EvaluateResult) -> None:
    assert EvaluateResult.from_json(_through_json(result.to_json())) == result


@pytest.mark.parametrize(
    "job",
    [
        EvaluateJob(snapshot="s", store="t", recipe={"model": "linear"}, seed=1, limits=("size_bytes<=1MB",)),
        RemeasureJob(snapshot="s", store="t", artifact_keys=("a", "b"), seconds=1.0),
        SelectJob(snapshot="s", store="t", candidates=((3, "a"), (15, "b")), most_members=(5, 2), seed=1),
        VerifyJob(snapshot="s", store="t", float_recipe={}, twin_recipe=None, seed=1, tolerance=0.01, seconds=1.0),
    ],
)
def test_a_job_can_be_made_from_its_json(job: Any) -> None:
    again = type(job)(**_through_json(job.to_json()))
    assert _through_json(again.to_json()) == _through_json(job.to_json())


def test_a_selection_survives_json() -> None:
    found = SelectResult(
        selections=({3: 1, 15: 2}, {3: 1}), reason="", single=0.9, together=0.91, gain=0.01, spread=0.02
    )
    assert SelectResult.from_json(_through_json(found.to_json())) == found


@pytest.mark.parametrize("entry", [EVALUATE_ENTRY, REMEASURE_ENTRY, SELECT_ENTRY, VERIFY_ENTRY])
def test_an_entry_point_is_where_its_name_says(entry: str) -> None:
    module, function = entry.split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_contract_alone_imports_nothing_heavy() -> None:
    """The orchestrator reads it; what the stages work with is imported in workers."""
    import subprocess
    import sys

    code = "import sys, autoopt.stages.contract; print([m for m in ('sklearn', 'onnx', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
