"""Checks a bundle on this machine: hashes, parity with what was exported, latency beside what was measured then."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoopt.bundle.load import Bundle, load_bundle
from autoopt.bundle.manifest import environment
from autoopt.files import measuring_lock
from autoopt.runtime import latency, reference_call

PARITY_TOLERANCE = 1e-5
"""Scores in the sample are those of the same graph, so only another CPU's arithmetic may differ."""
INT8_TOLERANCE = 0.05
"""Integer kernels saturate differently from CPU to CPU."""
MEASURING_S = 2.0


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


def check_bundle(folder: Path) -> CheckReport:
    """Verify, predict the sample again, measure again. Raises BundleError when the bundle cannot be loaded at all."""
    bundle = load_bundle(folder)
    count = len(bundle.manifest["files"])
    rows = [CheckRow(name="hashes", holds=True, detail=f"{count} files are the ones that were exported")]
    rows += [_parity(bundle, role) for role in bundle.roles]
    rows += _latencies(bundle)
    rows.append(_environment(bundle))
    return CheckReport(rows=tuple(rows))


def _parity(bundle: Bundle, role: str) -> CheckRow:
    sample = bundle.sample()
    expected = np.asarray(sample[role], dtype=np.float64)
    found = bundle.scores(sample["columns"], artifact=role)
    difference = float(np.abs(found - expected).max())
    scale = 1.0 if bundle.classes else max(1.0, float(np.abs(expected).max()))
    allowed = (PARITY_TOLERANCE if role == "float" else INT8_TOLERANCE) * scale
    return CheckRow(
        name=f"parity of {role}",
        holds=bool(difference <= allowed),
        detail=f"largest difference on {len(expected)} sample rows {difference:.2g}, allowed {allowed:.2g}",
    )


def _latencies(bundle: Bundle) -> list[CheckRow]:
    """Batch 1, one thread, all artifacts in turn; told, not judged: another machine has other figures."""
    columns = {name: values[:1] for name, values in bundle.sample()["columns"].items()}
    feed = bundle.front.feed(columns)
    calls: dict[str, Callable[[], object]] = {
        role: partial(bundle.predictor(role).session.run, feed) for role in bundle.roles
    }
    with measuring_lock():
        found = latency({**calls, "reference": reference_call()}, seconds=MEASURING_S)
    rows = []
    for artifact in bundle.manifest["artifacts"]:
        role = artifact["role"]
        then = artifact["latency"]["batch_1"]["p50_ms"]
        detail = f"p50 {found[role].p50_ms:.4f} ms, p95 {found[role].p95_ms:.4f} ms; when exported {then:.4f} ms"
        rows.append(CheckRow(name=f"latency of {role}", holds=True, detail=detail))
    return rows


def _environment(bundle: Bundle) -> CheckRow:
    then, now = bundle.manifest["environment"], environment()
    libraries = {**then.get("libraries", {})}
    changed = [
        f"{name} {libraries[name]} → {now['libraries'].get(name, 'absent')}"
        for name in ("numpy", "onnxruntime")
        if libraries.get(name) != now["libraries"].get(name)
    ]
    if then.get("cpu") != now["cpu"]:
        changed.append(f"cpu {then.get('cpu')} → {now['cpu']}")
    return CheckRow(name="environment", holds=True, detail="; ".join(changed) or "as when exported")
