"""How small the deployed graph's numbers are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.strategies.base import Stage, Strategy, choice, whole
from autoopt.strategies.deploying.convolutions import PRODUCTS, mostly_convolutions, static_int8_convolutions
from autoopt.strategies.deploying.embeddings import int8_embeddings
from autoopt.strategies.deploying.quantizer import calibration_reader, loaded, on_disk
from autoopt.strategies.model import Artifact, Prepared
from autoopt.strategies.text.wide_linear import WideLinearArtifact
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.task.facts import TaskFacts
from autoopt.values import FailureReason, Slot

WIDE_COLUMN = 4.0

KIND_VALUES: Mapping[str, tuple[str, ...]] = {
    "network": ("none", "dynamic_int8", "static_int8"),
    "exported": ("none", "dynamic_int8", "static_int8"),
    "trees": ("none", "compact"),
    "linear": ("none",),
    "wide_linear": ("none", "weights_int8"),
}
"""For each kind of artifact, the values of `quantize` that do something with it."""


def twin_choice(artifact_kind: str, *, convolves: bool = False) -> tuple[str, ...]:
    """In the order in which to try them: what makes the quantized twin of an artifact; nothing for a linear model.

    `convolves`: it is a network of convolutions, which dynamic_int8 does not serve.
    """
    if convolves:
        return ("static_int8",)
    return {
        "network": ("static_int8", "dynamic_int8"),
        "exported": ("static_int8", "dynamic_int8"),
        "trees": ("compact",),
        "wide_linear": ("weights_int8",),
    }.get(artifact_kind, ())


@final
@dataclass(frozen=True, kw_only=True)
class Quantize(Strategy):
    """Compression of the deployed graph after training.

    * none: float32.
    * weights_int8 (linear models of texts): int8 coefficients, as fast as float: the runtime unpacks them once.
    * compact (trees): the same trees in the smallest encoding that gives the same predictions.
    * dynamic_int8 (networks): int8 weights; the range of each product's input is taken anew from each batch.
    * static_int8 (networks): int8 weights and uint8 inputs of products, with ranges seen on calibration rows. Of
      networks of convolutions also what lies between them; for these it is the only form.

    Weights take a quarter of the bytes. At batch 1, networks of 512 units get two to four times as fast, those of 256
    stay as they are, and those of 128 and less get slower, as the conversions cost more than the products save; at
    batch 256 all gain, the wide ones three times and more (scripts/bench/twin.py): measure. Embeddings of tokens are
    looked up in int8 and summed in float. Scores, skips and embeddings of categories stay float (Jacob et al. 2018).
    On processors without VNNI, sums of uint8 x int8 may saturate: the export's parity check tells.
    calibration_rows 64 to 4096: rows of the training part whose ranges static_int8 goes by.
    """

    name: ClassVar[str] = "quantize"
    stage: ClassVar[Stage] = "deploy"
    field_when: ClassVar = {"calibration_rows": {"quantize": ("static_int8",)}}

    form: str = choice(
        "none", "compact", "weights_int8", "dynamic_int8", "static_int8", main=True, help="compression after training"
    )
    calibration_rows: int = whole(1024, low=64, high=4096, log=True, help="training rows that give the ranges")

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        own = task.module_facts
        if own is None or value == "none":
            return None
        if own.untraceable:
            return f"torch.export cannot trace the module: {own.untraceable}"
        if value == "dynamic_int8" and own.convolves:
            return "the runtime's dynamic convolutions are several times slower than its float ones"
        return None

    def apply(self, artifact: Artifact, calibration: Prepared | None) -> onnx.ModelProto:
        """The graph to deploy. `calibration` are prepared training rows, needed by static_int8 only.

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
        if self.form == "weights_int8" and isinstance(artifact, WideLinearArtifact):
            return artifact.int8_graph()
        graph = artifact.graph()
        convolves = mostly_convolutions(graph)
        if self.form == "dynamic_int8":
            if convolves:  # the runtime's dynamic convolutions are several times slower than its float ones
                message = "quantize: dynamic_int8 is of no use to a network of convolutions; static_int8 is"
                raise StageFailure(FailureReason.ERROR, message)
            return _with_tables(dynamic_int8(graph), artifact)
        if calibration is None or calibration.rows == 0:
            raise StageFailure(FailureReason.ERROR, "quantize: static_int8 needs calibration rows, and there are none")
        quantized = static_int8_convolutions if convolves else static_int8
        chosen = spread_rows(calibration.rows, self.calibration_rows)
        return _with_tables(quantized(graph, calibration, chosen), artifact)


def _with_tables(quantized: onnx.ModelProto, artifact: Artifact) -> onnx.ModelProto:
    """Tables of embeddings in int8 as well, in networks that torch exported: there they can be most of the bytes."""
    return int8_embeddings(quantized) if artifact.kind == "exported" else quantized


def spread_rows(rows: int, count: int) -> NDArray[np.int64]:
    """At most `count` of so many rows, evenly spread over all: the same ones each time."""
    if rows <= count:
        return np.arange(rows)
    return np.linspace(0, rows - 1, count).round().astype(np.int64)


def dynamic_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Products with int8 weights; ranges of their inputs are found at run time, over the whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with on_disk(model) as (source, target):
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(PRODUCTS),
            per_channel=columns_differ(model),
            weight_type=QuantType.QInt8,
        )
        return loaded(target, model)


def static_int8(model: onnx.ModelProto, calibration: Prepared, chosen: NDArray[np.int64]) -> onnx.ModelProto:
    """Products on int8 weights and uint8 inputs, as Q/DQ nodes of the standard; ranges from the chosen
    calibration rows.

    Inputs are unsigned: with signed ones the runtime rewrites some ranges to unsigned and others not, the two sides of
    a product then differ, and half of the products silently run in float with their weights unpacked at every call.
    Outputs are not quantized: skips and scores keep their precision, and the graph is smaller and faster.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with on_disk(model) as (source, target):
        quantize_static(
            source,
            target,
            calibration_reader(model, calibration, chosen),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            per_channel=columns_differ(model),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,  # entropy and percentiles gained nothing on networks like ours
            extra_options={"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
        )
        return loaded(target, model)


def columns_differ(model: onnx.ModelProto) -> bool:
    """Whether some matrix needs a scale for each output column: its widest column is far wider than most.

    One scale for a whole matrix is 3 % smaller and 10 to 15 % faster at batch 1, and as good unless a few columns
    claim the range: at 4 times the median width, the others have lost two of their eight bits.
    """
    matrices = {name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input[1:2]}
    for initializer in model.graph.initializer:
        if initializer.name in matrices:
            widths = np.abs(onnx.numpy_helper.to_array(initializer)).max(axis=0)
            if widths.max() > WIDE_COLUMN * np.median(widths):
                return True
    return False
