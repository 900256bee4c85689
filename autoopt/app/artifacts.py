"""What is made of a stored study (a report, a bundle), and what is done with a bundle (predict, check)."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoopt.app.forms import shown_forms
from autoopt.app.options import Places
from autoopt.app.sheet import contact_sheet
from autoopt.app.studies import open_ledger
from autoopt.app.study import Study
from autoopt.bundle import CheckReport, check_bundle, check_target, load_bundle, read_manifest
from autoopt.errors import BundleError, OptionError
from autoopt.files import user_path, write_bytes, write_text
from autoopt.report import StudyView, render_report
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.values import Measurement

if TYPE_CHECKING:
    import pandas as pd

PREDICTION_FORMATS = (".csv", ".parquet")


def write_report(study: str, places: Places, output: str | Path, *, images: bool = True) -> Path:
    """Write the study's page, whole or not at all; returns its path. Raises OptionError, StudyNotFound.

    `images`: of a study of images, whether it shows some of them.
    """
    path = _new_file(output)
    write_text(path, render_report(study_view(Study(study, places), images=images)))
    return path


def export_bundle(
    study: str,
    places: Places,
    pick: str,
    output: str | Path,
    sign: str | None = None,
    targets: tuple[str, ...] | None = None,
    seconds: float | None = None,
) -> Path:
    """Verify a pick and write its bundle, signed with the key in the file `sign`; returns the folder.

    `targets`: runtimes that may serve it, in place of the study's. `seconds`: as `Study.export`.
    Raises OptionError, StudyError.
    """
    folder = Path(output).absolute()  # the ledger remembers it, and later commands run elsewhere
    check_target(Path(output))
    return Study(study, places).export(folder, pick=pick, sign=sign, targets=targets, seconds=seconds)


def predict_file(
    bundle: str,
    data: str,
    output: str | None,
    artifact: str,
    task: str | None = None,
    verify_key: str | None = None,
) -> tuple[int, str]:
    """Predict the rows of a file, the images of a folder or the arrays of an .npz file, one line for each, in order.

    Returns the number of rows, and CSV text when no `output` (.csv or .parquet) was given. Raises BundleError for a
    bundle that is not whole, DataError for rows that do not fit it, OptionError for an output that cannot be written.
    """
    from autoopt.app.predicting import predicted_data  # pandas and pyarrow: not before they are needed

    path = None if output is None else _prediction_file(output)
    loaded = load_bundle(bundle, task=task, verify_key=verify_key)
    loaded.predictor(artifact)  # whether that artifact is there, before the rows are read
    predicted = predicted_data(loaded, data, artifact)
    if path is None:
        return len(predicted), predicted.to_csv(index=False, lineterminator="\n")
    write_bytes(path, _encoded(predicted, path.suffix.lower()))
    return len(predicted), ""


def check_folder(bundle: str | Path, task: str | None = None, verify_key: str | None = None) -> CheckReport:
    """Check a bundle on this machine. Raises BundleError when it cannot be loaded at all, OptionError for the key."""
    return check_bundle(Path(bundle), task=task, verify_key=verify_key)


def study_view(study: Study, *, images: bool = True) -> StudyView:
    """A stored study as the report shows it; the exported pair is that of its last bundle, if it is still there."""
    with open_ledger(study.places) as ledger:
        exports = ledger.exports(study.name)
    context, trials, manifest = study.context, tuple(study.trials), _manifest(study)
    exported = next((t for t in trials if manifest and t.number == manifest["trial"]), None)
    forms, spared = shown_forms(context, trials, (manifest["trial"], manifest["chosen"]) if manifest else None)
    return StudyView(
        study=study.row,
        facts=context.facts,
        objectives=context.objectives,
        limits=context.limits,
        trials=trials,
        front=tuple(study.front),
        best=exported or study.best or study.nearest_miss,
        verified=_verified(manifest) if manifest and exported else None,
        test_looks=sum(e.test is not None for e in exports),
        forms=forms,
        spared=spared,
        images=contact_sheet(context.snapshot, context.facts) if images else {},
        **_of_manifest(manifest if exported else None),
    )


def _of_manifest(manifest: dict[str, Any] | None) -> dict[str, Any]:
    """What a view has of an export."""
    if manifest is None:
        return {}
    return {name: manifest[name] for name in ("chosen", "missed", "environment")}


def _manifest(study: Study) -> dict[str, Any] | None:
    """Of the last export; None where it is gone, damaged, or where another study's bundle took its place."""
    folder = study.bundle
    if folder is None:
        return None
    try:
        found = read_manifest(folder)
    except BundleError:
        return None
    return found if found["study"] == study.name else None


def _verified(manifest: dict[str, Any]) -> VerifyResult:
    """What the export measured, as its manifest has it."""
    artifacts = {a["role"]: _artifact(a) for a in manifest["artifacts"]}
    return VerifyResult(
        float_artifact=artifacts["float"],
        twin=artifacts.get("quantized"),
        twin_reason=manifest["twin_reason"],
        twin_compared=manifest.get("twin_compared", ""),  # older bundles have none, nor what was tried
        tried=tuple(manifest.get("twins_tried", ())),
        baseline={k: v for k, v in manifest["baseline"].items() if v is not None},
        notes=tuple(manifest["notes"]),
    )


def _artifact(raw: dict[str, Any]) -> VerifiedArtifact:
    return VerifiedArtifact(
        role=raw["role"],
        artifact_key="",
        file=raw["path"],
        sha256=raw["sha256"],
        size_bytes=raw["bytes"],
        recipe=raw["recipe"],
        valid=Measurement.from_json(raw["valid"]),
        test=Measurement.from_json(raw["test"]) if raw["test"] else None,
        latency=raw["latency"],
        parity=raw["parity"],
        serving=raw.get("serving", {}),  # older bundles have none
    )


def _encoded(predicted: "pd.DataFrame", suffix: str) -> bytes:
    if suffix == ".csv":
        return predicted.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    predicted.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _prediction_file(output: str) -> Path:
    path = _new_file(output)
    if path.suffix.lower() not in PREDICTION_FORMATS:
        raise OptionError(
            f"-o {output!r} has an ending that is not known.", "Give a file that ends in .csv or .parquet."
        )
    return path


def _new_file(output: str | Path) -> Path:
    """A path that a file can be written to. Raises OptionError."""
    path = user_path(output)
    if path.is_dir():
        raise OptionError(f"-o {str(output)!r} is a folder.", "Give the name of a file.")
    if not path.parent.is_dir():
        raise OptionError(f"-o {str(output)!r}: there is no folder {path.parent}.", "Make it first, or give another.")
    return path
