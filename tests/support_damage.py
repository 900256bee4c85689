"""Ways to damage a bundle, each a case of its own, and a watch over what happens while somebody tries to load it."""

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support_bundle import seal_again

from autoopt.files import sha256_file

FILES = (
    "MLmodel",
    "front.json",
    "input_example.json",
    "manifest.json",
    "mlflow-requirements.txt",
    "model.onnx",
    "model.quantized.onnx",
    "predict.py",
    "python_env.yaml",
    "recipe.yaml",
    "report.html",
    "requirements.txt",
    "sample.json",
    "weights/trained.json",
    "weights/trees.json",
    "weights/trees.safetensors",
)
"""Of a decision tree's bundle with its twin."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is done to a bundle's folder; `named`: what the message must name, one of them."""

    name: str
    do: Callable[[Path], object]
    named: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


# ---- One file, another content -----------------------------------------------------------------------------------


def _flipped(place: Callable[[int], int]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        at = min(place(len(content)), len(content) - 1)
        return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]

    return change


CONTENTS: Mapping[str, Callable[[bytes], bytes]] = {
    "first byte flipped": _flipped(lambda size: 0),  # a header's length, a protobuf's version, a JSON's brace
    "eighth byte flipped": _flipped(lambda size: 7),
    "header flipped": _flipped(lambda size: 12),
    "quarter flipped": _flipped(lambda size: size // 4),
    "middle flipped": _flipped(lambda size: size // 2),
    "end flipped": _flipped(lambda size: size - size // 8 - 1),
    "last byte flipped": _flipped(lambda size: size - 1),
    "emptied": lambda content: b"",
    "cut to a byte": lambda content: content[:1],
    "cut to a half": lambda content: content[: len(content) // 2],
    "a byte short": lambda content: content[:-1],
    "first byte gone": lambda content: content[1:],
    "a line longer": lambda content: content + b"\n",
    "a zero longer": lambda content: content + b"\0",
    "twice": lambda content: content * 2,
    "zeros": lambda content: bytes(len(content)),
}


def _content(name: str, told: str, change: Callable[[bytes], bytes]) -> Damage:
    def do(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return Damage(name=f"{name}: {told}", do=do, named=(Path(name).name,))


# ---- One file, another thing in its place ------------------------------------------------------------------------


def _away(path: Path) -> Path:
    """The file itself, moved out of the bundle."""
    away = next(p for p in path.parents if p.name == "bundle").parent / "away"
    path.rename(away)
    return away


def _aside(path: Path) -> Path:
    """The file itself, under another name in the bundle."""
    path.rename(path.with_name("other"))
    return path.with_name("other")


def _removed(path: Path) -> Path:
    path.unlink()
    return path


THINGS: Mapping[str, Callable[[Path], object]] = {
    "gone": _removed,
    "renamed": lambda path: path.rename(path.with_name(f"{path.name}.bak")),
    "in capitals": lambda path: path.rename(path.with_name(path.name.swapcase())),
    "a link to itself outside": lambda path: path.symlink_to(_away(path)),
    "a link into the bundle": lambda path: path.symlink_to(_aside(path).name),
    "a link to nowhere": lambda path: _removed(path).symlink_to("nowhere"),
    "a link to itself": lambda path: _removed(path).symlink_to(path.name),
    "a link to a device": lambda path: _removed(path).symlink_to("/dev/zero"),
    "a second name of a file outside": lambda path: os.link(_away(path), path),
    "a folder": lambda path: _removed(path).mkdir(),
    "a pipe": lambda path: os.mkfifo(_removed(path)),
    "a socket": lambda path: os.mknod(_removed(path), stat.S_IFSOCK | 0o600),
}


def _thing(name: str, told: str, replace: Callable[[Path], object]) -> Damage:
    own = Path(name).name
    named = (own, own.swapcase(), "other")
    return Damage(name=f"{name}: {told}", do=lambda folder: replace(folder / name), named=named)


def file_damages(name: str) -> Iterator[Damage]:
    """One file in every way."""
    yield from (_content(name, told, change) for told, change in CONTENTS.items())
    yield from (_thing(name, told, replace) for told, replace in THINGS.items())


# ---- What does not belong there ----------------------------------------------------------------------------------

PICKLE = b"cos\nsystem\n(S'touch executed'\ntR."
"""Whoever loads this leaves a file behind."""
SCRIPT = b"open('executed', 'w').close()\n"


def _extra(name: str, content: bytes = b"x") -> Damage:
    def do(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    first = name.split("/")[0]
    return Damage(name=f"extra {name!r}", do=do, named=(name, f"{first}/", repr(name)[1:-1]))


def _outside(name: str, target: str) -> Damage:
    return Damage(name=f"link {name} to {target}", do=lambda folder: (folder / name).symlink_to(target), named=(name,))


def _deep(folder: Path) -> None:
    inner = folder / "weights"
    for _ in range(700):
        inner = inner / "d"
    inner.mkdir(parents=True)


def _many(folder: Path) -> None:
    for number in range(1500):
        (folder / f"extra {number}").touch()


def extra_damages() -> Iterator[Damage]:
    """Files, folders and links that no manifest lists."""
    names = (
        "extra.txt",
        ".hidden",
        " manifest.json",
        "manifest.json.bak",
        "weights/more.bin",
        "new/model.onnx",
        "a/b/c",
    )
    yield from map(_extra, (*names, "line\nbreak", "\x1b[2J\x1b[31m", "\u202emodel", "x" * 150, "-rf", "Manifest.json"))
    yield _extra("weights/model.pkl", PICKLE)
    yield from (
        _extra(name, SCRIPT) for name in ("sitecustomize.py", "numpy.py", "conftest.py", "onnxruntime/__init__.py")
    )
    yield _extra("__pycache__/predict.cpython-311.pyc", b"\xa7\r\r\n")
    bad = os.fsdecode(b"bad\xff")
    yield Damage(name="extra, no UTF-8", do=lambda folder: (folder / bad).touch(), named=("bad",))
    for name, target in (
        ("up", ".."),
        ("root", "/"),
        ("round", "."),
        ("weights/round", "../weights"),
        ("x", "model.onnx"),
    ):
        yield _outside(name, target)
    yield _outside("secret", "/etc/passwd")
    yield Damage(name="empty folder", do=lambda folder: (folder / "empty").mkdir(), named=("empty/",))
    yield Damage(name="deep folders", do=_deep, named=("d/",))
    yield Damage(name="many files", do=_many, named=("extra ",))
    yield Damage(name="pipe", do=lambda folder: os.mkfifo(folder / "pipe"), named=("pipe",))


# ---- Manifests ---------------------------------------------------------------------------------------------------


def _text(name: str, content: Callable[[str], str | bytes]) -> Damage:
    def do(folder: Path) -> None:
        path = folder / "manifest.json"
        found = content(path.read_text(encoding="utf-8"))
        path.write_bytes(found if isinstance(found, bytes) else found.encode())

    return Damage(name=f"manifest: {name}", do=do, named=("manifest.json", "schema version"))


def _sparse(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)


def _with(name: str, text: str) -> Callable[[str], str]:
    """The manifest's first field given another value, whatever that does to its hash."""
    return lambda whole: whole.replace('"schema_version": 1', f'"schema_version": 1, {text}', 1)


MANIFEST_TEXTS: Mapping[str, Callable[[str], str | bytes]] = {
    "an empty object": lambda whole: "{}",
    "null": lambda whole: "null",
    "a list": lambda whole: "[]",
    "a number": lambda whole: "1",
    "a text": lambda whole: '"manifest"',
    "only a version": lambda whole: '{"schema_version": 1}',
    "no JSON": lambda whole: whole.replace('"', "'"),
    "a comment": lambda whole: whole + "// the end",
    "two objects": lambda whole: whole + whole,
    "a byte order mark": lambda whole: b"\xef\xbb\xbf" + whole.encode(),
    "UTF-16": lambda whole: whole.encode("utf-16"),
    "no UTF-8": lambda whole: whole.encode().replace(b"made", b"m\xffde"),
    "other line ends": lambda whole: whole.replace("\n", "\r\n"),
    "on one line": lambda whole: json.dumps(json.loads(whole)),
    "in another order": lambda whole: json.dumps(json.loads(whole), indent=2, sort_keys=True),
    "a key twice": _with("", '"chosen": "quantized"'),
    "not a number": _with("", '"tolerance": NaN'),
    "infinite": _with("", '"tolerance": Infinity'),
    "beyond all floats": _with("", '"tolerance": 1e999'),
    "a number of 5,000 digits": _with("", f'"rows": 1{"0" * 5000}'),
    "a lone surrogate": _with("", '"note": "\\ud800"'),
    "100,000 lists in each other": lambda whole: "[" * 100_000,
    "100,000 objects in each other": lambda whole: '{"a":' * 100_000,
    "900 lists in each other": _with("", f'"note": {"[" * 900}{"]" * 900}'),
    "a text of 2 MB": _with("", f'"note": "{"x" * 2_000_000}"'),
    "100,000 empty lists": _with("", f'"note": [{"[]," * 100_000}[]]'),
    "its hash emptied": lambda whole: whole.replace('"sha256": "', '"sha256": "0', 1),
    "a pickle": lambda whole: PICKLE,
    "a script": lambda whole: SCRIPT,
}

NAMES = (
    "../secret",
    "/etc/passwd",
    "weights/../../secret",
    "..\\secret",
    "C:\\secret",
    "",
    ".",
    "..",
    "a\0b",
    "./model.onnx",
)
NAMES += (
    "weights",
    "weights/",
    "weights//trees.json",
    "~/secret",
    "x" * 5000,
    "manifest.json",
    "model.onnx/x",
    "\x1b[2J",
)

VERSIONS: tuple[Any, ...] = (0, 2, -1, None, "1", True, 1.5, [1], {"a": 1}, 10**400, "x" * 100_000, False)


def _sealed(name: str, **changes: Any) -> Damage:
    """A manifest that says something else and has its hash right."""
    named = ("manifest.json", "manifest does not list", "schema version")
    return Damage(name=f"sealed again: {name}", do=lambda folder: seal_again(folder, **changes), named=named)


def _listed(name: str) -> Damage:
    def do(folder: Path) -> None:
        (folder.parent / "secret").write_text("x")
        files = json.loads((folder / "manifest.json").read_text())["files"]
        seal_again(folder, files={**files, name: {"bytes": 1, "sha256": "0" * 64}})

    return Damage(name=f"lists {name[:40]!r}", do=do, named=("manifest.json", "lacks"))


def _fact(name: str, **facts: Any) -> Damage:
    """Other facts of the graph's file."""

    def do(folder: Path) -> None:
        files = json.loads((folder / "manifest.json").read_text())["files"]
        files["model.onnx"] |= facts
        seal_again(folder, files=files)

    return Damage(name=f"model.onnx listed with {name}", do=do, named=("manifest.json", "model.onnx"))


def _artifact(name: str, **facts: Any) -> Damage:
    """Other facts of the float artifact."""

    def do(folder: Path) -> None:
        first, *others = json.loads((folder / "manifest.json").read_text())["artifacts"]
        seal_again(folder, artifacts=[{**first, **facts}, *others])

    return Damage(name=f"artifact with {name}", do=do, named=("manifest.json",))


def _latency(value: Any) -> dict[str, Any]:
    return {"latency": {"batch_1": {"p50_ms": value}}}


def manifest_damages() -> Iterator[Damage]:
    """Manifests that are none, and such as were made to deceive."""
    yield from (_text(name, content) for name, content in MANIFEST_TEXTS.items())
    yield Damage(name="manifest: of a terabyte", do=_sparse, named=("manifest.json",))
    yield from map(_listed, NAMES)
    yield from (_sealed(f"version {str(v)[:20]!r}", schema_version=v) for v in VERSIONS)
    others: tuple[Any, ...] = (None, [], {}, 7, "x", True, [[]], {"a": None})
    for field in ("files", "artifacts"):
        yield from (_sealed(f"{field} {value!r}", **{field: value}) for value in others)
    texts = ("study", "metric", "kind", "chosen", "twin_reason", "missed")
    yield from (_sealed(f"{field} {value!r}", **{field: value}) for field in texts for value in (None, ["float"]))
    yield from (_sealed(f"environment {v!r}", environment=v) for v in (None, "linux", [], {"libraries": ["numpy"]}))
    yield from (_sealed(f"module {v!r}", module=v) for v in (None, "task.py", []))
    yield _sealed("chosen other", chosen="other")
    for size in (-1, 0, 1, 1 << 30, 1 << 50, 10**400, "7", None, True, 1.5):
        yield _fact(f"size {str(size)[:20]}", bytes=size)
    yield from (_fact(f"hash {value!r}", sha256=value) for value in ("", "0" * 64, None, 7, ["x"]))
    for role in ("quantized", "other", "[/bold]", "\x1b[2J", None, 7, ["float"], "x" * 100_000):
        yield _artifact(f"role {str(role)[:20]!r}", role=role)
    for path in ("model.quantized.onnx", "../secret", "/etc/passwd", "predict.py", "", None):
        yield _artifact(f"path {path!r}", path=path)
    yield from (_artifact(f"size {str(v)[:20]}", bytes=v) for v in (None, -1, "7", 1 << 50))
    yield from (_artifact(f"latency {str(v)[:20]}", **_latency(v)) for v in ("0.02", None, [], -1.0, 10**400))
    yield _artifact("no latency", latency={})
    yield _artifact("hash of another", sha256="0" * 64)
    yield _artifact("parity of no kind", parity=["scores"])
    servings: tuple[Any, ...] = (
        None,
        7,
        "x",
        [1],
        {"runtime": 7},
        {"graph": "evil"},
        {"graph": ["all"]},
        {"arena": "no"},
    )
    servings += tuple({"threads": threads} for threads in (0, -1, True, 10**9, "2", None))
    yield from (_artifact(f"serving {value}", serving=value) for value in servings)


# ---- Files that were exchanged, and whose hashes hold --------------------------------------------------------------


def put(folder: Path, name: str, content: bytes) -> None:
    """What a forger does: exchange a file and make every hash hold again."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = {"bytes": len(content), "sha256": sha256_file(folder / name)}
    artifacts = [{**a, **(facts if a["path"] == name else {})} for a in manifest["artifacts"]]
    seal_again(folder, files={**manifest["files"], name: facts}, artifacts=artifacts)


# ---- The watch -----------------------------------------------------------------------------------------------------

_STARTS = frozenset(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class"))


class Watch:
    """Sees, by Python's audit events, what is run, started, unpickled or written in and below a folder."""

    def __init__(self) -> None:
        self._folder = ""
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._folder:
            return
        if event in _STARTS:
            self.seen.append(event)
        elif event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith(self._folder):
            self.seen.append(f"run: {arguments[0].co_filename}")
        elif event == "import" and str(arguments[1] or "").startswith(self._folder):
            self.seen.append(f"import: {arguments[1]}")
        elif event == "ctypes.dlopen" and self._folder in str(arguments[0]):
            self.seen.append(f"library: {arguments[0]}")
        elif event == "open" and self._inside(arguments[0]) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.seen.append(f"written: {arguments[0]}")

    def _inside(self, path: object) -> bool:
        return isinstance(path, str | bytes) and os.fsdecode(path).startswith(self._folder)

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        """Nothing of the kind may happen inside; nothing in the folder may be another afterwards."""
        before, self.seen = traces(folder), []
        self._folder = str(folder)
        try:
            yield
        finally:
            self._folder = ""
        assert self.seen == []
        assert traces(folder) == before


def traces(folder: Path) -> list[tuple[str, int, int, int]]:
    """Every path below a folder with its kind, its size and when it was changed."""
    found = []
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = f"{place}/{name}"
            facts = os.lstat(path)
            found.append((path, facts.st_mode, facts.st_size, facts.st_mtime_ns))
    return sorted(found)


def fresh_copy(whole: Path, place: Path) -> Path:
    """A copy of the bundle in `place / "bundle"`; what was in `place` before is gone."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place / "bundle")
    return place / "bundle"
