"""What an export says of its twin and keeps of it: a form that is not as promised stays out of the bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from autoopt.report.wording import form_words
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.stages.judge import bare_reason
from autoopt.values import Measurement

_STAYS: Final = "The quantized artifact stays, as it is what the trial deploys; as a twin it would have fallen: "


def settled(verified: VerifyResult, tried: Sequence[Mapping[str, Any]], *, is_pick: bool) -> VerifyResult:
    """What is exported of `verified`, with all that was `tried` (the form that was verified included).

    A quantized artifact that is not as promised goes, and the reason says so in one sentence; where the pick itself
    deploys that form (`is_pick`) it stays, and the reason says why.
    """
    found = replace(verified, tried=tuple(tried))
    if not verified.twin_reason and verified.twin is not None:
        return found
    if is_pick and verified.twin is not None:
        return replace(found, twin_reason=_STAYS + bare_reason(verified.twin_reason))
    sample = {name: values for name, values in verified.sample.items() if name != "quantized"}
    reason = _why_there_is_none(tried) or verified.twin_reason
    return replace(found, twin=None, twin_reason=reason, twin_compared="", twin_weights={}, sample=sample)


def _why_there_is_none(tried: Sequence[Mapping[str, Any]]) -> str:
    """One sentence; '' where nothing could be tried."""
    if not tried:
        return ""
    last = f"{form_words(tried[-1]['form'])}{': ' if len(tried) > 1 else ' fell: '}{tried[-1]['reason']}"
    if len(tried) == 1:
        return f"There is no quantized twin, as {last}"
    return f"There is no quantized twin, as all {len(tried)} forms that were tried fell; the last, {last}"


def artifacts_of(verified: VerifyResult) -> list[VerifiedArtifact]:
    """Those that are exported, the float one first."""
    return [a for a in (verified.float_artifact, verified.twin) if a is not None]


def with_tests(verified: VerifyResult, known: Mapping[str, Measurement]) -> VerifyResult:
    """With test scores by the artifacts' hashes, where there are any."""
    scored = {a.role: replace(a, test=known.get(a.sha256)) for a in artifacts_of(verified)}
    return replace(verified, float_artifact=scored["float"], twin=scored.get("quantized"))
