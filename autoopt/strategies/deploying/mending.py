"""Which forms of a graph do no more than to mend a loss of quality that a plainer form may have."""

from collections.abc import Mapping
from typing import Any, Final

FINER: Final[Mapping[str, str]] = {"bf16": "fp16"}
"""Values of `quantize` that mend nothing but a loss of quality, and of which form."""
KEEP_FLOAT: Final = "keep_float"
KEPT_FLOAT: Final = f"quantize.{KEEP_FLOAT}"
MENDING: Final = ("quantize.calibration", "quantize.calibration_rows", KEPT_FLOAT)


def only_mends(recipe: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a form can be better than the `other` in quality alone: it is the same one with more done to keep that.

    Other ranges and a fine-tuning in int8 change no byte; layers in float cost some. So where the other has lost
    nothing that matters, this one is of no use.
    """
    mended = {**recipe, "quantize": FINER.get(recipe.get("quantize", "none"), recipe.get("quantize", "none"))}
    same_form = _without_mending(mended) == _without_mending(other)
    return same_form and dict(recipe) != dict(other) and recipe.get(KEPT_FLOAT, 0) >= other.get(KEPT_FLOAT, 0)


def _without_mending(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe.items() if name not in MENDING and name.partition(".")[0] != "qat"}
