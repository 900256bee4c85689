"""Whether a form may stand as the twin beside its float artifact: it gains something, and loses nothing that matters.

Both are reloaded files, measured in turns, and these are the terms:

* It gains: its file is smaller by a per cent at least, or it is faster beyond the noise, with one row or with 256.
* It loses nothing: of the metric on valid it loses no more than the tolerance, its file is not larger by a per cent,
  and neither with one row nor with 256 is it slower beyond the noise.

Beyond the noise: each block of the timing has its median on the same side of all the other's, and the medians of all
calls are two per cent apart. So what is much smaller but slower at one row is no twin: who serves rows one by one would
be handed something worse.
"""

from typing import Final

from autoopt.stages.contract import VerifiedArtifact
from autoopt.task.facts import TaskFacts
from autoopt.values import faster_beyond_noise, format_bytes

NOT_PROMISED: Final = "The quantized twin is not as promised: "
NO_TWIN: Final = "There is no quantized twin: "
_BATCHES: Final = {"batch_1": "one row", "batch_256": "256 rows"}
_SAME_SIZE: Final = 0.99
"""A per cent less counts: below that it is a matter of names in the file."""


def relative_loss(facts: TaskFacts, reference: float, found: float) -> float:
    """How much worse `found` is than `reference`, as a share of it; negative when it is better."""
    worse = reference - found if facts.metric_direction == "maximize" else found - reference
    return worse / abs(reference) if reference else (0.0 if worse == 0 else float("inf") * worse)


def judge_twin(
    facts: TaskFacts, original: VerifiedArtifact, twin: VerifiedArtifact, tolerance: float, *, error: float = 0.0
) -> str:
    """What is wrong with the twin, in words with figures; '' when it is as promised.

    `error`: of a twin whose weights were chosen by valid, the standard error of its loss there, in the metric's unit;
    the tolerance has to hold with it.
    """
    reasons = []
    loss = relative_loss(facts, original.valid.value, twin.valid.value)
    doubt = error / abs(original.valid.value) if original.valid.value else 0.0
    if loss + doubt > tolerance:
        told = f"{loss:.2%}" + (f" ± {doubt:.2%}" if doubt else "")
        reasons.append(
            f"it loses {told} of {facts.metric} on valid ({twin.valid.value:.5g} against {original.valid.value:.5g})"
            f"{', by which it learned when to stop' if doubt else ''}, more than the tolerance of {tolerance:.2%}"
        )
    worse = [f"larger ({_sizes(original, twin)})"] if original.size_bytes < _SAME_SIZE * twin.size_bytes else []
    slower = [batch for batch in _BATCHES if _faster(twin, original, batch)]
    if slower:
        told = " and ".join(f"with {_BATCHES[batch]} ({_speeds(original, twin, batch)})" for batch in slower)
        worse.append(f"slower beyond the noise {told}")
    if worse:
        reasons.append(f"it is {' and '.join(worse)}")
    elif twin.size_bytes >= _SAME_SIZE * original.size_bytes and not any(_faster(original, twin, b) for b in _BATCHES):
        reasons.append(
            f"it is neither smaller ({_sizes(original, twin)}) nor faster beyond the noise "
            f"({_speeds(original, twin, 'batch_1')} a row)"
        )
    return f"{NOT_PROMISED}{'; '.join(reasons)}." if reasons else ""


def bare_reason(reason: str) -> str:
    """A reason without the words that all of them begin with."""
    return reason.removeprefix(NOT_PROMISED).removeprefix(NO_TWIN)


def compared(facts: TaskFacts, original: VerifiedArtifact, twin: VerifiedArtifact) -> str:
    """A twin beside its float artifact: `3.92 times smaller, 1.40 times faster with one row, ..., accuracy +0.0012`.

    What lies within the noise is as fast.
    """
    ratio = original.size_bytes / twin.size_bytes
    told = [f"{max(ratio, 1 / ratio):.2f} times {'smaller' if ratio > 1 else 'larger'}"]
    if _SAME_SIZE <= ratio <= 1 / _SAME_SIZE:
        told = ["as large"]
    for batch, rows in _BATCHES.items():
        speed = original.latency[batch]["p50_ms"] / twin.latency[batch]["p50_ms"]
        if _faster(original, twin, batch):
            told.append(f"{speed:.2f} times faster with {rows}")
        elif _faster(twin, original, batch):
            told.append(f"{1 / speed:.2f} times slower with {rows}")
        else:
            told.append(f"as fast with {rows}")
    gap = twin.valid.value - original.valid.value
    return ", ".join([*told, f"{facts.metric} on valid {gap:+.4g}" if gap else f"the same {facts.metric} on valid"])


def _faster(original: VerifiedArtifact, twin: VerifiedArtifact, batch: str) -> bool:
    """Whether the twin is faster beyond the noise."""
    slow, fast = original.latency[batch], twin.latency[batch]
    return faster_beyond_noise(fast["p50_ms"], fast["high_ms"], than_median=slow["p50_ms"], than_low=slow["low_ms"])


def _sizes(original: VerifiedArtifact, twin: VerifiedArtifact) -> str:
    return f"{format_bytes(twin.size_bytes)} against {format_bytes(original.size_bytes)}"


def _speeds(original: VerifiedArtifact, twin: VerifiedArtifact, batch: str) -> str:
    return f"{twin.latency[batch]['p50_ms']:.4f} ms against {original.latency[batch]['p50_ms']:.4f} ms"
