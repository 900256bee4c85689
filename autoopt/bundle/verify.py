"""Whether a folder is a whole bundle: its manifest first, then every file that it lists, and no other."""

import hashlib
import json
import os
import reprlib
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from autoopt.bundle.contents import FRONT, GRAPHS, MANIFEST, SAMPLE, SCHEMA_VERSION
from autoopt.bundle.seal import is_sealed
from autoopt.bundle.signing import SIGNATURE, SIGNATURE_BYTES, VerifyKey
from autoopt.errors import BundleError
from autoopt.runtime.predictor import WEIGHTS_ENDING
from autoopt.runtime.serving import Serving

MAX_MANIFEST_BYTES = 5_000_000
MAX_LOADED_BYTES = 1 << 31
"""Of a graph, whose format allows no more, and of JSON. Weights may be larger."""
_TEXTS = ("study", "metric", "kind", "chosen", "twin_reason", "missed")
_SHOWN = 5
_TRIES = 5
_SHORT = reprlib.Repr()
_SHORT.maxstring = 200


def damaged(path: Path) -> BundleError:
    """What is said of a file that cannot be understood."""
    return BundleError(f"{path} is damaged. Export the bundle again.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, itself whole; the files that it lists are not looked at yet. Raises BundleError."""
    return _parsed(folder, _manifest_content(folder))


def _manifest_content(folder: Path) -> bytes:
    if not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises for names that are too long
        raise BundleError(f"{folder} is no folder. Give the folder that `autoopt search` or `export` wrote.")
    path = folder / MANIFEST
    if not os.path.lexists(path):
        raise BundleError(f"{folder} has no {MANIFEST}, so it is no bundle. Give the folder that `search` wrote.")
    with _opened(path, MAX_MANIFEST_BYTES) as file:
        return file.read(MAX_MANIFEST_BYTES)


def _parsed(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path) from error
    if not isinstance(manifest, dict):
        raise damaged(path)
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        told = f"{path} has schema version {_SHORT.repr(version)}; this autoopt reads {SCHEMA_VERSION}."
        raise BundleError(f"{told} Export it again.")
    if not _is_whole(manifest, content):
        raise _differs(path)
    return manifest


def _is_whole(manifest: Mapping[str, Any], content: bytes) -> bool:
    try:
        return is_sealed(manifest, content)
    except (ValueError, RecursionError):  # NaN, lone surrogates: never written by us
        return False


def verified_files(folder: Path, key: VerifyKey | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the bytes of the files that are loaded; every file is equal to its hash. Raises BundleError.

    With a `key`, the manifest is signed with it. A bundle that is replaced while it is read is read anew.
    """
    for _ in range(_TRIES):
        before = _identity(folder)
        try:
            return _verified_files(folder, key)
        except BundleError:
            if _identity(folder) == before:
                raise
    return _verified_files(folder, key)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        facts = folder.stat()
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def _verified_files(folder: Path, key: VerifyKey | None) -> tuple[dict[str, Any], dict[str, bytes]]:
    content = _manifest_content(folder)
    if key is not None:  # before a word of it is believed
        key.check(folder, content, _signature(folder / SIGNATURE))
    manifest = _parsed(folder, content)
    try:
        listed, artifacts = _listed(manifest)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(folder / MANIFEST) from error
    _check_names(folder, listed)
    for role, (path, *facts) in artifacts.items():
        if path not in listed or [*listed[path]] != facts:
            raise BundleError(f"{folder / MANIFEST}: the {role} artifact is not the file it names. Export it again.")
    if manifest["chosen"] not in artifacts or FRONT not in listed:
        raise BundleError(f"{folder / MANIFEST} names no chosen artifact or no {FRONT}. Export the bundle again.")
    kept = {FRONT, SAMPLE, *(path for path, *_ in artifacts.values())}
    contents = {name: _verified(folder / name, *listed[name], kept=name in kept) for name in listed}
    return manifest, {name: found for name, found in contents.items() if found is not None}


def _signature(path: Path) -> bytes | None:
    if not os.path.lexists(path):
        return None
    with _opened(path, SIGNATURE_BYTES) as file:
        return file.read(SIGNATURE_BYTES)


def _listed(manifest: Mapping[str, Any]) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[str, int, str]]]:
    """Size and hash by file; path, size and hash by role.

    Raises when a field that is read later is not what it must be.
    """
    _expect(all(isinstance(manifest[name], str) for name in _TEXTS))
    environment = manifest["environment"]
    _expect(isinstance(environment.get("libraries", {}), dict) and isinstance(manifest["module"], dict))
    files = {name: (_whole(f["bytes"]), str(f["sha256"])) for name, f in manifest["files"].items()}
    found = manifest["artifacts"]
    artifacts = {a["role"]: (str(a["path"]), _whole(a["bytes"]), str(a["sha256"])) for a in found}
    _expect("float" in artifacts and artifacts.keys() <= GRAPHS.keys() and len(artifacts) == len(found))
    for artifact in found:
        _expect(float(artifact["latency"]["batch_1"]["p50_ms"] + 0) >= 0)  # + 0: a text is no number
        _expect(isinstance(artifact.get("parity", {}), dict))
        serving = artifact.get("serving", {})
        Serving.parse(serving)
        _expect(float(serving.get("ms_1", 0.0) + 0) >= 0)
    return files, artifacts


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError


def _whole(value: Any) -> int:
    """A number of bytes. Raises ValueError for anything else."""
    _expect(isinstance(value, int) and not isinstance(value, bool) and value >= 0)
    return int(value)


def _check_names(folder: Path, listed: Mapping[str, Any]) -> None:
    """Every name stays inside the folder; every file there is listed and none is a link."""
    folders = set()
    for name in listed:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
            told = f"{folder / MANIFEST} names a file outside the bundle: {_SHORT.repr(name)}"
            raise BundleError(f"{told}. Nothing was loaded.")
        folders |= {f"{parent}/" for parent in path.parents}
    found: set[str] = set()
    extra: list[str] = []
    for name in _inside(folder, folders):
        if name in listed or name in (MANIFEST, SIGNATURE):
            found.add(name)
        elif len(extra) <= _SHOWN:
            extra.append(name)
        else:
            break
    if extra:
        told = f"{folder} has files that its manifest does not list: {_told(sorted(extra))}"
        raise BundleError(f"{told}. Move them elsewhere.")
    absent = sorted(set(listed) - found)
    if absent:
        raise BundleError(f"{folder} lacks {_told(absent)}. Export the bundle again.")


def _inside(folder: Path, folders: set[str]) -> Iterator[str]:
    """Names of the files in it. A folder that is not one of `folders` is told as 'name/' and not looked into.

    Raises BundleError at the first link.
    """
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(folder / parent) as entries:
                for entry in entries:
                    name = f"{parent}{entry.name}"
                    if entry.is_symlink():
                        told = f"{str(folder / name)!r} is a link"
                        raise BundleError(f"{told}. Nothing was loaded; export the bundle again.")
                    if not entry.is_dir():
                        yield name
                    elif f"{name}/" in folders:
                        waiting.append(f"{name}/")
                    else:
                        yield f"{name}/"
        except OSError as error:
            raise BundleError(f"{folder / parent} cannot be read ({error.strerror}). Nothing was loaded.") from error


def _told(names: list[str]) -> str:
    return ", ".join(_SHORT.repr(n) for n in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _verified(path: Path, size: int, digest: str, *, kept: bool) -> bytes | None:
    """A file's bytes, where they are `kept`. Raises BundleError when they are not those that were exported."""
    if kept and size > MAX_LOADED_BYTES and not path.name.endswith(WEIGHTS_ENDING):
        raise BundleError(f"{path} is larger than what can be loaded, {size} bytes. Nothing was loaded.")
    with _opened(path, size) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise _differs(path)
        content = file.read(size) if kept else None
        found = hashlib.file_digest(file, "sha256") if content is None else hashlib.sha256(content)
    if found.hexdigest() != digest or (content is not None and len(content) != size):
        raise _differs(path)
    return content


def _differs(path: Path) -> BundleError:
    return BundleError(f"{path} is not the file that was exported: its hash differs. Export the bundle again.")


def _opened(path: Path, most_bytes: int) -> BufferedReader:
    """A regular file of no more than so many bytes, links refused. Raises BundleError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}). Export the bundle again.") from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        os.close(handle)
        raise BundleError(f"{path} is a link or no file at all. Nothing was loaded; export the bundle again.")
    if facts.st_size > most_bytes:
        os.close(handle)
        raise _differs(path)
    return os.fdopen(handle, "rb")
