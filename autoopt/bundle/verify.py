"""Whether a folder is a whole bundle: its manifest first, then every file that it lists, and no other."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from autoopt.bundle.contents import FRONT, MANIFEST, SCHEMA_VERSION
from autoopt.bundle.seal import is_sealed
from autoopt.bundle.signing import SIGNATURE, SIGNATURE_BYTES, VerifyKey
from autoopt.errors import BundleError

MAX_MANIFEST_BYTES = 50_000_000
_TEXTS = ("study", "metric", "kind", "chosen", "twin_reason", "missed")
_SHOWN = 5
_TRIES = 5


def damaged(path: Path) -> BundleError:
    """What is said of a file that cannot be understood."""
    return BundleError(f"{path} is damaged. Export the bundle again.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, itself whole; the files that it lists are not looked at yet. Raises BundleError."""
    return _sealed_manifest(folder)[0]


def _sealed_manifest(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest, itself whole, and its bytes. Raises BundleError."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is no folder. Give the folder that `autoopt search` or `export` wrote.")
    path = folder / MANIFEST
    if not os.path.lexists(path):
        raise BundleError(f"{folder} has no {MANIFEST}, so it is no bundle. Give the folder that `search` wrote.")
    content = _read(path, MAX_MANIFEST_BYTES)
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path) from error
    if not isinstance(manifest, dict):
        raise damaged(path)
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version!r}; this autoopt reads {SCHEMA_VERSION}. Export it again."
        )
    if not _is_whole(manifest, content):
        raise BundleError(f"{path} is not the file that was exported: its hash differs. Export the bundle again.")
    return manifest, content


def _is_whole(manifest: Mapping[str, Any], content: bytes) -> bool:
    try:
        return is_sealed(manifest, content)
    except (ValueError, RecursionError):  # NaN, lone surrogates: never written by us
        return False


def verified_files(folder: Path, key: VerifyKey | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and every file's bytes, each equal to its hash. Raises BundleError.

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
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _verified_files(folder: Path, key: VerifyKey | None) -> tuple[dict[str, Any], dict[str, bytes]]:
    manifest, content = _sealed_manifest(folder)
    if key is not None:
        signature = folder / SIGNATURE
        key.check(folder, content, _read(signature, SIGNATURE_BYTES) if os.path.lexists(signature) else None)
    try:
        listed, artifacts = _listed(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(folder / MANIFEST) from error
    _check_names(folder, listed)
    contents = {name: _verified(folder / name, *listed[name]) for name in listed}
    for role, (path, digest) in artifacts.items():
        if path not in listed or listed[path][1] != digest:
            raise BundleError(f"{folder / MANIFEST}: the {role} artifact is not the file it names. Export it again.")
    if manifest["chosen"] not in artifacts or FRONT not in contents:
        raise BundleError(f"{folder / MANIFEST} names no chosen artifact or no {FRONT}. Export the bundle again.")
    return manifest, contents


def _listed(manifest: Mapping[str, Any]) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[str, str]]]:
    """Size and hash by file, path and hash by role. Raises when a field that is read later is not what it must be."""
    if not all(isinstance(manifest[name], str) for name in _TEXTS) or not isinstance(manifest["environment"], dict):
        raise TypeError
    files = {str(name): (int(f["bytes"]), str(f["sha256"])) for name, f in manifest["files"].items()}
    artifacts = {str(a["role"]): (str(a["path"]), str(a["sha256"])) for a in manifest["artifacts"]}
    for artifact in manifest["artifacts"]:
        float(artifact["latency"]["batch_1"]["p50_ms"])
    if len(artifacts) != len(manifest["artifacts"]):
        raise ValueError
    return files, artifacts


def _check_names(folder: Path, listed: Mapping[str, Any]) -> None:
    """Every name stays inside the folder; every file there is listed and none is a link."""
    for name in listed:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
            raise BundleError(f"{folder / MANIFEST} names a file outside the bundle: {name!r}. Nothing was loaded.")
    inside = list(folder.rglob("*"))
    links = [p for p in inside if p.is_symlink()]
    if links:
        raise BundleError(f"{links[0]} is a link. Nothing was loaded; export the bundle again.")
    found = {str(p.relative_to(folder)) for p in inside if not p.is_dir()}
    extra = sorted(found - set(listed) - {MANIFEST, SIGNATURE})
    if extra:
        raise BundleError(f"{folder} has files that its manifest does not list: {_told(extra)}. Move them elsewhere.")
    absent = sorted(set(listed) - found)
    if absent:
        raise BundleError(f"{folder} lacks {_told(absent)}. Export the bundle again.")


def _told(names: list[str]) -> str:
    return ", ".join(repr(n) for n in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _verified(path: Path, size: int, digest: str) -> bytes:
    content = _read(path, size)
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise _differs(path)
    return content


def _differs(path: Path) -> BundleError:
    return BundleError(f"{path} is not the file that was exported: its hash differs. Export the bundle again.")


def _read(path: Path, most_bytes: int) -> bytes:
    """A regular file's bytes, from one descriptor, links refused."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}). Export the bundle again.") from error
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
            raise BundleError(f"{path} is a link or no file at all. Nothing was loaded; export the bundle again.")
        if facts.st_size > most_bytes:
            raise _differs(path)
        return file.read()
