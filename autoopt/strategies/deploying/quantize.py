"""How small the deployed graph's numbers are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import onnx

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.space.narrow import Untold
from autoopt.strategies.base import Stage, Strategy, choice, real, whole
from autoopt.strategies.deploying.brought import BroughtArtifact, int8_nodes, why_not
from autoopt.strategies.deploying.convolutions import PRODUCTS, mostly_convolutions
from autoopt.strategies.deploying.embeddings import int8_embeddings
from autoopt.strategies.deploying.half import HALVES, half_weights
from autoopt.strategies.deploying.mending import KEEP_FLOAT
from autoopt.strategies.deploying.quantizer import columns_differ, loaded, on_disk, stacks
from autoopt.strategies.deploying.ranges import ENTROPY, MINMAX, PERCENTILE
from autoopt.strategies.deploying.static import Calibration, static_int8, why_none_is_left
from autoopt.strategies.model import Artifact, Features, Prepared
from autoopt.strategies.text.wide_linear import WideLinearArtifact
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.trim import trimmed
from autoopt.task.facts import TaskFacts
from autoopt.task.spreading import spread_rows
from autoopt.values import FailureReason, Slot

KIND_VALUES: Mapping[str, tuple[str, ...]] = {
    "network": ("none", "dynamic_int8", "static_int8", *HALVES),
    "exported": ("none", "dynamic_int8", "static_int8", *HALVES),
    "trees": ("none", "compact", "trimmed"),
    "linear": ("none",),
    "wide_linear": ("none", "weights_int8"),
    "brought": ("none", "compact", "trimmed", "dynamic_int8", "static_int8", *HALVES),
}
"""For each kind of artifact, the values of `quantize` that do something with it."""


def twin_choice(artifact_kind: str, *, convolves: bool = False) -> tuple[str, ...]:
    """In the order in which to try them: what makes the quantized twin of an artifact; nothing for a linear model.

    `convolves`: it is a network of convolutions, which dynamic_int8 does not serve.
    """
    if convolves:
        return ("static_int8", *HALVES)
    return {
        "network": ("static_int8", "dynamic_int8", *HALVES),
        "exported": ("static_int8", "dynamic_int8", *HALVES),
        "trees": ("compact", "trimmed"),
        "wide_linear": ("weights_int8",),
        "brought": ("compact", "trimmed", "static_int8", "dynamic_int8", *HALVES),
    }.get(artifact_kind, ())


@final
@dataclass(frozen=True, kw_only=True)
class Quantize(Strategy):
    """Compression of the deployed graph after training.

    * none: float32.
    * weights_int8 (linear models of texts): int8 coefficients, as fast as float: the runtime unpacks them once.
    * compact (trees): the same trees in the smallest encoding that gives the same predictions.
    * trimmed (trees): compact, with fewer splits and rounder leaves: splits whose loss changes the scores least are
      cut, over all trees at once, and the leaves that are left learn what the lost ones said. It goes as far as the
      scores of training rows that the leaves did not learn from change by `score_change`.
    * dynamic_int8 (networks): int8 weights; the range of each product's input is taken anew from each batch.
    * static_int8 (networks): int8 weights and uint8 inputs of products, with ranges seen on calibration rows. Of
      networks of convolutions also what lies between them; for these it is the only int8 form.
    * fp16, bf16 (networks): weights in half precision, made float32 once, when the graph is loaded: half the bytes and
      the speed of float; scores within 0.001 for fp16, 0.01 for bf16. fp16 keeps 11 bits, and a tensor with a weight
      beyond its range (65504) stays float; bf16 keeps 8 bits and the range of float32. What is computed is float32, on
      GPUs too: products in half precision, which are faster there, are not made of it. The twin's ladder tries both,
      last, and no space does: `--set model=mlp --set quantize=fp16`.

    In int8 weights take a quarter of the bytes. At batch 1, networks of 512 units get two to four times as fast, those
    of 256 stay as they are, and those of 128 and less get slower, as the conversions cost more than the products save;
    at batch 256 all gain, the wide ones three times and more (scripts/bench/twin.py): measure. Embeddings of tokens are
    looked up in int8 and summed in float. Scores, skips and embeddings of categories stay float (Jacob et al. 2018).
    On processors without VNNI, sums of uint8 x int8 may saturate: the export's parity check tells.
    calibration_rows 64 to 4096: rows of the training part whose ranges static_int8 goes by. With 4096 in place of 1024
    scores came no nearer to the float network's.
    calibration: minmax takes the extremes; percentile what 99.9 % of the values lie within; entropy the range whose
    256 levels tell most of the values (Migacz 2017), with up to 1 % beyond either end where that gains most.
    Mean square of what scores change by, with each in turn: CNN on CIFAR-10 3e-6, 7e-5, 4e-6; mlp of 512 units on
    digits 9e-5, 1e-4, 6e-4; the same where one unit is a thousand times as large: 0.056, 0.010, 0.0009, which leaves
    0.841, 0.923, 0.970 of an accuracy of 0.965. So extremes are the rule, and entropy is for what they break.
    keep_float 0 to 16: so many products and convolutions stay float, those whose return brings the scores nearest to
    the float network's, found by trying; where that is all of them, it is no form.
    score_change 0.001 to 0.3: the root of the mean square of what scores differ by, in their standard deviations.
    """

    name: ClassVar[str] = "quantize"
    stage: ClassVar[Stage] = "deploy"
    field_when: ClassVar = {
        **{name: {"quantize": ("static_int8",)} for name in ("calibration_rows", "calibration", KEEP_FLOAT)},
        "score_change": {"quantize": ("trimmed",)},
    }

    form: str = choice(
        *("none", "compact", "trimmed", "weights_int8", "dynamic_int8", "static_int8", *HALVES),
        main=True,
        help="compression after training",
    )
    calibration_rows: int = whole(1024, low=64, high=4096, log=True, help="training rows that give the ranges")
    calibration: str = choice(MINMAX, ENTROPY, PERCENTILE, help="how the ranges are taken from them")
    keep_float: int = whole(0, low=0, high=16, help="layers that stay float: the most sensitive ones")
    score_change: float = real(0.02, low=0.001, high=0.3, log=True, help="what trimming trees may change scores by")

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        own = task.module_facts
        if task.graph is not None:
            return why_not(value, task.graph)
        if own is None or value == "none":
            return None
        if own.untraceable:
            return f"torch.export cannot trace the module: {own.untraceable}"
        if value == "dynamic_int8" and own.convolves:
            return "the runtime's dynamic convolutions are several times slower than its float ones"
        return None

    @classmethod
    def field_value_applies(cls, field: str, value: Value, task: TaskFacts) -> str | None:
        nodes = None if task.graph is None else int8_nodes(task.graph)
        if field != KEEP_FLOAT or nodes is None:
            return None
        told = why_none_is_left(int(value), nodes)
        return None if told is None else Untold(told)

    def apply(self, artifact: Artifact, calibration: Prepared | None) -> onnx.ModelProto:
        """The graph to deploy. `calibration` are prepared training rows, needed by static_int8 and trimmed.

        Raises StageFailure when this form does not fit the kind of artifact.
        """
        if self.form not in KIND_VALUES[artifact.kind]:
            fitting = ", ".join(KIND_VALUES[artifact.kind])
            message = f"quantize: {self.form} does not fit a model of kind {artifact.kind}"
            raise StageFailure(FailureReason.ERROR, f"{message}; what does: {fitting}")
        if self.form == "none":
            return artifact.graph()
        if self.form == "compact" and isinstance(artifact, TreesArtifact):
            return artifact.compact_graph()
        if self.form == "trimmed" and isinstance(artifact, TreesArtifact):
            return self._trimmed(artifact, calibration)
        if self.form == "weights_int8" and isinstance(artifact, WideLinearArtifact):
            return artifact.int8_graph()
        if self.form == "compact" and isinstance(artifact, BroughtArtifact):
            return artifact.compact_graph()
        if self.form == "trimmed" and isinstance(artifact, BroughtArtifact) and calibration is not None:
            return artifact.trimmed_graph(calibration, score_change=self.score_change)
        graph = artifact.graph()
        if self.form in HALVES:
            return half_weights(graph, self.form)
        convolves = mostly_convolutions(graph)
        if self.form == "dynamic_int8":
            if convolves:  # the runtime's dynamic convolutions are several times slower than its float ones
                message = "quantize: dynamic_int8 is of no use to a network of convolutions; static_int8 is"
                raise StageFailure(FailureReason.ERROR, message)
            return _with_tables(dynamic_int8(graph), artifact)
        if calibration is None or calibration.rows == 0:
            raise StageFailure(FailureReason.ERROR, "quantize: static_int8 needs calibration rows, and there are none")
        chosen = spread_rows(calibration.rows, self.calibration_rows)
        ranges = Calibration(rows=calibration, chosen=chosen, method=self.calibration)
        return _with_tables(static_int8(graph, ranges, keep_float=self.keep_float), artifact)

    def _trimmed(self, artifact: TreesArtifact, calibration: Prepared | None) -> onnx.ModelProto:
        if not isinstance(calibration, Features):
            raise StageFailure(FailureReason.ERROR, "quantize: trimmed needs rows of a table, and there are none")
        return trimmed(artifact, calibration.numbers, score_change=self.score_change).compact_graph()


def _with_tables(quantized: onnx.ModelProto, artifact: Artifact) -> onnx.ModelProto:
    """Tables of embeddings in int8 as well, in networks that torch exported: there they can be most of the bytes."""
    return int8_embeddings(quantized) if artifact.kind in ("exported", "brought") else quantized


def dynamic_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Products with int8 weights; ranges of their inputs are found at run time, over the whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with on_disk(model) as (source, target):
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(PRODUCTS),
            per_channel=columns_differ(model) and not stacks(model),
            weight_type=QuantType.QInt8,
        )
        return loaded(target, model)
