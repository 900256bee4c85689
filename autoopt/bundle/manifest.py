"""The manifest: what a bundle holds, what was measured, and the hash of every file."""

import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autoopt import __version__
from autoopt.bundle.contents import MANIFEST, SCHEMA_VERSION, BundleContents, file_of, weights_of
from autoopt.bundle.own_module import is_torch, module_json
from autoopt.errors import BundleError
from autoopt.files import sha256_file
from autoopt.stages.contract import VerifiedArtifact

LIBRARIES = ("numpy", "onnx", "onnxruntime", "openvino", "pillow", "scikit-learn", "lightgbm", "torch", "optuna")


def environment() -> dict[str, Any]:
    """Python, platform and library versions of this process."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "libraries": found,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _artifact(artifact: VerifiedArtifact, weights: Iterable[str], folder: Path) -> dict[str, Any]:
    if sha256_file(folder / file_of(artifact)) != artifact.sha256:
        raise BundleError(
            f"{artifact.file} is no longer the {artifact.role} graph that was verified, so nothing was exported. "
            "The store was changed meanwhile; export again."
        )
    return {
        "role": artifact.role,
        "path": file_of(artifact),
        "form": "torch" if is_torch(artifact) else "onnx",
        "bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "valid": artifact.valid.to_json(),
        "test": artifact.test.to_json() if artifact.test else None,
        "latency": dict(artifact.latency),
        "parity": dict(artifact.parity),
        "serving": dict(artifact.serving),
        "recipe": dict(artifact.recipe),
        "weights": sorted(weights),
    }


def manifest_json(contents: BundleContents, folder: Path) -> dict[str, Any]:
    """The manifest of the files that lie in `folder`, itself left out. Raises BundleError for a graph that changed."""
    facts, verified = contents.facts, contents.verified
    pair = [a for a in (verified.float_artifact, verified.twin) if a is not None]
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {
        "schema_version": SCHEMA_VERSION,
        "autoopt_version": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": contents.study.name,
        "trial": contents.trial.number,
        "pick": contents.pick,
        "modality": facts.modality.value,
        "raw_form": facts.raw_form.value,
        "kind": facts.kind.value,
        "target": facts.target,
        "classes": list(facts.classes),
        "metric": facts.metric,
        "metric_direction": facts.metric_direction,
        "module": module_json(facts),
        "recipe": contents.trial.recipe,
        "chosen": contents.chosen,
        "missed": contents.missed,
        "tolerance": contents.tolerance,
        "twin_reason": verified.twin_reason,
        "twin_compared": verified.twin_compared,
        "twins_tried": [dict(attempt) for attempt in verified.tried],
        "artifacts": [_artifact(a, weights_of(verified, a.role), folder) for a in pair],
        "baseline": {"valid": verified.baseline.get("valid"), "test": verified.baseline.get("test")},
        "test_looks": contents.test_looks,
        "notes": list(verified.notes),
        "environment": environment(),
        "data": {
            "name": facts.name,
            "fingerprint": facts.fingerprint,
            "rows": dict(facts.rows),
            "split": facts.split,
            "seed": facts.seed,
        },
        "backbone": asdict(facts.backbone) if facts.backbone else None,
        "files": {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256_file(p)} for p in files},
    }
