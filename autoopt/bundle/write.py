"""Writes a bundle beside its place and swaps it in: a reader finds the old one or the new one, never a part."""

import json
import secrets
import shutil
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from autoopt.bundle.contents import FRONT, GRAPHS, MANIFEST, SAMPLE, BundleContents
from autoopt.bundle.manifest import manifest_json
from autoopt.bundle.mlmodel import write_mlmodel
from autoopt.errors import OptionError
from autoopt.files import new_folder, write_json
from autoopt.files.atomic import sync_folder
from autoopt.runtime import front_json
from autoopt.space.recipe import Recipe

RECIPE_HEAD = """\
# The recipe of trial {trial} of study {study}. To run it again:
#   autoopt search DATA --target {target} --recipe recipe.yaml
"""


def check_target(folder: Path) -> None:
    """A bundle replaces a bundle or an empty folder, never anything else. Raises OptionError."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OptionError(f"-o {str(folder)!r} exists and is no folder.", "Give a new folder for the bundle.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise OptionError(f"-o {str(folder)!r} is a folder with other things in it.", "Give a new folder.")
    ancestor = next((p for p in folder.absolute().parents if p.exists()), None)
    if ancestor is not None and not ancestor.is_dir():
        raise OptionError(f"-o {str(folder)!r} lies below {ancestor}, which is a file.", "Give a new folder.")


def write_bundle(folder: Path, contents: BundleContents) -> Path:
    """Write the bundle and put it at `folder`, replacing an older bundle. Raises OptionError for other folders."""
    check_target(folder)
    fresh = folder.parent / f".{folder.name}.{secrets.token_hex(6)}.new"
    with new_folder(fresh) as building:
        _fill(building, contents)
        write_json(building / MANIFEST, manifest_json(contents, building))
    aside = folder.parent / f".{folder.name}.{secrets.token_hex(6)}.old"
    if folder.exists():
        folder.rename(aside)
    fresh.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)
    return folder


def _fill(building: Path, contents: BundleContents) -> None:
    """Everything but the manifest."""
    verified, facts = contents.verified, contents.facts
    for artifact in (verified.float_artifact, verified.twin):
        if artifact is not None:
            shutil.copyfile(artifact.file, building / GRAPHS[artifact.role])
    front = front_json(
        number_columns=facts.number_columns,
        category_columns=facts.category_columns,
        kind=facts.kind.value,
        classes=facts.classes,
        numeric_classes=facts.numeric_classes,
        target=facts.target,
    )
    (building / FRONT).write_text(json.dumps(front, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (building / SAMPLE).write_text(json.dumps(verified.sample, allow_nan=False, ensure_ascii=False), encoding="utf-8")
    head = RECIPE_HEAD.format(
        trial=contents.trial.number, study=contents.study.name, target=json.dumps(facts.target, ensure_ascii=False)
    )
    (building / "recipe.yaml").write_text(head + Recipe(contents.trial.recipe).to_yaml(), encoding="utf-8")
    script = files("autoopt.bundle").joinpath("predict_script.txt").read_text(encoding="utf-8")
    (building / "predict.py").write_text(script, encoding="utf-8")
    pinned = "".join(f"{name}=={version(name)}\n" for name in ("numpy", "onnxruntime"))
    (building / "requirements.txt").write_text(pinned)
    weights = building / "weights"
    weights.mkdir()
    for name, source in verified.weights.items():
        shutil.copyfile(source, weights / Path(name).name)
    (building / "report.html").write_text(contents.report_html, encoding="utf-8")
    write_mlmodel(building, contents)
