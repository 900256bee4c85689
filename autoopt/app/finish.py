"""The end of a session and every export: measure again, pick, verify, write the bundle, tell the tracking side."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoopt.app.context import StudyContext
from autoopt.app.ensembling import Ensembler, member_teachers
from autoopt.app.forms import shown_forms
from autoopt.app.jobs import Jobs
from autoopt.app.pick import picked, settled_pick
from autoopt.app.settled_serving import serving_s, with_serving
from autoopt.app.settled_twin import artifacts_of, settled, with_tests
from autoopt.app.twin_ladder import climbed, entered, fitting, rungs_of, safer, told, why_none_fits
from autoopt.bundle import BundleContents, SigningKey, environment, write_bundle
from autoopt.errors import StudyError
from autoopt.ledger import Ledger, StudyWriter, TrialRow
from autoopt.orchestrator import Observer, model_payload
from autoopt.orchestrator.loop import Outbox
from autoopt.orchestrator.selection import (
    TWIN,
    best,
    feasible,
    float_of,
    front,
    is_form,
    provisional,
    value,
)
from autoopt.orchestrator.teacher import teacher_key
from autoopt.report import StudyView, render_report
from autoopt.report.wording import quantized_form
from autoopt.space import Recipe, Value
from autoopt.stages.contract import (
    REMEASURE_ENTRY,
    VERIFY_ENTRY,
    RemeasureJob,
    VerifiedArtifact,
    VerifyJob,
    VerifyResult,
)
from autoopt.stages.judge import NO_TWIN, relative_loss
from autoopt.values import Measurement, TrialState, broken

MAX_REMEASURED = 16
REMEASURING_SHARES = (0.6, 0.3, 0.3)
"""Of the time for measuring again: how much each pass may take."""
SETTLING_SHARE, LEAST_SETTLING_S = 0.3, 1.0
"""Of the time that is left for verifying: how much goes into finding out whether a form is as promised."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export left."""

    folder: Path
    trial: TrialRow
    pick: str
    verified: VerifyResult
    chosen: str  # "float" or "quantized": the artifact that `predict` uses
    missed: str  # '' when the limits hold; else which are broken, and by how much


class Finisher:
    """Exports a pick of a study that this process owns."""

    def __init__(
        self,
        *,
        context: StudyContext,
        ledger: Ledger,
        writer: StudyWriter,
        jobs: Jobs,
        outbox: Outbox,
        observer: Observer,
        ensembler: Ensembler | None = None,
    ) -> None:
        """`ensembler`: where the end of a session also averages what it found."""
        self._context = context
        self._ledger = ledger
        self._writer = writer
        self._jobs = jobs
        self._outbox = outbox
        self._observer = observer
        self._ensembler = ensembler

    def finish(self, *, seconds: float, ensemble_s: float, output: str | None) -> Exported | None:
        """Measure the candidates again on the idle machine, average them, then export the best.

        `ensemble_s` comes on top of `seconds`. None without any candidate.
        """
        if picked(self._context, self._ledger.trials(self._context.study.name), self._context.pick) is None:
            return None
        end = time.monotonic() + seconds
        self._observer.phase("measuring the best again, everything idle")
        self._remeasure(0.45 * seconds)
        if self._ensembler is not None:
            began = time.monotonic()
            self._ensembler.build(ensemble_s)
            end += time.monotonic() - began
        return self.export(self._context.pick, output=output, seconds=max(1.0, end - time.monotonic()))

    def export(self, pick: str, *, output: str | None, seconds: float, key: SigningKey | None = None) -> Exported:
        """Verify a pick and its twin, look at the test split once for each, and write the bundle."""
        serving = serving_s(seconds, self._context)
        until = time.monotonic() + seconds - serving
        fallen: list[Mapping[str, Any]] = []  # forms that did not hold beside their float graph, as in `tried`
        trials = self._ledger.trials(self._context.study.name)
        trial = settled_pick(self._context, trials, pick, lambda form: self._as_promised(form, until, fallen))
        if trial is None:
            raise StudyError(f"Study {self._context.study.name!r} has no trial that could be exported yet.")
        self._observer.phase(f"verifying trial {trial.number} and its twin")
        verified = self._verify(trial, max(1.0, until - time.monotonic()))
        again = [attempt["form"] for attempt in verified.tried]
        before = (attempt for attempt in fallen if attempt["form"] not in again)
        verified = replace(verified, tried=(*before, *verified.tried))
        chosen, missed = self._choose(trial, verified)
        verified = with_serving(verified, chosen, self._context, self._jobs, seconds=serving)
        given = Path(output) if output else self._context.home.bundle(self._context.study.name)
        folder = given.absolute()  # the ledger remembers it, and later commands run elsewhere
        known = self._known_test_scores(trial.number)
        for artifact in artifacts_of(verified):
            self._writer.record_export(
                trial.number,
                artifact.role,
                str(folder),
                artifact.sha256,
                None if artifact.sha256 in known else artifact.test,  # scored before: not another look
                artifact_key=artifact.artifact_key,
            )
        self._observer.phase(f"writing {given}")
        exported = Exported(folder=folder, trial=trial, pick=pick, verified=verified, chosen=chosen, missed=missed)
        write_bundle(folder, self._contents(exported), key=key)
        self._writer.enqueue([model_payload(self._context.study, trial.number, folder, self._metrics(exported))])
        self._outbox.pump(self._writer)
        return exported

    def _as_promised(self, trial: TrialRow, until: float, fallen: list[Mapping[str, Any]]) -> bool:
        """Whether a form holds beside its float graph when both are loaded and measured in turns; so without time.

        One that does not is added to `fallen`.
        """
        left_s = until - time.monotonic()
        if left_s < LEAST_SETTLING_S:
            return True
        recipe = Recipe(trial.recipe)
        own = {"quantize": recipe.get("quantize", "none")}
        seconds = SETTLING_SHARE * left_s
        found = self._verify_pair(recipe, own, seconds=seconds, look_at_test=False, keeps_twin=True)
        if found.twin_reason:
            fallen.append(told(quantized_form(recipe), found))
        return not found.twin_reason

    def _remeasure(self, seconds: float) -> None:
        """Final latencies for the front and the near misses; feasibility follows them.

        A final figure may drop a trial from the front and let another in, so it goes on until the front is settled.
        """
        end = time.monotonic() + seconds
        if self._context.pick == TWIN:  # each form against the others, in turns: they were measured one after another
            self._measure_again(feasible(self._ledger.trials(self._context.study.name))[:MAX_REMEASURED], seconds)
            return
        for share in REMEASURING_SHARES:
            chosen = self._unsettled()[:MAX_REMEASURED]
            left_s = min(share * seconds, end - time.monotonic())
            if not chosen or left_s < 0.2:
                return
            self._measure_again(chosen, left_s)

    def _unsettled(self) -> list[TrialRow]:
        """Trials of the front, best first, and near misses, whose latency is provisional."""
        trials = self._ledger.trials(self._context.study.name)
        top = best(trials, self._context.facts.metric_direction)
        misses = [t for t in trials if t.state is TrialState.INFEASIBLE and t.artifact_key and self._is_near(t)]
        found = {t.number: t for t in [*filter(None, [top]), *front(trials, self._context.objectives), *misses]}
        return [t for t in found.values() if provisional(t)]

    def _measure_again(self, chosen: list[TrialRow], seconds: float) -> None:
        job = RemeasureJob(
            snapshot=self._context.snapshot,
            store=str(self._context.home.store),
            artifact_keys=tuple(dict.fromkeys(t.artifact_key for t in chosen)),
            seconds=seconds,
        )
        result = self._jobs.run(REMEASURE_ENTRY, job.to_json())
        measures: dict[int, Mapping[str, Measurement]] = {}
        states: dict[int, tuple[TrialState, str]] = {}
        for trial in chosen:
            again = {n: Measurement.from_json(m) for n, m in result.get(trial.artifact_key, {}).items()}
            if any(m.provisional for m in again.values()) and not provisional(trial):
                continue  # taken beside other work: what the quiet machine gave says more
            if not again:
                continue
            measures[trial.number] = again
            misses_now = broken(self._context.limits, {**trial.measures, **again})
            told = ", ".join(f"{x.told()} broken" for x in misses_now)
            states[trial.number] = (TrialState.INFEASIBLE if misses_now else TrialState.COMPLETE, told)
        self._writer.record_final_measures(measures, states)

    def _is_near(self, trial: TrialRow) -> bool:
        """Within a third of every limit it breaks: noise may have put it there."""
        return all(
            x.relative_excess(value(trial, x.measure)) < 0.33 for x in broken(self._context.limits, trial.measures)
        )

    def _verify(self, trial: TrialRow, seconds: float) -> VerifyResult:
        recipe, until = Recipe(trial.recipe), time.monotonic() + seconds
        is_pick = is_form(recipe, came_trained=self._context.facts.came_trained)
        known = self._known_test_scores(trial.number)

        def attempt(changes: Mapping[str, Value], seconds: float) -> VerifyResult:
            # Which form serves as the twin is settled without the test split; that is looked at once, at the end.
            return self._verify_pair(recipe, changes, seconds=seconds, look_at_test=False)

        own = ({"quantize": recipe.get("quantize", "none")},)
        facts, slot = self._context.facts, self._jobs.slot
        every = own if is_pick else rungs_of(recipe, classifies=facts.kind.classifies)
        rungs = fitting(every, facts, slot)
        rung, tried = climbed(rungs, attempt, facts, self._context.tolerance, until=until)
        while True:
            left_s = max(1.0, until - time.monotonic())
            verified = self._verify_pair(recipe, rung, seconds=left_s, look_at_test=not known, keeps_twin=is_pick)
            tried = entered(tried, rung, verified)
            below = [] if rung is None else safer(rungs[rungs.index(rung) + 1 :])
            if not verified.twin_reason or not below:
                break
            rung = below[0]  # what held in the ladder fell when it was measured for longer
        if unfit := why_none_fits(every, facts, slot):
            verified = replace(verified, twin_reason=NO_TWIN + unfit)
        pair = settled(verified, tried, is_pick=is_pick)
        if not known:
            return pair
        if any(a.sha256 not in known for a in artifacts_of(pair)):
            exported = rung if pair.twin is not None else None
            looked = self._verify_pair(recipe, exported, seconds=1.0, look_at_test=True, keeps_twin=True)
            known |= {a.sha256: a.test for a in artifacts_of(looked) if a.test is not None}
            pair = replace(pair, baseline=looked.baseline)
        return with_tests(pair, known)

    def _known_test_scores(self, number: int) -> dict[str, Measurement]:
        """Test scores by the artifact's hash, from earlier exports: the split is looked at once for each."""
        exports = self._ledger.exports(self._context.study.name)
        return {e.sha256: e.test for e in exports if e.number == number and e.test is not None}

    def _verify_pair(
        self,
        recipe: Recipe,
        twin: Mapping[str, Value] | None,
        *,
        seconds: float,
        look_at_test: bool,
        keeps_twin: bool = False,
    ) -> VerifyResult:
        trials = self._ledger.trials(self._context.study.name)
        job = VerifyJob(
            snapshot=self._context.snapshot,
            store=str(self._context.home.store),
            float_recipe=float_of(recipe, came_trained=self._context.facts.came_trained).to_json(),
            twin_recipe=recipe.replace(dict(twin)).to_json() if twin else None,
            seed=self._context.seed,
            tolerance=self._context.tolerance,
            seconds=seconds,
            look_at_test=look_at_test,
            keeps_twin=keeps_twin,
            teacher_key=teacher_key(recipe, trials),
            member_teachers=member_teachers(recipe, trials),
        )
        return VerifyResult.from_json(self._jobs.run(VERIFY_ENTRY, job.to_json()))

    def _choose(self, trial: TrialRow, verified: VerifyResult) -> tuple[str, str]:
        """What `predict` uses: what the pick deploys if that keeps the limits, else the other if that does."""
        deployed = "quantized" if is_form(trial.recipe, came_trained=self._context.facts.came_trained) else "float"
        pair = {"float": verified.float_artifact, "quantized": verified.twin}
        other = "quantized" if deployed == "float" else "float"
        original = verified.float_artifact
        missed = {role: self._missed(trial, artifact, original) for role, artifact in pair.items() if artifact}
        if self._context.pick == TWIN and not verified.twin_reason and missed.get("quantized") == "":
            return "quantized", ""  # found on the ladder, where the pick is the float one
        if deployed in missed and not missed[deployed]:
            return deployed, ""
        if other in missed and not missed[other]:
            return other, ""
        return (deployed, missed[deployed]) if deployed in missed else (other, missed[other])

    def _missed(self, trial: TrialRow, artifact: VerifiedArtifact, original: VerifiedArtifact) -> str:
        """The limits that an exported artifact breaks, in words."""
        batch_1, batch_256 = artifact.latency["batch_1"], artifact.latency["batch_256"]
        measures = {
            **trial.measures,
            "quality": artifact.valid,
            "quality_drop": Measurement(
                value=100 * relative_loss(self._context.facts, original.valid.value, artifact.valid.value)
            ),
            "size_bytes": Measurement(value=artifact.size_bytes),
            "latency_ms": Measurement(value=batch_1["p50_ms"]),
            "latency_p95_ms": Measurement(value=batch_1["p95_ms"]),
            "latency_batch_ms": Measurement(value=batch_256["p50_ms"]),
        }
        misses = broken(self._context.limits, measures)
        return ", ".join(f"{x.told()} (measured {x.miss_text(measures[x.measure].value)})" for x in misses)

    def _contents(self, exported: Exported) -> BundleContents:
        study = self._ledger.study(self._context.study.name)
        trials, looks = self._ledger.trials(study.name), self._writer.test_looks()
        forms, spared = shown_forms(self._context, trials, (exported.trial.number, exported.chosen))
        view = StudyView(
            study=study,
            facts=self._context.facts,
            objectives=self._context.objectives,
            limits=self._context.limits,
            trials=tuple(trials),
            front=tuple(front(trials, self._context.objectives)),
            best=exported.trial,
            verified=exported.verified,
            test_looks=looks,
            chosen=exported.chosen,
            missed=exported.missed,
            forms=forms,
            spared=spared,
            environment=environment(),  # and no images: a bundle is passed on, and need not show what it learned from
        )
        return BundleContents(
            study=study,
            facts=self._context.facts,
            test_looks=looks,
            trial=exported.trial,
            pick=exported.pick,
            verified=exported.verified,
            chosen=exported.chosen,
            missed=exported.missed,
            tolerance=self._context.tolerance,
            report_html=render_report(view),
        )

    def _metrics(self, exported: Exported) -> dict[str, float]:
        """What the tracking side shows beside the registered model."""
        found: dict[str, float] = {}
        for artifact in artifacts_of(exported.verified):
            found[f"{artifact.role}_valid"] = artifact.valid.value
            found[f"{artifact.role}_latency_ms"] = artifact.latency["batch_1"]["p50_ms"]
            found[f"{artifact.role}_size_bytes"] = float(artifact.size_bytes)
            if artifact.test is not None:
                found[f"{artifact.role}_test"] = artifact.test.value
        return found
