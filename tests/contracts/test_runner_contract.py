"""Every runtime that is here gives the plain session's scores, and refuses what does not fit, as a session does."""

import ctypes
import sys
import threading
from typing import Any

import numpy as np
import onnx
import pytest

from autoopt.errors import BundleError
from autoopt.runtime import Runner, Serving, Session
from autoopt.runtime.engines import ENGINES, Engine, engine
from autoopt.runtime.engines.signal_stack import SignalStack
from autoopt.strategies.graph import GraphBuilder

HERE = [e for e in ENGINES if not e.absence]
ABSENT = [e for e in ENGINES if e.absence]


def network_graph() -> bytes:
    """Pixels and a column with gaps → two classes."""
    draw = np.random.default_rng(5)
    graph = GraphBuilder("small")
    pixels = graph.add("Cast", graph.input("pixels", np.uint8, ("rows", 4, 4, 3)), to=onnx.TensorProto.FLOAT)
    age = graph.add("Cast", graph.input("age in years", np.float64, ("rows", 1)), to=onnx.TensorProto.FLOAT)
    filled = graph.add("Where", graph.add("IsNaN", age), graph.constant(40.0, np.float32), age)
    both = graph.add("Concat", graph.add("Flatten", pixels, axis=1), filled, axis=1)
    weights = graph.constant(draw.normal(size=(49, 2)) / 200, np.float32)
    graph.output("scores", graph.add("Softmax", graph.add("MatMul", both, weights), axis=1), np.float32, ("rows", 2))
    return graph.build().SerializeToString()


def text_graph() -> bytes:
    """1 for 'yes', 0 for other texts."""
    graph = GraphBuilder("texts")
    word = graph.input("word", np.str_, ("rows", 1))
    said = graph.ml("LabelEncoder", word, keys_strings=["yes"], values_floats=[1.0], default_float=0.0)
    graph.output("scores", said, np.float32, ("rows", 1))
    return graph.build().SerializeToString()


def feed(rows: int) -> dict[str, Any]:
    draw = np.random.default_rng(rows)
    age = draw.normal(40, 9, (rows, 1))
    age[::3] = np.nan
    return {"pixels": draw.integers(0, 256, (rows, 4, 4, 3), dtype=np.uint8), "age in years": age}


@pytest.fixture(params=HERE, ids=lambda e: e.name)
def here(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture
def runner(here: Engine) -> Runner:
    return here.load(network_graph(), Serving(runtime=here.name))


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_scores_are_the_plain_sessions(runner: Runner, rows: int) -> None:
    expected, found = Session(network_graph()).run(feed(rows)), runner.run(feed(rows))
    assert (found.shape, found.dtype) == ((rows, 2), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_they_are_so_with_every_option(here: Engine) -> None:
    expected = Session(network_graph()).run(feed(5))
    for field, values in here.options(2).items():
        for value in values:
            runner = here.load(network_graph(), Serving(runtime=here.name, **{field: value}))
            np.testing.assert_allclose(runner.run(feed(5)), expected, atol=1e-6)


def test_slices_of_larger_arrays_are_fed_as_they_lie(runner: Runner) -> None:
    whole = feed(9)
    np.testing.assert_allclose(
        runner.run({name: values[::2] for name, values in whole.items()}), runner.run(whole)[::2], atol=1e-6
    )


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"pixels": feed(2)["pixels"]},
        {**feed(2), "other": np.zeros((2, 1))},
        {**feed(2), "age in years": np.zeros((2, 1), dtype=np.float32)},
        {**feed(2), "pixels": np.zeros((2, 4, 4, 1), dtype=np.uint8)},
    ],
    ids=["nothing", "one absent", "one more", "another type", "another shape"],
)
def test_what_does_not_fit_is_refused(runner: Runner, bad: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="the graph did not run on these inputs: "):
        runner.run(bad)


def test_threads_may_share_a_runner(runner: Runner) -> None:
    found: dict[int, Any] = {}

    def score(rows: int) -> None:
        for _ in range(20):
            found[rows] = runner.run(feed(rows))

    callers = [threading.Thread(target=score, args=(rows,)) for rows in (1, 2, 3, 4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for rows, scores in found.items():
        np.testing.assert_allclose(scores, Session(network_graph()).run(feed(rows)), atol=1e-6)


def test_texts_are_scored_or_refused_in_words(here: Engine) -> None:
    if here.name == "openvino":
        with pytest.raises(BundleError, match="the graph cannot be run by OpenVINO: "):
            here.load(text_graph(), Serving(runtime=here.name))
        return
    words = {"word": np.array([["yes"], ["no"]], dtype=object)}
    assert here.load(text_graph(), Serving(runtime=here.name)).run(words).tolist() == [[1.0], [0.0]]


def test_what_is_no_graph_is_refused(here: Engine) -> None:
    with pytest.raises(BundleError):
        here.load(b"\x00\x01\x02", Serving(runtime=here.name))


@pytest.mark.parametrize("absent", ABSENT, ids=lambda e: e.name)
def test_one_that_is_absent_says_how_to_get_it(absent: Engine) -> None:
    with pytest.raises(BundleError, match=rf"{absent.name} is not installed: pip .*install"):
        absent.load(network_graph(), Serving(runtime=absent.name))


def test_names_are_unique_and_found() -> None:
    assert [engine(e.name) for e in ENGINES] == list(ENGINES)
    assert engine("elsewhere") is None


@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack as Linux lays it out")
def test_signal_handlers_keep_their_stack(here: Engine) -> None:
    """A library that leaves its own behind, and its memory gone, kills the process at the next signal."""

    def stack() -> tuple[int | None, int, int]:
        found = SignalStack()
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
        return found.address, found.flags, found.size_bytes

    before = stack()
    here.load(network_graph(), Serving(runtime=here.name)).run(feed(3))
    assert stack() == before
