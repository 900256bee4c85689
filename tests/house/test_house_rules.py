"""The house rules that a machine can read: sizes, words that stand for danger, names that must not leak."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted((ROOT / "autoopt").rglob("*.py")) + sorted((ROOT / "storage").rglob("*.py"))
MODULE_CAP, FUNCTION_CAP = 400, 50
DANGEROUS = r"\b(pickle|joblib|cloudpickle|dill)\.(load|loads)\b|\btorch\.load\(|(?<![.\w])eval\(|shell=True"
UNFINISHED = r"\b(TODO|FIXME|XXX)\b|\bNotImplementedError\b"


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines without signature and docstring) of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_doc = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            body = node.body[1:] if has_doc else node.body
            last = node.end_lineno or node.lineno
            yield f"{relative(path)}:{node.lineno} {node.name}", last - body[0].lineno + 1 if body else 0


def test_modules_stay_under_their_cap() -> None:
    sizes = {relative(p): len(p.read_text().splitlines()) for p in PACKAGE}
    assert {name: n for name, n in sizes.items() if n > MODULE_CAP} == {}


def test_functions_stay_under_their_cap() -> None:
    assert [(name, n) for path in PACKAGE for name, n in functions(path) if n > FUNCTION_CAP] == []


@pytest.mark.parametrize("pattern", [DANGEROUS, UNFINISHED], ids=["dangerous", "unfinished"])
def test_forbidden_words_are_absent(pattern: str) -> None:
    hits = [
        f"{relative(path)}:{count}"
        for path in PACKAGE
        for count, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert hits == []


RUN_CODE_OF_OTHERS = {
    "autoopt/strategies/networks/export.py",  # the tracer runs a network's own forward
    "autoopt/strategies/networks/own_task.py",  # a user's build, datasets, loss and metric
    "autoopt/task/module/forward.py",  # the tracer again, to find out whether it can
}


def test_broad_catches_are_where_code_of_others_runs() -> None:
    """What such code may raise becomes a candidate's failure there, and nowhere else."""
    broad = [
        relative(path)
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert set(broad) <= RUN_CODE_OF_OTHERS


def test_every_test_file_lies_in_a_known_folder() -> None:
    known = {"contracts", "unit", "properties", "faults", "golden", "migrations", "integration", "house"}
    folders = {p.parent.name for p in (ROOT / "tests").rglob("test_*.py")}
    assert folders <= known


def test_no_machine_path_is_named() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile("/" + r"(work|opt/pypi)" + r"/|farm" + "-", re.IGNORECASE)
    hits = [
        name
        for name in listed
        if (ROOT / name).suffix in {".py", ".md", ".toml", ".yaml", ".txt", ".html", ""}
        and (ROOT / name).is_file()
        and pattern.search((ROOT / name).read_text(errors="replace"))
    ]
    assert hits == []
