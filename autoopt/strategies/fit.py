"""Which choices a model can go with at all: what a stage would refuse in every trial, told before the first one."""

from autoopt.space.domains import Value
from autoopt.strategies.deploying.quantize import KIND_VALUES
from autoopt.strategies.model import Model


def misfit(model: type[Model], name: str, value: Value) -> str | None:
    """Why a model cannot go with this value of a main field, in a user's words; None where it can."""
    kind = model.artifact_kind
    if name == "quantize" and value not in KIND_VALUES[kind]:
        return f"{model.name} can be deployed with quantize {' or '.join(KIND_VALUES[kind])} only"
    if name == "encode" and value == "embed" and kind != "network":
        return f"{model.name} takes numbers only, and embeddings are a network's"
    if name == "impute" and value == "native" and kind != "trees":
        return f"{model.name} takes no missing values"
    return None
