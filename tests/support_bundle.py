"""Small real bundles: data prepared, a model trained and deployed by the stages, written as a bundle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from support_stages import Place, make_place, mixed_frame, recipe_of

from autoopt.bundle import BundleContents, write_bundle
from autoopt.bundle.seal import sealed
from autoopt.ledger import StudyRow, TrialRow
from autoopt.stages.contract import VerifyResult
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Snapshot
from autoopt.values import LATENCY_MS, QUALITY, SIZE_BYTES, Budget, Measurement, StudyState, TrialState


@dataclass(frozen=True, kw_only=True)
class Made:
    """A bundle, and what it was made of."""

    folder: Path
    contents: BundleContents
    place: Place
    frame: pd.DataFrame

    @property
    def facts(self) -> TaskFacts:
        return self.contents.facts


def wide_frame(rows: int = 240, seed: int = 3) -> pd.DataFrame:
    """Whole numbers, fractions, truth values and categories, all but the whole numbers with gaps; three classes."""
    draw = np.random.default_rng(seed)
    frame = mixed_frame(rows)
    visits, member = draw.integers(0, 60, rows), draw.random(rows) < 0.5
    label = np.where(member, 1, np.where(visits > 30, 2, 5))
    label = np.where(draw.random(rows) < 0.05, 5, label)
    return frame.drop(columns="label").assign(visits=visits, member=member, label=label)


def study_row(**changes: Any) -> StudyRow:
    row = StudyRow(
        id=1,
        name="made",
        spec={"seed": 1, "space": {"source": "tabular"}},
        state=StudyState.FINISHED,
        note="",
        budget=Budget(seconds=60.0, trials=None),
        spent_s=58.25,
        epoch=1,
        created_at="2026-01-02T03:04:05.000006+00:00",
        owner=None,
    )
    return replace(row, **changes)


def trial_row(
    number: int, quality: float | None, latency_ms: float | None = None, size_bytes: float | None = None, **changes: Any
) -> TrialRow:
    """A complete trial with these figures, unless `changes` say otherwise."""
    found = {QUALITY: quality, LATENCY_MS: latency_ms, SIZE_BYTES: size_bytes}
    row = TrialRow(
        number=number,
        recipe={"model": "linear", "quantize": "none", "linear.C": 1.0 + number},
        recipe_sha256="0" * 64,
        source="planner",
        state=TrialState.COMPLETE,
        reason="",
        message="",
        measures={name: Measurement(value=v) for name, v in found.items() if v is not None},
        artifact_key="1" * 64,
        artifact_sha256="2" * 64,
        stages=[],
        notes=[],
        created_at="2026-01-02T03:04:05+00:00",
        finished_at="2026-01-02T03:04:06+00:00",
        seconds=1.25,
        attempts=1,
        duplicate_of=None,
        slot_index=0,
    )
    return replace(row, **changes)


def contents_of(place: Place, verified: VerifyResult, recipe: Mapping[str, Any], **changes: Any) -> BundleContents:
    measured = trial_row(7, verified.float_artifact.valid.value, 0.02, float(verified.float_artifact.size_bytes))
    contents = BundleContents(
        study=study_row(),
        facts=Snapshot.open(place.snapshot).facts,
        trial=replace(measured, recipe=dict(recipe)),
        pick="best",
        verified=verified,
        chosen="float",
        missed="",
        tolerance=0.01,
        test_looks=2,
        report_html="<!doctype html><title>made</title>",
    )
    return replace(contents, **changes)


def make_bundle(
    folder: Path,
    frame: pd.DataFrame,
    model: str = "lightgbm",
    twin: str | None = "compact",
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Made:
    """A bundle in `folder / "bundle"`, the frame's target being its column 'label'."""
    place = make_place(folder, frame, "label")
    recipe = recipe_of(model, **(settings or {}))
    verified = place.verify(recipe, recipe_of(model, twin, **(settings or {})) if twin else None)
    contents = contents_of(place, verified, recipe.to_json(), **changes)
    write_bundle(folder / "bundle", contents)
    return Made(folder=folder / "bundle", contents=contents, place=place, frame=frame)


def seal_again(folder: Path, **changes: Any) -> None:
    """What a forger does: change the manifest and make its hash hold again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    (folder / "manifest.json").write_bytes(sealed({**manifest, **changes}))
