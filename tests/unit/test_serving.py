"""How a graph is run: as a value, as a manifest's entry, and where its runtime is not installed."""

import json
import logging
import os
from typing import Any

import numpy as np
import pytest
from test_runtime_session import two_class_graph

from autoopt.app.targets import runtime_rows, runtimes_for, targets_problems
from autoopt.errors import BundleError
from autoopt.report.serving import served_words
from autoopt.runtime import Serving, served
from autoopt.runtime.engines import ENGINES
from autoopt.runtime.fastest import NO_TIME
from autoopt.runtime.serve import tell_once

ABSENT = [e for e in ENGINES if e.absence]
ROW = {"x": np.zeros((1, 1))}


@pytest.mark.parametrize(
    "serving", [Serving(), Serving(runtime="openvino", threads=3), Serving(graph="basic", arena=False)], ids=str
)
def test_it_comes_back_from_json(serving: Serving) -> None:
    raw = {**json.loads(json.dumps(serving.to_json())), "ms_1": 0.25, "tried": []}
    assert Serving.parse(raw) == serving


def test_an_older_bundle_is_run_plainly() -> None:
    assert Serving.parse({}) == Serving()
    assert Serving.parse({}).plain


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "onnxruntime",
        {"threads": 0},
        {"threads": True},
        {"threads": "2"},
        {"threads": 10**9},
        {"graph": "most"},
        {"graph": []},
        {"arena": 1},
        {"runtime": 3},
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused(raw: Any) -> None:
    with pytest.raises(BundleError, match="Export again"):
        Serving.parse(raw, where="the bundle")


def test_no_more_threads_than_cores() -> None:
    assert Serving(threads=1000).here().threads == len(os.sched_getaffinity(0))
    assert Serving(threads=1).here() == Serving()


def test_words() -> None:
    assert Serving().words == "onnxruntime, one thread"
    assert Serving(threads=2, graph="basic", arena=False).words == "onnxruntime, 2 threads, graph level basic, no arena"


@pytest.mark.parametrize("runtime", [*(e.name for e in ABSENT), "elsewhere"])
def test_without_its_runtime_a_graph_is_run_plainly_and_that_is_told_once(
    runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="autoopt"):
        found = [served(two_class_graph(), Serving(runtime=runtime)) for _ in range(2)]
    assert [f.serving for f in found] == [Serving(), Serving()]
    assert found[0].runner.run(ROW).tolist() == [[0.5, 0.5]]
    assert [r.getMessage() for r in caplog.records] == [found[0].note]
    assert runtime in found[0].note
    assert "onnxruntime runs it" in found[0].note


def test_a_runtime_that_does_not_get_through_the_first_rows_is_not_believed() -> None:
    here = [e for e in ENGINES if not e.absence and e.name != "onnxruntime"]
    if not here:
        pytest.skip("onnxruntime on the CPU is the only runtime here")
    found = served(two_class_graph(), Serving(runtime=here[0].name), first={"x": np.zeros((1, 7))})
    assert found.serving == Serving()
    assert "did not run" in found.note


def test_targets_are_checked_all_at_once() -> None:
    problems = targets_problems(["onnxruntime", "tflite", *(e.name for e in ABSENT)])
    assert "'tflite' is no runtime" in problems[0].what
    assert [p.mend for p in problems[1:]] == [f"{e.install}; or leave it out of --targets." for e in ABSENT]
    assert len(targets_problems([])) == 1
    assert targets_problems(None) == targets_problems(["onnxruntime"]) == []


def test_without_targets_those_that_are_here_may_be_chosen() -> None:
    assert runtimes_for(None)[0] == "onnxruntime"
    assert not {e.name for e in ABSENT} & set(runtimes_for(None))
    assert runtimes_for(("openvino",)) == ("openvino",)


def test_doctor_tells_of_runtimes_and_how_to_get_what_a_device_could_have() -> None:
    rows = [text for _, text in runtime_rows(["cuda"])]
    assert rows[0].startswith("onnxruntime ")
    assert rows[1:] == [f"{e.name} to serve bundles (--targets): {e.install}" for e in ABSENT]
    assert not any("onnxruntime-gpu" in text for _, text in runtime_rows([]))


def test_the_line_on_the_screen() -> None:
    measured = {"ms_1": 0.1, "ms_batch": 2.0, "batch_rows": 256, "gain_1": 0.99, "gain_batch": 1.7}
    tried = [{**Serving(threads=2).to_json(), "taken": True, "gain_1": 1.0, "gain_batch": 1.7, "reason": ""}]
    raw = {**Serving(threads=2).to_json(), **measured, "tried": tried}
    assert served_words({"serving": raw}) == (
        "served by onnxruntime, 2 threads: 0.99 times as fast as onnxruntime, one thread, at 256 rows 1.70"
    )
    plain = {**raw, **Serving().to_json()}
    assert served_words({"serving": plain}) == "served by onnxruntime, one thread; one other way was not faster"
    late = {**plain, "tried": [*tried, {**Serving(threads=4).to_json(), "taken": False, "reason": NO_TIME}]}
    assert served_words({"serving": late}).endswith("; one other way was not faster; no time was left for 1")
    assert served_words({}) == ""
