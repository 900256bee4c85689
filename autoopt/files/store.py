"""The content-addressed store of stage results: `store/<stage>/<key>/`, each with a manifest written last.

Workers read and write it directly; it needs no database. An entry that fails its hashes is put aside and made again.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from autoopt.files.atomic import new_folder, write_json
from autoopt.files.hashing import sha256_file

MANIFEST = "entry.json"
WORKING = "working"
WORKING_CAP_BYTES = 2 << 30
WORKING_IDLE_S = 14 * 86_400.0
"""What never came to its end: what a killed making left is kept for that long, and no more than that much of it."""


@dataclass(frozen=True, kw_only=True)
class StoreEntry:
    """A finished stage result."""

    stage: str
    key: str
    path: Path
    size_bytes: int
    sha256: dict[str, str]  # file name → digest


class Store:
    """Finds, makes and collects entries."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, stage: str, key: str) -> Path:
        """Where an entry lies. Raises ValueError for names that could leave the store."""
        if not re.fullmatch(r"[a-z_]+", stage) or not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError(f"not a stage and a SHA-256 key: {stage!r}, {key!r}")
        return self.root / stage / key

    def find(self, stage: str, key: str, *, verify: bool = True) -> StoreEntry | None:
        """The entry, its files compared with their hashes; None when absent. A damaged one is removed."""
        folder = self.path(stage, key)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            files: dict[str, str] = manifest["files"]
            size_bytes = int(manifest["size_bytes"])
            if verify and any(sha256_file(folder / name) != digest for name, digest in files.items()):
                raise ValueError("hash differs")
        except FileNotFoundError:
            if folder.exists():
                self._drop(folder)
            return None
        except (ValueError, KeyError, TypeError, AttributeError, OSError):  # JSON of any shape, or none
            self._drop(folder)
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / MANIFEST)  # last use, for `collect`
        return StoreEntry(stage=stage, key=key, path=folder, size_bytes=size_bytes, sha256=files)

    @contextlib.contextmanager
    def make(self, stage: str, key: str) -> Iterator[Path]:
        """Yield a folder to fill; on leaving the block its manifest is written and it becomes the entry."""
        with new_folder(self.path(stage, key)) as folder:
            yield folder
            files = sorted(p.name for p in folder.iterdir() if p.is_file())
            size = sum((folder / name).stat().st_size for name in files)
            write_json(folder / MANIFEST, {"files": {n: sha256_file(folder / n) for n in files}, "size_bytes": size})

    def working_folder(self, key: str) -> Path:
        """Where the making of an entry keeps what it would need to go on after a crash; not made here."""
        return self.path(WORKING, key)

    def forget_working_folder(self, key: str) -> None:
        """The entry was made: what led to it may go."""
        self._drop(self.path(WORKING, key))

    @contextlib.contextmanager
    def scratch(self) -> Iterator["Store"]:
        """A store on the same disk that goes when the block ends; `collect` takes what a killed process left of it."""
        (self.root / WORKING).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".scratch.", suffix=".tmp", dir=self.root / WORKING))
        try:
            yield Store(folder)
        finally:
            self._drop(folder)

    def entries(self) -> Iterator[tuple[str, str, int, float]]:
        """(stage, key, bytes, time of last use) of every entry."""
        for manifest in self.root.glob(f"*/*/{MANIFEST}"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                used = manifest.stat().st_mtime
                size = int(json.loads(manifest.read_text())["size_bytes"])
                yield manifest.parent.parent.name, manifest.parent.name, size, used

    def collect(self, *, cap_bytes: int, keep: Set[tuple[str, str]], idle_s: float = 60.0) -> int:
        """Remove least recently used entries until the store fits `cap_bytes`; returns bytes freed.

        Entries in `keep` and those used within `idle_s` stay. Abandoned temporary folders older than an hour go too,
        and of the working folders those that are old or, together, too large.
        """
        now = time.time()
        for temporary in self.root.glob("*/.*.tmp"):
            if now - temporary.stat().st_mtime > 3600:
                self._drop(temporary)
        found = sorted(self.entries(), key=lambda e: e[3])
        excess = sum(size for _, _, size, _ in found) - cap_bytes
        freed = 0
        for stage, key, size, used in found:
            if freed >= excess:
                break
            if (stage, key) not in keep and now - used >= idle_s:
                self.remove(stage, key)
                freed += size
        return freed + self._collect_working(min(WORKING_CAP_BYTES, cap_bytes), now, idle_s)

    def _collect_working(self, cap_bytes: int, now: float, idle_s: float) -> int:
        """Remove working folders, the longest untouched first, until they fit; all that are too old. Bytes freed."""
        found = sorted(self.working())
        left = sum(size for _, size, _ in found)
        freed = 0
        for used, size, key in found:
            if now - used > WORKING_IDLE_S or (left - freed > cap_bytes and now - used >= idle_s):
                self._drop(self.root / WORKING / key)
                freed += size
        return freed

    def working(self) -> Iterator[tuple[float, int, str]]:
        """(time of last change, bytes, key) of every working folder."""
        for folder in self.root.glob(f"{WORKING}/[!.]*"):
            with contextlib.suppress(OSError):
                stats = [path.stat() for path in (folder, *folder.rglob("*"))]
                yield max(s.st_mtime for s in stats), sum(s.st_size for s in stats[1:]), folder.name

    def remove(self, stage: str, key: str) -> None:
        """Remove one entry, manifest first, so that a half-removed one is never taken for whole."""
        folder = self.path(stage, key)
        (folder / MANIFEST).unlink(missing_ok=True)
        self._drop(folder)

    @staticmethod
    def _drop(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
