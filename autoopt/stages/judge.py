"""Whether a quantized twin is as promised: no worse than the tolerance, and smaller or faster."""

from autoopt.stages.contract import VerifiedArtifact
from autoopt.task.facts import TaskFacts
from autoopt.values import format_bytes

_SMALLER = 0.99  # a per cent less counts: below that it is a matter of names in the file


def relative_loss(facts: TaskFacts, reference: float, found: float) -> float:
    """How much worse `found` is than `reference`, as a share of it; negative when it is better."""
    worse = reference - found if facts.metric_direction == "maximize" else found - reference
    return worse / abs(reference) if reference else (0.0 if worse == 0 else float("inf") * worse)


def judge_twin(facts: TaskFacts, original: VerifiedArtifact, twin: VerifiedArtifact, tolerance: float) -> str:
    """What is wrong with the twin, in words with figures; '' when it is as promised."""
    reasons = []
    loss = relative_loss(facts, original.valid.value, twin.valid.value)
    if loss > tolerance:
        reasons.append(
            f"it loses {loss:.2%} of {facts.metric} on valid ({twin.valid.value:.5g} against "
            f"{original.valid.value:.5g}), more than the tolerance of {tolerance:.2%}"
        )
    smaller = twin.size_bytes < _SMALLER * original.size_bytes
    faster = any(_faster(original, twin, batch) for batch in ("batch_1", "batch_256"))
    if not smaller and not faster:
        reasons.append(
            f"it is neither smaller ({format_bytes(twin.size_bytes)} against {format_bytes(original.size_bytes)}) nor "
            f"faster beyond the noise ({_milliseconds(twin)} against {_milliseconds(original)} a row)"
        )
    return "The quantized twin is not as promised: " + "; ".join(reasons) + "." if reasons else ""


def _faster(original: VerifiedArtifact, twin: VerifiedArtifact, batch: str) -> bool:
    return bool(twin.latency[batch]["high_ms"] < original.latency[batch]["low_ms"])


def _milliseconds(artifact: VerifiedArtifact) -> str:
    return f"{artifact.latency['batch_1']['p50_ms']:.4f} ms"
