"""Chooses an ensemble's members: from the stored predictions of finished trials to their weights."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from autoopt.files import Store
from autoopt.stages import deploy
from autoopt.stages.contract import SelectJob, SelectResult
from autoopt.stages.greedy import LEAST_ROWS, MOST_ROWS, Floats, gain, greedy, judge_of, mean_scores
from autoopt.stages.keys import DEPLOY
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Snapshot
from autoopt.task.spreading import spread_rows


def select_members(snapshot: Snapshot, store: Store, job: SelectJob) -> SelectResult:
    """The selections, or why there are none worth building. A candidate that the store no longer has is left out."""
    facts, target = snapshot.facts, snapshot.part("valid").target
    rows = spread_rows(len(target), MOST_ROWS)
    entries = {number: store.find(DEPLOY, key) for number, key in job.candidates}
    known = {n: deploy.load_valid_scores(e)[rows].astype(np.float64) for n, e in entries.items() if e is not None}
    if len(known) < 2:
        return _none("it takes two trials whose predictions are there")
    if len(rows) < LEAST_ROWS:
        return _none(f"{len(rows)} valid rows say nothing about a small gain: {LEAST_ROWS} are needed")
    taken = [s for (n, _), s in zip(job.candidates, job.shares, strict=True) if n in known] if job.shares else []
    shares = np.array(taken, dtype=np.float64) if taken else None
    return _selected(facts, list(known), list(known.values()), target[rows], job, shares)


def _selected(
    facts: TaskFacts,
    numbers: Sequence[int],
    scores: Sequence[Floats],
    target: Any,
    job: SelectJob,
    shares: Floats | None,
) -> SelectResult:
    judge = judge_of(facts, target)
    found: list[Mapping[int, int]] = []
    # Those that keep the limits by what is known come first; forms that are not on record may be smaller than that.
    for held, most in product((shares, None) if shares is not None else (None,), job.most_members):
        counts = greedy(scores, judge, most=most, shares=held)
        chosen = {n: int(c) for n, c in zip(numbers, counts, strict=True) if c}
        if chosen not in found and len(chosen) > 1:
            found.append(chosen)
    if not found:
        return _none("no mean of several trials is better than the best of them")
    sign = 1.0 if facts.metric_direction == "maximize" else -1.0
    first = np.array([found[0].get(n, 0) for n in numbers])
    held = None if shares is None or (shares[first > 0].sum(axis=0) > 1.0).any() else shares
    won = gain(facts, scores, target, most=max(job.most_members), seed=job.seed, shares=held)
    noise = f"what it gains on rows that it was not chosen by is within the noise ({won.mean:+.4g} ± {won.spread:.2g})"
    return SelectResult(
        selections=tuple(found),
        reason="" if won.exceeds_noise else noise,
        single=sign * max(judge(s)[0] for s in scores),
        together=sign * judge(mean_scores(scores, first))[0],
        gain=won.mean,
        spread=won.spread,
    )


def _none(reason: str) -> SelectResult:
    return SelectResult(selections=(), reason=reason, single=0.0, together=0.0, gain=0.0, spread=0.0)
