"""Checks a bundle on this machine: hashes, parity with what was exported, latency beside what was measured then."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoopt.bundle.check_serving import exact_tolerance, exported_ms, serving_told
from autoopt.bundle.fastest_artifact import fastest_words
from autoopt.bundle.load import Bundle, load_bundle
from autoopt.bundle.manifest import environment
from autoopt.errors import BundleError
from autoopt.files import measuring_lock
from autoopt.runtime import Feed, latency, reference_call

INT8_TOLERANCE = 0.05
"""Integer kernels saturate differently from CPU to CPU."""
MEASURING_S = 2.0
SERVING_SHARE = 0.5
"""Of measuring: for whether another way of running the graphs is faster here."""


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One thing that was checked."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All of them."""

    rows: tuple[CheckRow, ...]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(row.holds for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        return {"holds": self.holds, "checks": [asdict(row) for row in self.rows]}


def check_bundle(
    folder: Path, *, seconds: float = MEASURING_S, task: str | None = None, verify_key: str | None = None
) -> CheckReport:
    """Verify, predict the sample again, measure again for about `seconds`.

    `verify_key`: the public key that it must be signed with. Raises BundleError when the bundle cannot be loaded at
    all, OptionError for the key.
    """
    bundle = load_bundle(folder, task=task, verify_key=verify_key)
    sample, feed = bundle.sample(), bundle.sample_feed()
    count = len(bundle.manifest["files"]) + 1
    rows = [CheckRow(name="hashes", holds=True, detail=f"{count} files are the ones that were exported")]
    if verify_key is not None:
        rows.append(CheckRow(name="signature", holds=True, detail=f"made with the key of {verify_key}"))
    parities = [_parity(bundle, artifact, sample, feed) for artifact in bundle.manifest["artifacts"]]
    rows += parities
    if all(row.holds for row in parities):
        rows += _latencies(bundle, feed, (1 - SERVING_SHARE) * seconds)
        told = serving_told(bundle, feed, SERVING_SHARE * seconds)
        rows += [CheckRow(name=f"serving of {role}", holds=True, detail=detail) for role, detail in told.items()]
    rows.append(_environment(bundle))
    return CheckReport(rows=tuple(rows))


def _parity(bundle: Bundle, artifact: Mapping[str, Any], sample: Mapping[str, Any], feed: Feed) -> CheckRow:
    """Whether a graph still gives the scores of the sample; one that cannot run at all does not."""
    role = artifact["role"]
    name = f"parity of {role}"
    try:
        expected = np.asarray(sample[role], dtype=np.float64)
        found = bundle.predictor(role).scores_of_feed(feed)
    except BundleError as error:
        return CheckRow(name=name, holds=False, detail=str(error))
    except (KeyError, TypeError, ValueError, OverflowError):
        return CheckRow(name=name, holds=False, detail=f"the sample holds no scores of the {role} artifact")
    if found.shape != expected.shape or not expected.size:
        return CheckRow(name=name, holds=False, detail=f"scores are {found.shape}, in the sample {expected.shape}")
    difference = float(np.abs(found - expected).max())
    scale = float(np.abs(expected).max()) or 1.0
    if bundle.classes:  # probabilities, but for graphs of others, which may give logits
        scale = max(scale, 1.0)
    lossless = role == "float" or artifact.get("parity", {}).get("gate") == "scores"
    allowed = (exact_tolerance(bundle, role) if lossless else INT8_TOLERANCE) * scale
    return CheckRow(
        name=name,
        holds=bool(difference <= allowed),
        detail=f"largest difference on {len(expected)} sample rows {difference:.2g}, allowed {allowed:.2g}",
    )


def _latencies(bundle: Bundle, feed: Feed, seconds: float) -> list[CheckRow]:
    """Batch 1, run as `predict` does, all artifacts in turn; told, not judged: another machine has other figures."""
    first = {name: values[:1] for name, values in feed.items()}
    calls: dict[str, Callable[[], object]] = {
        role: partial(bundle.predictor(role).session.run, first) for role in bundle.roles
    }
    with measuring_lock():
        found = latency({**calls, "reference": reference_call()}, seconds=seconds)
    rows = []
    for artifact in bundle.manifest["artifacts"]:
        role = artifact["role"]
        then = exported_ms(bundle, artifact)
        detail = f"p50 {found[role].p50_ms:.4f} ms, p95 {found[role].p95_ms:.4f} ms; when exported {then:.4f} ms"
        rows.append(CheckRow(name=f"latency of {role}", holds=True, detail=detail))
    rows.append(CheckRow(name="fastest artifact", holds=True, detail=fastest_words(bundle, found)))
    return rows


def _environment(bundle: Bundle) -> CheckRow:
    then, now = bundle.manifest["environment"], environment()
    libraries = then.get("libraries", {})
    changed = [
        f"{name} {libraries.get(name)} → {now['libraries'].get(name, 'absent')}"
        for name in ("numpy", "onnxruntime")
        if libraries.get(name) != now["libraries"].get(name)
    ]
    if then.get("cpu") != now["cpu"]:
        changed.append(f"cpu {then.get('cpu')} → {now['cpu']}")
    return CheckRow(name="environment", holds=True, detail="; ".join(changed) or "as when exported")
