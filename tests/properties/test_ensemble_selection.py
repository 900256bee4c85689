"""Greedy selection: properties over made-up scores."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoopt.stages.greedy import Gain, Judge, gain, greedy, judge_of, mean_scores
from autoopt.task.facts import Kind, Modality, TaskFacts

ROWS = 24


def facts_of(kind: Kind, metric: str, direction: str) -> TaskFacts:
    classes = ("a", "b", "c") if kind is Kind.MULTICLASS else ("a", "b") if kind is Kind.BINARY else ()
    return TaskFacts(
        name="made",
        modality=Modality.TABULAR,
        kind=kind,
        target="y",
        classes=classes,
        numeric_classes=False,
        metric=metric,
        metric_direction=direction,  # type: ignore[arg-type]  # one of both
        rows={"valid": ROWS},
        columns=(),
        fingerprint="0" * 64,
    )


TASKS = [
    facts_of(Kind.MULTICLASS, "accuracy", "maximize"),
    facts_of(Kind.BINARY, "roc_auc", "maximize"),
    facts_of(Kind.BINARY, "log_loss", "minimize"),
    facts_of(Kind.REGRESSION, "rmse", "minimize"),
]
Drawn = tuple[TaskFacts, list[NDArray[np.float64]], NDArray[np.int64] | NDArray[np.float64]]


@st.composite
def candidates(draw: st.DrawFn) -> Drawn:
    """A task, some models' scores and the target; some models equal."""
    facts = draw(st.sampled_from(TASKS))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = max(len(facts.classes), 1)
    models = [chance.random((ROWS, width)) for _ in range(draw(st.integers(1, 6)))]
    models += [models[0]] * draw(st.integers(0, 1))
    if not facts.kind.classifies:
        return facts, models, chance.random(ROWS)
    target = np.arange(ROWS) % width
    return facts, [m / m.sum(axis=1, keepdims=True) for m in models], chance.permutation(target)


def chosen(drawn: Drawn, most: int) -> tuple[Judge, NDArray[np.int64]]:
    facts, scores, target = drawn
    judge = judge_of(facts, target)
    return judge, greedy(scores, judge, most=most)


@given(candidates(), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_never_worse_than_the_best_single_one_where_it_was_chosen(drawn: Drawn, most: int) -> None:
    judge, counts = chosen(drawn, most)
    best = max(judge(s)[0] for s in drawn[1])
    assert judge(mean_scores(drawn[1], counts))[0] >= best - 1e-9


@given(candidates(), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_weights_are_shares_of_at_most_so_many(drawn: Drawn, most: int) -> None:
    _, counts = chosen(drawn, most)
    assert counts.min() >= 0
    assert 1 <= np.count_nonzero(counts) <= most
    assert math.isclose((counts / counts.sum()).sum(), 1.0)


@given(candidates(), st.integers(2, 5), st.lists(st.floats(0.0, 0.9), min_size=14, max_size=14))
@settings(max_examples=30, deadline=None)
def test_members_take_no_more_of_a_limit_than_there_is(drawn: Drawn, most: int, taken: list[float]) -> None:
    facts, scores, target = drawn
    judge, shares = judge_of(facts, target), np.array(taken).reshape(-1, 2)[: len(scores)]
    counts = greedy(scores, judge, most=most, shares=shares)
    assert (shares[counts > 0].sum(axis=0) <= 1.0 + 1e-12).all()
    assert judge(mean_scores(scores, counts))[0] >= max(judge(s)[0] for s in scores) - 1e-9
    free = greedy(scores, judge, most=most, shares=np.zeros_like(shares))
    assert free.tolist() == greedy(scores, judge, most=most).tolist()


@given(candidates(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_candidates_in_another_order_are_chosen_alike(drawn: Drawn, random: object) -> None:
    """Up to which of two equal ones it is: what counts is the mean."""
    facts, scores, target = drawn
    judge, counts = chosen(drawn, 3)
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]  # a random.Random
    shuffled = [scores[k] for k in order]
    again = greedy(shuffled, judge_of(facts, target), most=3)
    assert math.isclose(judge(mean_scores(shuffled, again))[0], judge(mean_scores(scores, counts))[0], abs_tol=1e-9)


@given(candidates())
@settings(max_examples=15, deadline=None)
def test_copies_of_one_model_are_no_ensemble(drawn: Drawn) -> None:
    facts, scores, target = drawn
    counts = greedy([scores[0]] * 4, judge_of(facts, target), most=5)
    assert counts.tolist() == [1, 0, 0, 0]
    found = gain(facts, [scores[0]] * 2, target, most=5, seed=0)
    assert abs(found.mean) < 1e-12
    assert not found.exceeds_noise


def test_models_that_err_apart_gain_more_than_noise_and_noise_seldom_does() -> None:
    """Models that each know two thirds of the rows, other ones each; then models that know nothing."""
    facts, rows = TASKS[0], 240
    target = np.arange(rows) % 3

    def found(knows: float, seed: int) -> Gain:
        chance = np.random.default_rng(seed)
        known = [np.eye(3)[target] * (chance.random((rows, 1)) < knows) for _ in range(4)]
        return gain(facts, [(k + chance.dirichlet([1, 1, 1], rows)) / 2 for k in known], target, most=5, seed=seed)

    assert all(found(0.67, seed).exceeds_noise for seed in range(3))
    assert sum(found(0.0, seed).exceeds_noise for seed in range(6)) <= 2


def test_without_a_half_that_could_be_judged_nothing_is_gained() -> None:
    assert not Gain(mean=0.0, spread=0.0, halves=0).exceeds_noise
