"""An ensemble's way to a file: each member's own pipeline, taken from the store or made, then merged to one graph."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt import __version__
from autoopt.errors import BundleError, StageFailure
from autoopt.files import Store, StoreEntry, sha256_json, write_bytes
from autoopt.space.ensembles import MEMBERS_FP16, is_ensemble, members_of, shares
from autoopt.space.recipe import Recipe
from autoopt.stages import deploy as deploying
from autoopt.stages.averaging import OLD_TREES, averaged, tree_operators
from autoopt.stages.candidate import Candidate
from autoopt.stages.contract import AUGMENTED, Reporter
from autoopt.stages.flow import Flow
from autoopt.stages.join import pipeline_metadata
from autoopt.stages.keys import DEPLOY, LIBRARIES, library_version
from autoopt.stages.parity import compare_scores, require_scores_parity
from autoopt.stages.predictions import append_prediction
from autoopt.stages.runners import GRAPH, file_of, loaded
from autoopt.strategies import twin_values
from autoopt.strategies.deploying.half import FP16
from autoopt.strategies.trees.packed import packed_bytes
from autoopt.task.snapshot import Snapshot
from autoopt.values import FailureReason, Rank, Slot

CODE_VERSION: Final = 1
"""Raise it when the same members come to another graph."""

MakeFlow = Callable[[Recipe, int], Flow]
"""A member's flow, from the recipe to deploy and its place among the members."""


def deployed_form(recipe: Recipe, quantize: str) -> Recipe:
    """A member's recipe in the form that an ensemble with this `quantize` deploys: float, or a quantized one."""
    plain = {name: value for name, value in recipe.items() if not name.startswith("quantize.")}
    forms = () if quantize == "none" else twin_values(recipe)
    if not forms:
        return Recipe({**plain, "quantize": "none"})
    if quantize == MEMBERS_FP16 and FP16 in forms:
        return Recipe({**plain, "quantize": FP16})
    return recipe if recipe.get("quantize", "none") != "none" else recipe.replace({"quantize": forms[0]})


@final
class EnsembleFlow(Candidate):
    """The weighted mean of its members' pipelines. Raises SpaceError for a recipe that is none of an ensemble."""

    def __init__(
        self, *, snapshot: Snapshot, store: Store, recipe: Recipe, report: Reporter, make_flow: MakeFlow
    ) -> None:
        super().__init__(snapshot=snapshot, store=store, recipe=recipe, report=report)
        members = members_of(recipe)
        self._shares = shares(members)
        self._quantize = str(recipe.get("quantize", "none"))
        self._members = [make_flow(deployed_form(m.recipe, self._quantize), k) for k, m in enumerate(members)]
        self._floats = [make_flow(deployed_form(m.recipe, "none"), k) for k, m in enumerate(members)]

    @property
    def lossless(self) -> bool:
        return all(member.lossless for member in self._members)

    @property
    def key(self) -> str:
        """Of the store's entry."""
        return sha256_json(
            {
                "stage": "ensemble",
                "code": CODE_VERSION,
                "members": [member.keys.deploy for member in self._members],
                "shares": list(self._shares),
                "libraries": {name: library_version(name) for name in LIBRARIES[DEPLOY]},
            }
        )

    def deployed(self) -> StoreEntry:
        return self.found_or_made(DEPLOY, self.key, self._make)

    def trained_scores(self) -> NDArray[np.float64]:
        return self._mean([member.trained_scores() for member in self._members])

    def weights(self) -> Mapping[str, str]:
        """Of all members, each file's name behind the member's number; of pictures, one."""
        found: dict[str, str] = {}
        for k, member in enumerate(self._members, start=1):
            for name, path in member.weights().items():
                found.setdefault(name if name == AUGMENTED else f"{k}.{name}", path)
        return found

    def _mean(self, scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.tensordot(np.array(self._shares), np.stack(scores).astype(np.float64), axes=1)
        return mean

    def _graphs(self) -> tuple[list[onnx.ModelProto], list[StoreEntry]]:
        """The members' deployed graphs and entries.

        Where their trees come in both of ONNX's operators, which no graph can hold together, all trees stay portable.
        """
        entries = [member.deployed() for member in self._members]
        graphs = [_graph(entry) for entry in entries]
        if len(set().union(*map(tree_operators, graphs))) > 1:
            for k, graph in enumerate(graphs):
                if tree_operators(graph) - {OLD_TREES}:
                    entries[k] = self._floats[k].deployed()
                    graphs[k] = _graph(entries[k])
        return graphs, entries

    def _make(self, folder: Path) -> None:
        """Merge, write, reload, and hold what the file gives against the mean of what its members give."""
        graphs, entries = self._graphs()
        path = folder / GRAPH
        write_bytes(path, self._content(graphs))
        try:
            runner = loaded(path.read_bytes(), self.facts)
            scores = deploying.score_rows(runner, self.facts, self.snapshot.part("valid"))
        except BundleError as error:
            raise StageFailure(FailureReason.ERROR, f"The merged graph does not run: {error}") from error
        parity = compare_scores(
            self.facts, self._mean([deploying.load_valid_scores(e).astype(np.float64) for e in entries]), scores
        )
        require_scores_parity(parity)
        np.save(folder / deploying.VALID_SCORES, scores)
        infos = [deploying.load_info(entry) for entry in entries]
        deploying.save_info(
            deploying.DeployedInfo(
                quantize=self._quantize,
                train_s=sum(info.train_s for info in infos),
                peak_memory_bytes=max(info.peak_memory_bytes for info in infos),
                notes=(),
                parity=parity.to_json(),
                quality_drop=deploying.quality_drop(
                    self.facts, self.snapshot.part("valid").target, self.trained_scores(), folder
                ),
            ),
            folder,
        )

    def _content(self, graphs: Sequence[onnx.ModelProto]) -> bytes:
        """The file's bytes: the same ones each time."""
        merged = averaged(graphs, self._shares)
        append_prediction(merged.graph, self.facts)
        onnx.helper.set_model_props(merged, pipeline_metadata(self.facts, __version__))
        try:
            onnx.checker.check_model(merged, full_check=True)
        except onnx.checker.ValidationError as error:
            message = f"The merged graph is not valid ONNX: {str(error).splitlines()[0]}."
            raise StageFailure(FailureReason.ERROR, message) from error
        if self._quantize != "none":
            return packed_bytes(merged)
        return bytes(merged.SerializeToString(deterministic=True))


def candidate_of(
    recipe: Recipe,
    *,
    snapshot: Snapshot,
    store: Store,
    seed: int,
    slot: Slot,
    report: Reporter,
    teacher_key: str = "",
    member_teachers: tuple[str, ...] = (),
    training_limit_s: float | None = None,
    training_least_share: float = 0.0,
    tuning_least_share: float = 0.0,
    rank: Rank | None = None,
) -> Candidate:
    """A recipe's own stages, or those of its members. Raises SpaceError for an ensemble that names no members.

    Of a training's epochs, and of those of fine-tuning after pruning, that share must fit into the limit, or it is
    given up (no_time).
    """

    def flow(of: Recipe, teacher: str) -> Flow:
        return Flow(
            snapshot=snapshot,
            store=store,
            recipe=of,
            seed=seed,
            slot=slot,
            report=report,
            teacher_key=teacher,
            training_limit_s=training_limit_s,
            training_least_share=training_least_share,
            tuning_least_share=tuning_least_share,
            rank=rank,
        )

    if not is_ensemble(recipe):
        return flow(recipe, teacher_key)
    teachers = dict(enumerate(member_teachers))
    if training_limit_s is not None:  # those that are not trained yet come one after another
        training_limit_s /= len(members_of(recipe))
    return EnsembleFlow(
        snapshot=snapshot,
        store=store,
        recipe=recipe,
        report=report,
        make_flow=lambda of, place: flow(of, teachers.get(place, "")),
    )


def _graph(entry: StoreEntry) -> onnx.ModelProto:
    """The graph of a deploy entry. Raises StageFailure for weights of a module that has none."""
    if file_of(entry) != GRAPH:
        message = "a member has no graph, as torch cannot trace its module, so that it cannot be merged with others"
        raise StageFailure(FailureReason.ERROR, message)
    return onnx.load(entry.path / GRAPH)
