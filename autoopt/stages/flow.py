"""One recipe's way through prepare → train → deploy, each result taken from the store where it is there."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError, StageFailure
from autoopt.files import Store, StoreEntry, derived_seed
from autoopt.space.recipe import Recipe
from autoopt.stages import deploy as deploying
from autoopt.stages import teaching
from autoopt.stages import train as training
from autoopt.stages.candidate import Candidate
from autoopt.stages.contract import Reporter, StageRun
from autoopt.stages.keys import DEPLOY, PREPARE, PRUNE, SHRINK, TRAIN, stage_keys
from autoopt.stages.preparing import PREPARERS, LoadJob, PrepareJob
from autoopt.strategies import catalogue_for, models
from autoopt.strategies.learning.distill import Distill
from autoopt.strategies.learning.ranks import joined
from autoopt.strategies.model import Artifact, Model, Prepared, TrainingContext, TrainingData
from autoopt.task.facts import Modality
from autoopt.task.snapshot import PartName, Snapshot
from autoopt.values import FailureReason, Rank, Slot

SHARE_BEFORE_PRUNING: Final = 0.65
"""Of the time there is: what a training plans for where fine-tuning follows, after pruning or in int8."""
LEAST_S: Final = 1.0


@final
class Flow(Candidate):
    """The stages of one recipe. Each gives a finished entry of the store, made now or long ago."""

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        store: Store,
        recipe: Recipe,
        seed: int,
        slot: Slot,
        report: Reporter,
        teacher_key: str = "",
        training_limit_s: float | None = None,
        training_least_share: float = 0.0,
        tuning_least_share: float = 0.0,
        rank: Rank | None = None,
    ) -> None:
        super().__init__(snapshot=snapshot, store=store, recipe=recipe, report=report)
        self.keys = stage_keys(
            catalogue_for(self.facts),
            recipe,
            fingerprint=self.facts.fingerprint,
            seed=seed,
            device=slot.device,
            teacher_key=teacher_key,
        )
        self._preparer = PREPARERS[self.facts.modality]
        self.form = deploying.Form.from_recipe(recipe)
        self._seed = seed
        self._slot = slot
        self._teacher_key = teacher_key
        self._train_until = None if training_limit_s is None else time.monotonic() + training_limit_s
        self._least_share = training_least_share
        self._tuning_least_share = tuning_least_share
        self._rank = rank
        self._answers: NDArray[np.float32] | None = None  # of the teachers

    def prepared(self) -> StoreEntry:
        """Preprocessing graph and the features of train and valid."""
        return self.found_or_made(PREPARE, self.keys.prepare, self._prepare)

    def trained(self) -> StoreEntry:
        """The model as arrays and its predictions on valid: trained, and shrunk where the recipe says so."""
        if self.keys.shrink == self.keys.train:
            return self._learned()
        return self.found_or_made(SHRINK, self.keys.shrink, self._shrink, needs=(self._learned,))

    def _learned(self) -> StoreEntry:
        return self.found_or_made(TRAIN, self.keys.train, self._train, needs=(self.prepared,))

    def deployed(self) -> StoreEntry:
        """The whole pipeline as one file. A hit here needs neither of its parents, which may have been collected."""
        entry = self.found_or_made(DEPLOY, self.keys.deploy, self._deploy, needs=(self.prepared, self.trained))
        if not self._entries.keys() >= {PREPARE, TRAIN}:
            self._note_unread()
        return entry

    @property
    def lossless(self) -> bool:
        return self.form.lossless

    def trained_scores(self) -> NDArray[np.float64]:
        return training.load_valid_scores(self.trained())

    def weights(self) -> Mapping[str, str]:
        return training.weights(self.trained())

    @property
    def trains_long(self) -> bool:
        """Whether the training takes minutes rather than seconds: networks that are not for tables."""
        return self._model().learns_in_steps and self.facts.modality is not Modality.TABULAR

    def is_trained(self) -> bool:
        """Whether the training, or all that follows it, is in the store."""
        pairs = ((DEPLOY, self.keys.deploy), (SHRINK, self.keys.shrink), (TRAIN, self.keys.train))
        return any(self.store.find(stage, key, verify=False) is not None for stage, key in pairs)

    def untrained_graph(self) -> bytes | None:
        """The file that would be deployed, with random weights; None where training or pruning decides its size."""
        if self.recipe.get(PRUNE, "none") != "none":
            return None
        self.prepared()
        artifact = self._model().untrained(self._data(), self._context())
        return None if artifact is None else self._whole_graph(artifact)

    def _note_unread(self) -> None:
        """Parents of a deployed file that were not needed: still hits where they are there, and used just now."""
        noted = {run.name for run in self.runs}
        for stage, key in ((PREPARE, self.keys.prepare), (TRAIN, self.keys.train)):
            entry = None if stage in noted else self.store.find(stage, key, verify=False)
            if entry is not None:
                self.runs.append(StageRun(name=stage, key=key, hit=True, seconds=0.0, size_bytes=entry.size_bytes))

    def _prepare(self, folder: Path) -> None:
        job = PrepareJob(
            facts=self.facts,
            train=self.snapshot.part("train"),
            valid=self.snapshot.part("valid"),
            recipe=self.recipe,
            seed=derived_seed(self.keys.prepare),
            vectors=self.snapshot.word_vectors(),
        )
        self._preparer.prepare(job, folder)

    def follow(self) -> None:
        # What it is prepared from is in the store by then. A leader that needs no training never comes to it.
        with joined(self._rank, self._slot) as ranks:
            context = replace(self._context(), ranks=ranks, checkpoints=None, report=lambda step, values: None)
            self._model().follow(self._taught(), context)

    def _train(self, folder: Path) -> None:
        share = 1.0 if self.keys.shrink == self.keys.train else SHARE_BEFORE_PRUNING
        with joined(self._rank, self._slot) as ranks:
            training.train(self._model(), self._taught(), replace(self._context(share), ranks=ranks), folder)
        self.store.forget_working_folder(self.keys.train)

    def _shrink(self, folder: Path) -> None:
        def report(step: int, values: dict[str, float]) -> None:
            self.report(SHRINK, step=step, values=values)

        kept = self.store.working_folder(self.keys.shrink)
        context = self._context()
        context = replace(context, report=report, checkpoints=kept, least_share=self._tuning_least_share)
        training.shrink(self._model(), self._learned(), self._taught(), context, folder)
        self.store.forget_working_folder(self.keys.shrink)

    def _deploy(self, folder: Path) -> None:
        trained = self.trained()
        content = self._whole_graph(self.artifact())
        scores = training.load_valid_scores(trained)
        try:
            parity = deploying.deploy(content, self.facts, self.snapshot.part("valid"), scores, self.form, folder)
        except BundleError as error:
            raise StageFailure(FailureReason.ERROR, f"The deployed graph does not run: {error}") from error
        info = training.load_info(trained)
        # Of what came trained, a pruned form is held to the network as it came.
        original = training.load_valid_scores(self._learned()) if self.facts.came_trained else scores
        deploying.save_info(
            deploying.DeployedInfo(
                quantize=self.form.quantize.form,
                train_s=info.train_s,
                peak_memory_bytes=info.peak_memory_bytes,
                notes=(*info.notes, *deploying.parity_notes(parity, self.form)),
                parity=parity.to_json(),
                quality_drop=deploying.quality_drop(self.facts, self.snapshot.part("valid").target, original, folder),
            ),
            folder,
        )

    def artifact(self) -> Artifact:
        """The trained model, reloaded from its arrays."""
        return training.artifact_of(self.trained())

    def _whole_graph(self, artifact: Artifact) -> bytes:
        prepare = self._preparer.graph(self.prepared().path)
        return deploying.whole_graph(self.facts, prepare, artifact, self.form, self.part("train"))

    def _model(self) -> Model:
        known, name = models(), str(self.recipe.get("model", ""))
        if name not in known:
            message = f"The recipe's model {name!r} is none that this version knows ({', '.join(known)})."
            raise StageFailure(FailureReason.ERROR, message)
        return known[name].from_recipe(self.recipe)

    def part(self, name: PartName) -> Prepared:
        """One part as the model learns from it."""
        entry, part = self.prepared(), self.snapshot.part(name)
        return self._preparer.load(
            LoadJob(folder=entry.path, facts=self.facts, part_name=name, part=part, recipe=self.recipe)
        )

    def _data(self) -> TrainingData[Any]:
        return TrainingData(
            facts=self.facts,
            train=self.part("train"),
            train_target=self.snapshot.part("train").target,
            valid=self.part("valid"),
            valid_target=self.snapshot.part("valid").target,
            pretrained=self.snapshot.backbone or self.snapshot.graph,
        )

    def _taught(self) -> TrainingData[Any]:
        """The data, and what the recipe's teachers say of them."""
        distill = Distill.from_recipe(self.recipe)
        if distill.source == "none":
            return self._data()
        if self._answers is None:  # pruning asks again for what the training was given
            part = self.snapshot.part("train")
            self._answers = teaching.answers(
                self.store, self._teacher_key, self.facts, part, threads=self._slot.threads
            )
        return teaching.taught(self._data(), distill, self._answers)

    def _left_s(self, share: float) -> float | None:
        """What was spent on preparing, and on measuring before the training, is gone."""
        return None if self._train_until is None else max(share * (self._train_until - time.monotonic()), LEAST_S)

    def _context(self, share: float = 1.0) -> TrainingContext:
        """For what learns next, and may plan for that share of the time that is left."""

        def report(step: int, values: dict[str, float]) -> None:
            self.report(TRAIN, step=step, values=values)

        seed = derived_seed(self._seed, self.keys.train)
        return TrainingContext(
            recipe=self.recipe,
            slot=self._slot,
            seed=seed,
            report=report,
            checkpoints=self.store.working_folder(self.keys.train),
            limit_s=self._left_s(share),
            least_share=self._least_share,
            store=self.store,
            prepared_key=self.keys.prepare,
        )
