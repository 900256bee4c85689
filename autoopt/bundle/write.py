"""Writes a bundle beside its place and swaps it in: a reader finds the old one or the new one, never a part."""

import json
import os
import secrets
import shutil
from pathlib import Path

from autoopt.bundle.contents import FRONT, GRAPHS, MANIFEST, SAMPLE, WEIGHTS, BundleContents, file_of, weights_of
from autoopt.bundle.manifest import manifest_json
from autoopt.bundle.mlmodel import ENVIRONMENT, EXAMPLE, REQUIREMENTS, write_mlmodel
from autoopt.bundle.own_module import is_torch
from autoopt.bundle.script import SCRIPT_FILES, write_script
from autoopt.bundle.seal import sealed
from autoopt.bundle.signing import SIGNATURE, SigningKey
from autoopt.bundle.swap import hold, put_in_place, remove_leftovers
from autoopt.bundle.verify import read_manifest
from autoopt.errors import BundleError, OptionError
from autoopt.files.atomic import sync_file, sync_folder
from autoopt.runtime.predictor import WEIGHTS_FILE
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import AUGMENTED
from autoopt.stages.front import front_of
from autoopt.task.facts import Modality, Role, TaskFacts

OTHER_FILES = (
    "recipe.yaml",
    *SCRIPT_FILES,
    AUGMENTED,
    "report.html",
    "MLmodel",
    ENVIRONMENT,
    EXAMPLE,
    REQUIREMENTS,
)
RECIPE_HEAD = """\
# The recipe of trial {trial} of study {study}. To run it again:
#   autoopt {command} {data} --recipe recipe.yaml
"""


def check_target(folder: Path) -> None:
    """A bundle replaces a bundle or an empty folder, never anything else. Raises OptionError."""
    name, place = str(folder), folder.absolute()
    if not place.name or Path.cwd().resolve().is_relative_to(place.resolve()):
        raise OptionError(f"-o {name!r} is the folder you are in, or above it.", "Give a new folder for the bundle.")
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise OptionError(f"-o {name!r} exists and is no folder.", "Give a new folder for the bundle.")
    other = sorted(_other_things(place))
    if other:
        shown = ", ".join(repr(o) for o in other[:5]) + (", ..." if len(other) > 5 else "")
        raise OptionError(f"-o {name!r} is a folder with other things in it: {shown}.", "Give a new folder.")
    ancestor = next(p for p in place.parents if p.exists())
    if not ancestor.is_dir():
        raise OptionError(f"-o {name!r} lies below {ancestor}, which is a file.", "Give a new folder.")
    if not os.access(ancestor, os.W_OK | os.X_OK):
        raise OptionError(f"-o {name!r}: this user may not write into {ancestor}.", "Give a folder elsewhere.")


def _other_things(folder: Path) -> set[str]:
    """What a folder holds that is not a bundle's: all of it, where there is no manifest of ours."""
    if not folder.is_dir():
        return set()
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    if MANIFEST not in found:
        return found
    try:
        own = set(read_manifest(folder)["files"])
    except (BundleError, KeyError, TypeError):
        own = _usual_names(folder)
    return found - own - {MANIFEST, SIGNATURE} if own else found


def _usual_names(folder: Path) -> set[str]:
    """Names of a bundle's files, for one whose manifest is damaged or of another version: it may be replaced too."""
    if not (folder / MANIFEST).is_file():  # a pipe would be waited at
        return set()
    with (folder / MANIFEST).open("rb") as file:
        ours = b'"schema_version"' in file.read(1000)
    weights = {str(p.relative_to(folder)) for p in (folder / WEIGHTS).glob("*")}
    return {FRONT, SAMPLE, *GRAPHS.values(), WEIGHTS_FILE, *OTHER_FILES, *weights} if ours else set()


def write_bundle(folder: Path, contents: BundleContents, *, key: SigningKey | None = None) -> Path:
    """Write the bundle and put it at `folder`, replacing an older bundle; what is there stays whole until then.

    With a `key` it is signed. Raises OptionError for a folder that holds other things or cannot be written.
    """
    check_target(folder)
    place = folder.absolute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place)
        _write(place, contents, key)
    except OSError as error:
        raise OptionError(
            f"The bundle cannot be written to {folder}: {error.strerror}.", "Give a folder elsewhere."
        ) from error
    return folder


def _write(place: Path, contents: BundleContents, key: SigningKey | None) -> None:
    mark = secrets.token_hex(6)
    fresh, aside = (place.parent / f".{place.name}.{mark}.{kind}" for kind in ("new", "old"))
    fresh.mkdir()
    handle = hold(fresh)
    try:
        _fill(fresh, contents)
        manifest = sealed(manifest_json(contents, fresh))
        (fresh / MANIFEST).write_bytes(manifest)
        if key is not None:
            (fresh / SIGNATURE).write_bytes(key.signature(manifest))
        for path in (*fresh.rglob("*"), fresh):
            sync_folder(path) if path.is_dir() else sync_file(path)
        put_in_place(fresh, place, aside)
        sync_folder(place.parent)
    finally:
        os.close(handle)
        for old in (fresh, aside):
            shutil.rmtree(old, ignore_errors=True)


def _data_words(facts: TaskFacts, image: str | None) -> str:
    """What a search is told of these data, as one types it; `image`: the column of a table that names images."""

    def typed(words: str) -> str:
        return json.dumps(words, ensure_ascii=False)

    if facts.graph is not None:
        return f"{facts.graph.name} --data ROWS"
    if facts.modality is Modality.MODULE:
        return facts.module or "TASK"
    has_target = image is not None or any(c.role is Role.TARGET for c in facts.columns)  # which demos, folders say
    options = {"--image": image or "", "--target": facts.target if has_target else ""}
    options |= {"--text": ",".join(facts.text_columns), "--backbone": facts.backbone.name if facts.backbone else ""}
    options |= {"--embeddings": facts.embeddings.name if facts.embeddings else ""}
    return " ".join(["DATA", *(f"{name} {typed(value)}" for name, value in options.items() if value)])


def _fill(building: Path, contents: BundleContents) -> None:
    """Everything but the manifest."""
    verified, facts = contents.verified, contents.facts
    for artifact in (verified.float_artifact, verified.twin):
        if artifact is not None:
            shutil.copyfile(artifact.file, building / file_of(artifact))
    front = json.dumps(front_of(facts), indent=2, ensure_ascii=False)
    (building / FRONT).write_text(front + "\n", encoding="utf-8")
    (building / SAMPLE).write_text(json.dumps(verified.sample, allow_nan=False, ensure_ascii=False), encoding="utf-8")
    data = _data_words(facts, contents.study.spec.get("image"))
    command = "compress" if facts.came_trained else "search"
    head = RECIPE_HEAD.format(trial=contents.trial.number, study=contents.study.name, command=command, data=data)
    (building / "recipe.yaml").write_text(head + Recipe(contents.trial.recipe).to_yaml(), encoding="utf-8")
    if not is_torch(verified.float_artifact):  # weights run in the user's own code alone: `predict --task`
        write_script(building, contents, facts.raw_form)
    kept = weights_of(verified, "float") | weights_of(verified, "quantized")
    kept |= {name: path for name, path in verified.weights.items() if name == AUGMENTED}
    if verified.weights:
        (building / WEIGHTS).mkdir()
    for name, source in kept.items():
        shutil.copyfile(source, building / name)
    (building / "report.html").write_text(contents.report_html, encoding="utf-8")
    write_mlmodel(building, contents)
