"""Verify a pick and its twin: reload, compare, measure side by side; look at the test split for what is exported."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError, StageFailure
from autoopt.files import Store, derived_seed
from autoopt.runtime import Runner
from autoopt.space.recipe import Recipe
from autoopt.stages import deploy
from autoopt.stages.baseline import baseline_quality
from autoopt.stages.candidate import Candidate
from autoopt.stages.contract import AUGMENTED, Reporter, VerifiedArtifact, VerifyJob, VerifyResult
from autoopt.stages.ensemble_flow import candidate_of
from autoopt.stages.judge import NO_TWIN, compared, judge_twin, relative_loss
from autoopt.stages.measure import Timed, Timing, time_graphs
from autoopt.stages.parity import compare_scores
from autoopt.stages.runners import file_of, loaded
from autoopt.stages.sample import raw_columns, sample_rows
from autoopt.strategies.tables.preprocess import Target
from autoopt.task.facts import TaskFacts
from autoopt.task.scoring import bootstrap_interval, difference_error, score
from autoopt.task.snapshot import Part, Snapshot
from autoopt.values import FailureReason, Measurement, Slot

FLOAT = "float"
QUANTIZED = "quantized"
LEAST_MEASURING_S = 1.0
"""What measuring gets even where building and scoring took all the time."""
MOST_MEASURING_S = 12.0
"""What it takes at most: an export with minutes has them for twins that learn."""
TUNING_SHARE = 0.6
"""Of the time, what fine-tuning a twin that is an attempt may take; the rest is for building and measuring it."""
TUNED_LEAST = 0.5
"""Of the epochs after pruning, what must fit into that: fewer would leave in the store what later exports believe."""
_SINGLE_SHARE = 0.6


def verify_pair(snapshot: Snapshot, store: Store, job: VerifyJob, slot: Slot, report: Reporter) -> VerifyResult:
    """Both artifacts of an export. Raises StageFailure without a float one; a twin that fails is told as a reason."""
    until = time.monotonic() + job.seconds

    def flow(recipe: Mapping[str, Any], tuning_limit_s: float | None = None) -> Candidate:
        return candidate_of(
            Recipe(recipe),
            snapshot=snapshot,
            store=store,
            seed=job.seed,
            slot=slot,
            report=report,
            teacher_key=job.teacher_key,
            member_teachers=job.member_teachers,
            training_limit_s=tuning_limit_s,
            tuning_least_share=0.0 if tuning_limit_s is None else TUNED_LEAST,
        )

    original = flow(job.float_recipe)
    original.deployed()
    tuning_s = None if job.keeps_twin else TUNING_SHARE * job.seconds
    twin, twin_reason = _twin(None if job.twin_recipe is None else flow(job.twin_recipe, tuning_s))
    report("verify")
    pair = {FLOAT: original} | ({QUANTIZED: twin} if twin is not None else {})
    check = _Check(snapshot, job, pair, until)
    report("verify")
    twin_reason = twin_reason if twin is None else check.judged()
    verified = {role: check.verified(role) for role in pair}
    told = "" if twin is None else compared(snapshot.facts, verified[FLOAT], verified[QUANTIZED])
    exported = [role for role in verified if role == FLOAT or job.keeps_twin or not twin_reason]
    report("verify")
    verified |= {role: replace(verified[role], test=check.test_quality(role)) for role in exported}
    report("verify")
    return VerifyResult(
        float_artifact=verified[FLOAT],
        twin=verified.get(QUANTIZED),
        twin_reason=twin_reason,
        twin_compared=told,
        weights=original.weights(),
        twin_weights={} if twin is None else _own_weights(twin, original),
        sample=check.sample(),
        baseline=check.baseline(),
        notes=check.notes(),
    )


def _twin(flow: Candidate | None) -> tuple[Candidate | None, str]:
    """The twin, built; or None and why there is none."""
    if flow is None:
        return None, f"{NO_TWIN}no form of quantization applies to this model."
    try:
        flow.deployed()
    except StageFailure as error:
        return None, f"{NO_TWIN}{error}"
    return flow, ""


def _own_weights(twin: Candidate, original: Candidate) -> Mapping[str, str]:
    """Of a twin that was fine-tuned or pruned; none where it is made of the float artifact's."""
    if twin.weights() == original.weights():
        return {}
    return {name: path for name, path in twin.weights().items() if name != AUGMENTED}


class _Check:
    """What is found out about the artifacts of one export. The only place that opens the test part."""

    def __init__(self, snapshot: Snapshot, job: VerifyJob, pair: Mapping[str, Candidate], until: float) -> None:
        """Scores first, then measures: `until` (time.monotonic) or for LEAST_MEASURING_S, whichever is longer.

        What scoring the test split will take is left over.
        """
        self._facts = snapshot.facts
        self._job = job
        self._pair = pair
        self._valid = snapshot.part("valid")
        self._test = snapshot.part("test") if job.look_at_test and snapshot.facts.rows.get("test") else None
        self._train_target: Target = snapshot.part("train").target
        self._content = {r: (f.deployed().path / file_of(f.deployed())).read_bytes() for r, f in pair.items()}
        self._sessions = _loaded(self._content, self._facts)
        began = time.monotonic()
        self._valid_scores = {role: self._scores(role, self._valid) for role in pair}
        self._valid_quality = {role: self._quality(self._valid, self._valid_scores[role]) for role in pair}
        scoring_s = time.monotonic() - began
        self._parities = {role: self._parity(role) for role in pair}
        self._doubt = self._error_of_loss()
        tested = 0.0 if self._test is None else self._facts.rows["test"] / max(self._facts.rows["valid"], 1)
        self._timing = self._timed(until - tested * scoring_s)

    def verified(self, role: str) -> VerifiedArtifact:
        """One artifact with all that was found out about it, but for the test split."""
        flow = self._pair[role]
        entry = flow.deployed()
        return VerifiedArtifact(
            role=role,
            artifact_key=entry.key,
            file=str((entry.path / file_of(entry)).absolute()),
            sha256=entry.sha256[file_of(entry)],
            size_bytes=len(self._content[role]),
            recipe=flow.recipe.to_json(),
            valid=self._valid_quality[role],
            test=None,
            latency=latency_json(self._timing.graphs[role], alone=self._timing.alone),
            parity=self._parities[role],
        )

    def judged(self) -> str:
        """What is wrong with the twin; '' when it is as promised.

        Where it is slower and no more, both are loaded and measured once more: now and then a graph's memory lies so
        badly that for as long as it is loaded it takes twice the time.
        """
        reason = self._judged()
        if reason and not self._judged(as_fast=True):
            self._timing = self._timed(time.monotonic())
            reason = self._judged()
        return reason

    def _judged(self, *, as_fast: bool = False) -> str:
        """`as_fast`: as if the twin's latencies were those of the float artifact."""
        original, twin = self.verified(FLOAT), self.verified(QUANTIZED)
        twin = replace(twin, latency=original.latency) if as_fast else twin
        return judge_twin(self._facts, original, twin, self._job.tolerance, error=self._doubt)

    def _error_of_loss(self) -> float:
        """Of a twin that learned on its own, and whose best epoch was found by valid; 0 of others, and of the pick."""
        twin = self._pair.get(QUANTIZED)
        if twin is None or self._job.keeps_twin or not _own_weights(twin, self._pair[FLOAT]):
            return 0.0
        scores = (self._valid_scores[FLOAT], self._valid_scores[QUANTIZED])
        seed = derived_seed(self._job.seed, "bootstrap")
        return difference_error(self._facts.metric, self._facts, self._valid.target, *scores, seed=seed)

    def test_quality(self, role: str) -> Measurement | None:
        """The one look at the test split. None unless it is asked for, and where the metric is undefined on it."""
        if self._test is None:
            return None
        scores = self._scores(role, self._test)
        defined = math.isfinite(score(self._facts.metric, self._facts, self._test.target, scores))
        return self._quality(self._test, scores) if defined else None

    def sample(self) -> dict[str, Any]:
        """A few raw valid rows with every artifact's scores, so that a bundle can be checked anywhere."""
        chosen = self._valid.take(sample_rows(self._valid))
        scores = {
            role: deploy.score_rows(session, self._facts, chosen).astype(float).tolist()
            for role, session in self._sessions.items()
        }
        return {"columns": raw_columns(self._facts, chosen), **scores}

    def baseline(self) -> dict[str, float]:
        """Quality of a guess that looks at no column; a part where the metric is undefined is left out."""
        parts = {"valid": self._valid} | ({"test": self._test} if self._test is not None else {})
        found = {n: baseline_quality(self._facts, self._train_target, p.target) for n, p in parts.items()}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures has to know."""
        return () if self._timing.alone else ("latencies were taken while another process was measuring",)

    def _timed(self, until: float) -> Timing:
        left_s = min(until - time.monotonic(), MOST_MEASURING_S)
        seconds = max(min(LEAST_MEASURING_S, self._job.seconds), left_s)
        single_s = _SINGLE_SHARE * seconds
        return time_graphs(
            self._facts, self._valid, self._content, single_s=single_s, batch_s=seconds - single_s, wait_s=seconds
        )

    def _scores(self, role: str, part: Part) -> NDArray[np.float32]:
        try:
            return deploy.score_rows(self._sessions[role], self._facts, part)
        except BundleError as error:
            raise StageFailure(FailureReason.ERROR, f"The {role} graph does not run: {error}") from error

    def _quality(self, part: Part, scores: NDArray[np.float32]) -> Measurement:
        value = deploy.quality(self._facts, part.target, scores)
        seed = derived_seed(self._job.seed, "bootstrap")
        low, high = bootstrap_interval(self._facts.metric, self._facts, part.target, scores, seed=seed)
        return Measurement(value=value, low=low, high=high)

    def _parity(self, role: str) -> dict[str, Any]:
        """Against the trained object itself. A lossless form is held to its scores, another one to its quality.

        Of a twin that was pruned or fine-tuned on its own, to the quality of what it came from.
        """
        flow = self._pair[role]
        trained = (flow if flow.lossless else self._pair[FLOAT]).trained_scores()
        parity = compare_scores(self._facts, trained, self._valid_scores[role]).to_json()
        if flow.lossless:
            return {**parity, "gate": "scores"}
        target = self._valid.target
        of_trained = score(self._facts.metric, self._facts, target, trained)
        found = score(self._facts.metric, self._facts, target, self._valid_scores[role])
        holds = relative_loss(self._facts, of_trained, found) <= self._job.tolerance
        return {**parity, "gate": "quality", "tolerance": self._job.tolerance, "holds": bool(holds)}


def latency_json(timed: Timed, *, alone: bool) -> dict[str, Any]:
    """Latencies as a manifest has them."""
    return {
        "batch_1": timed.single.to_json(),
        "batch_256": timed.batch.to_json(),
        "threads": 1,
        "alone": alone,
    }


def _loaded(content: Mapping[str, bytes], facts: TaskFacts) -> dict[str, Runner]:
    try:
        return {role: loaded(graph, facts) for role, graph in content.items()}
    except BundleError as error:
        raise StageFailure(FailureReason.ERROR, f"A deployed graph cannot be loaded again: {error}") from error
