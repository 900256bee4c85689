"""The probe of how a graph runs fastest takes what is faster and gives the same scores, and nothing else."""

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from test_runtime_session import two_class_graph

from autoopt.errors import BundleError
from autoopt.runtime import Runner, Serving, Session
from autoopt.runtime import engines as known
from autoopt.runtime import fastest as probing
from autoopt.runtime.engines.base import Engine, thread_counts
from autoopt.runtime.fastest import Fastest, Rows, fastest, fitting_rows

ROWS = Rows(single=[{"x": np.zeros((1, 1))}], batch=[{"x": np.zeros((32, 1))}])


class Waiting:
    """Takes so many milliseconds for a call."""

    def __init__(self, milliseconds: Callable[[int], float]) -> None:
        self._milliseconds = milliseconds
        self._session = Session(two_class_graph())

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        time.sleep(self._milliseconds(len(feed["x"])) / 1000)
        return self._session.run(feed)


class Patient(Engine):
    """A runtime that hangs on its threads as `took_ms` says, of threads and rows."""

    name: ClassVar[str] = "onnxruntime"  # in the place of the real one
    distribution: ClassVar[str] = "onnxruntime"
    install: ClassVar[str] = ""

    def __init__(self, took_ms: Callable[[int, int], float]) -> None:
        self._took_ms = took_ms

    def options(self, cores: int) -> Mapping[str, tuple[Any, ...]]:
        return {"threads": thread_counts(cores)}

    def load(self, content: bytes, serving: Serving, *, where: str = "the graph") -> Runner:
        return Waiting(lambda rows: self._took_ms(serving.threads, rows))


def settled(
    monkeypatch: pytest.MonkeyPatch, took_ms: Callable[[int, int], float], refused: str = "", **changes: Any
) -> Fastest:
    monkeypatch.setattr(probing, "engine", lambda name: Patient(took_ms) if name == "onnxruntime" else None)
    options: dict[str, Any] = {"runtimes": ("onnxruntime",), "cores": 4, "seconds": 0.8, **changes}
    return fastest(b"", ROWS, lambda runner: refused, **options)


def test_what_is_faster_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, lambda threads, rows: 3 / threads, seconds=1.2)
    assert found.serving == Serving(threads=4)
    assert [t.taken for t in found.tried] == [True, True]
    assert found.single_gain > 1
    assert found.batch_gain > 1
    assert found.to_json()["threads"] == 4


@pytest.mark.parametrize(
    "took_ms",
    [lambda threads, rows: threads, lambda threads, rows: threads if rows == 1 else 4 / threads],
    ids=["slower", "slower at one row, faster at a batch"],
)
def test_what_is_slower_anywhere_never_is(
    monkeypatch: pytest.MonkeyPatch, took_ms: Callable[[int, int], float]
) -> None:
    found = settled(monkeypatch, took_ms)
    assert found.serving == Serving()
    assert (found.single_gain, found.batch_gain) == (1.0, 1.0)
    assert {t.serving.threads for t in found.tried} == {2, 4}
    assert not any(t.taken for t in found.tried)


def test_other_scores_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, lambda threads, rows: 4 / threads, "its scores differ")
    assert found.serving == Serving()
    assert {t.reason for t in found.tried} == {"its scores differ"}


def test_without_time_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, lambda threads, rows: 4 / threads, seconds=0.0)
    assert found.serving == Serving()
    assert {t.reason for t in found.tried} == {"no time was left"}


def test_it_begins_with_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, lambda threads, rows: threads, start=Serving(threads=2), cores=2)
    assert found.serving == Serving(threads=1)
    assert found.single_gain > 1


def test_the_only_runtime_that_was_asked_for_need_not_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    real = {e.name: e for e in known.ENGINES}
    slow = Patient(lambda threads, rows: 2)
    monkeypatch.setattr(probing, "engine", lambda name: slow if name == "slow" else real[name])
    found = fastest(two_class_graph(), ROWS, lambda runner: "", runtimes=("slow",), cores=1, seconds=0.2)
    assert found.serving.runtime == "slow"
    assert found.single_gain < 1


def test_a_real_graph_keeps_its_scores_whatever_is_chosen() -> None:
    names = tuple(e.name for e in known.ENGINES if not e.absence)
    found = fastest(two_class_graph(), ROWS, lambda runner: "", runtimes=names, cores=2, seconds=0.6)
    assert {t.serving.runtime for t in found.tried} == set(names)
    chosen = known.engine(found.serving.runtime)
    assert chosen is not None
    assert chosen.load(two_class_graph(), found.serving).run(ROWS.single[0]).tolist() == [[0.5, 0.5]]


def test_an_unknown_runtime_is_no_candidate() -> None:
    found = fastest(two_class_graph(), ROWS, lambda runner: "", runtimes=("elsewhere",), cores=1, seconds=0.2)
    assert found.serving == Serving()
    assert "elsewhere" in found.tried[0].reason
    with pytest.raises(BundleError):
        fastest(b"no graph", ROWS, lambda runner: "", runtimes=("onnxruntime",), cores=1, seconds=0.1)


def test_a_batch_is_cut_to_what_a_call_may_take() -> None:
    assert fitting_rows(Waiting(lambda rows: rows), ROWS.batch[0]) < 32
    assert fitting_rows(Waiting(lambda rows: 200), ROWS.single[0]) == 1
    assert fitting_rows(Session(two_class_graph()), ROWS.batch[0]) == 32
