"""Bad files and bad command lines: exit code 2, one clear message on stderr, nothing on stdout, nothing written.

Each case makes what it needs in a folder and names the words of the command line and what the message must say.
`{home}` and `{bundle}` stand for those of a finished study called `tree`.
"""

import gzip
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from support_cli import Searched, run_here, run_process, table, tree, write_table

pytest_plugins = ["support_cli_fixtures"]
pytestmark = pytest.mark.slow

GOOD = "search table.csv --target y"


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    words: list[str]
    says: tuple[str, ...]
    make: Callable[[Path], object] = write_table  # what lies in the folder beside the good table
    own_home: bool = True


CASES: list[Case] = []


def line(name: str, words: str | list[str], *says: str) -> None:
    """A case of a command line; beside it lie a good table and a folder with something in it."""
    split = words.split() if isinstance(words, str) else words
    CASES.append(Case(name=name, words=split, says=says, own_home="{home}" not in words and "--home" not in split))


def file(name: str, words: str, *says: str) -> Callable[[Callable[[Path], object]], None]:
    """A case of a file, which the decorated function makes."""

    def add(make: Callable[[Path], object]) -> None:
        CASES.append(Case(name=name, words=words.split(), says=says, make=make))

    return add


def changed(**by_number: str) -> list[str]:
    """The good table with some lines replaced: `_3` is line 3, the header is line 1."""
    lines = list(table())
    for key, text in by_number.items():
        lines[int(key[1:]) - 1] = text
    return lines


def target_values(*values: str) -> list[str]:
    """The good table with these targets, the last one for all rows that are left."""
    rows = [row.rsplit(",", 1)[0] for row in table()[1:]]
    return ["a,b,c,y"] + [f"{row},{values[min(i, len(values) - 1)]}" for i, row in enumerate(rows)]


# --- files


@file("empty file", "search x.csv --target y", "x.csv is empty", "header row")
def _(folder: Path) -> None:
    (folder / "x.csv").write_text("")


@file("header only", "search x.csv --target y", "no rows")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", table()[:1])


@file("too few rows", "search x.csv --target y", "rows", "at least")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", table()[:6])


@file("target with gaps", "search x.csv --target y", "no value in 2 rows", "rows 2, 3")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", target_values("", "", "yes", "no", "yes", "no", "yes", "no", "yes"))


@file("one-valued target", "search x.csv --target y", "only one value", "yes")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", target_values("yes"))


@file("class with one row", "search x.csv --target y", "'rare' has 1 row", "Each needs 3")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", target_values("rare", *["yes", "no"] * 30))


@file("duplicate names", "search x.csv --target y", "Duplicate column names", "'a'")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", changed(_1="a,a,c,y"))


@file("ragged rows", "search x.csv --target y", "row 5 has 3")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", changed(_5="1,2,p"))


@file("Latin-1", "search x.csv --target y", "not UTF-8", "iconv")
def _(folder: Path) -> None:
    (folder / "x.csv").write_bytes("\n".join(changed(_3="1,2,\xe9,yes")).encode("latin-1"))


@file("UTF-16", "search x.csv --target y", "UTF-16", "iconv")
def _(folder: Path) -> None:
    (folder / "x.csv").write_bytes("\n".join(table()).encode("utf-16"))


@file("infinities", "search x.csv --target y", "infinit", "'a'", "rows 4, 5")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", changed(_4="inf,2,p,yes", _5="-inf,2,p,no"))


@file("copy of the target", "search x.csv --target y", "'leak'", "copy")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", ["leak," + table()[0]] + [f"{r.rsplit(',', 1)[1]},{r}" for r in table()[1:]])


@file("mixed types", "search x.csv --target y", "'a'", "rows 3, 9", "'low'")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", changed(_3="low,2,p,yes", _9="high,2,p,no"))


@file("nothing to learn from", "search x.csv --target y", "No column is left to learn from", "'void'")
def _(folder: Path) -> None:
    write_table(folder / "x.csv", ["void,y"] + [f",{row.rsplit(',', 1)[1]}" for row in table()[1:]])


@file("a directory", "search inner --target y", "is a folder", "Give one file")
def _(folder: Path) -> None:
    (folder / "inner").mkdir()


@file("gzip cut off", "search x.csv.gz --target y", "truncated")
def _(folder: Path) -> None:
    packed = gzip.compress("\n".join(table()).encode())
    (folder / "x.csv.gz").write_bytes(packed[: len(packed) // 2])


@file("gzip that is none", "search x.csv.gz --target y", "not gzip-packed")
def _(folder: Path) -> None:
    write_table(folder / "x.csv.gz")


@file("Parquet that is none", "search x.parquet --target y", "x.parquet")
def _(folder: Path) -> None:
    (folder / "x.parquet").write_bytes(b"PAR1" + bytes(200) + b"PAR1")


@file("HDF5 that is none", "search x.h5 --target y", "x.h5")
def _(folder: Path) -> None:
    (folder / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(300))


@file("HDF5 without a table", "search x.h5 --target y", "x.h5")
def _(folder: Path) -> None:
    with h5py.File(folder / "x.h5", "w") as made:
        made.create_group("nothing")


@file("unknown ending", "search x.xml --target y", "ending", ".parquet")
def _(folder: Path) -> None:
    write_table(folder / "x.xml")


@file("broken space", GOOD + " --space x.yaml", "x.yaml is not YAML", "line 2")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "x.yaml").write_text("dimensions: [\n")


@file("space with empty range", GOOD + " --space x.yaml", "num_leaves", "low")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "x.yaml").write_text(
        "name: x\ndimensions:\n  model: [lightgbm]\n  lightgbm.num_leaves: {low: 60, high: 7}\n"
    )


@file("space with unknown strategies", GOOD + " --space x.yaml", "2 things", "lightgbmm", "teleport")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "x.yaml").write_text("name: x\ndimensions:\n  model: [lightgbmm]\n  teleport: [yes]\n")


@file("space with impossible condition", GOOD + " --space x.yaml", "scale", "mlp")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "x.yaml").write_text(
        "name: x\ndimensions:\n  model: [lightgbm]\n  scale: {choices: [none], when: {model: [mlp]}}\n"
    )


@file("broken recipe", GOOD + " --recipe x.yaml", "x.yaml", "name: value")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "x.yaml").write_text("- just\n- a list\n")


@file("recipe with unknown fields", GOOD + " --recipe x.yaml", "2 things", "'frobnicate'", "'fast'")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "x.yaml").write_text("model: fast\nfrobnicate: 3\n")


@file("recipe that was taught", GOOD + " --recipe x.yaml", "taught by trial 4, 7", "lines that begin with distill")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    taught = "distill: best_three\ndistill.teacher: 4\ndistill.teacher_2: 7\n"
    (folder / "x.yaml").write_text(f"model: mlp\n{taught}")


@file("storage that is a text", GOOD + " --storage sqlite:///notes.txt", "no SQLite database")
def _(folder: Path) -> None:
    write_table(folder / "table.csv")
    (folder / "notes.txt").write_text("x")


# --- command lines

line("a home of nobody", "search ~no-such-user/x.csv --target y", "~no-such-user/x.csv does not exist")
line("unknown command", "serach table.csv", "No such command 'serach'", "--help")
line("no data", "search", "DATA", "--help")
line("a word too many", GOOD + " more", "more", "--help")
line("unknown option", GOOD + " --tiem 60s", "--tiem", "--time")
line("missing file", "search tabel.csv --target y", "tabel.csv does not exist")
line("unknown demo", "search demo:mnist", "'demo:mnist'", "demo:digits")
line("no target", "search table.csv", "No --target was given", "'a', 'b', 'c', 'y'")
line("unknown target", "search table.csv --target z", "--target 'z' is not a column", "'y'")
line("time without a number", GOOD + " --time soon", "'soon'", "60s")
line("negative time", GOOD + " --time -5s", "'-5s'", "60s")
line("no time at all", GOOD + " --time 0", "'0'", "60s")
line("no trials", GOOD + " --trials 0", "--trials 0", "1 to")
line("negative trials", GOOD + " --trials -1", "--trials -1", "1 to")
line("trials without a number", GOOD + " --trials many", "--trials 'many'", "whole number")
line("limit with a wrong unit", GOOD + " --limit latency_ms<=5MB", "'5MB'", "latency_ms (ms)")
line("limit on an unknown measure", GOOD + " --limit speed<=5", "names no measure", "size_bytes")
line("limit that can never hold", GOOD + " --limit latency_ms<=0", "can never hold")
line("limit without a sense", GOOD + " --limit latency_ms=5", "MEASURE<=VALUE")
line("limit out of reach", GOOD + " --limit quality>=1.5", "can never hold", "roc_auc is 1")
line("limit that points the wrong way", GOOD + " --limit quality<=0.9", "worse quality", "quality>=0.9")
line("unknown objective", GOOD + " --objectives quality,speed", "'speed' is no measure", "latency_ms")
line("no objective", [*GOOD.split(), "--objectives", ""], "names no measure")
line("objective twice", GOOD + " --objectives quality,quality", "more than once")
line("unknown metric", GOOD + " --metric rocauc", "'rocauc' is not a metric", "roc_auc")
line("metric of another kind", GOOD + " --metric rmse", "does not fit", "roc_auc")
line("pin of nothing", GOOD + " --set modle=mlp", "'modle'", "'model'")
line("pin without a value", GOOD + " --set model", "NAME=VALUE")
line("pin of an unknown value", GOOD + " --set model=xgboost", "'xgboost'", "lightgbm")
line("pin out of range", GOOD + " --set lightgbm.num_leaves=1", "num_leaves", "whole number from")
line("pins that exclude each other", GOOD + " --set model=linear --set lightgbm.n_trees=9", "model is lightgbm")
INT8 = "decision_tree can be deployed with quantize none or compact or trimmed only"
line("int8 trees", GOOD + " --set model=decision_tree --set quantize=static_int8", "quantize=static_int8", INT8)
line("int8 trees, said the other way", GOOD + " --set quantize=static_int8 --set model=decision_tree", INT8)
line("embeddings for trees", GOOD + " --set model=lightgbm --set encode=embed", "lightgbm takes numbers only")
line("pins beside a recipe", GOOD + " --set model=mlp --recipe {bundle}/recipe.yaml", "--set cannot change")
line("trials beside a recipe", GOOD + " --trials 9 --recipe {bundle}/recipe.yaml", "one trial")
line("unknown space", GOOD + " --space tabluar", "'tabluar'", "'tabular'")
line("space file that is not there", GOOD + " --space ./mine.yaml", "mine.yaml", "not there")
line("space that is a folder", GOOD + " --space ./full", "full", "is a folder")
line("recipe that is not there", GOOD + " --recipe mine.yaml", "mine.yaml", "not there")
line("no slots", GOOD + " --slots 0", "--slots 0", "1 to")
line("too many slots", GOOD + " --slots 4096", "--slots 4096", "1 to")
line("no memory", GOOD + " --memory much", "--memory 'much'", "2GB")
line("too little memory", GOOD + " --memory 5MB", "--memory 5MB", "200 MB")
line("memory without processes", GOOD + " --memory 2GB --inline", "--memory bounds the processes", "Leave one")
line("negative seed", GOOD + " --seed -1", "--seed -1", "0 to")
line("tolerance above one", GOOD + " --tolerance 2", "--tolerance 2", "0 to 1")
line("tolerance without a number", GOOD + " --tolerance lax", "--tolerance 'lax'", "0.05")
line("study in another folder", GOOD + " --study ../x", "'../x'", "letters")
line("study without a name", [*GOOD.split(), "--study", ""], "--study ''", "letters")
line("study with 300 characters", GOOD + " --study " + "x" * 300, "(300 characters)", "1 to 64")
line("study with a NUL", [*GOOD.split(), "--study", "a\0b"], r"'a\x00b'", "letters")
line("study that is there", GOOD + " --study tree --home {home}", "'tree' is there already", "autoopt resume tree")
line("unknown split column", GOOD + " --split-column part", "--split-column 'part'", "'c'")
line("split column of something else", GOOD + " --split-column c", "--split-column 'c'", "train, valid")
line("time column that holds no times", GOOD + " --time-column c", "--time-column 'c'", "2026-01-31")
line("two ways to split", GOOD + " --time-column a --split-column c", "--split-column and --time-column")
line("output that is a file", GOOD + " -o table.csv", "-o", "is a file")
line("output that is full", GOOD + " -o full", "-o", "other things in it")
line("output below a file", GOOD + " -o table.csv/bundle", "-o", "which is a file")
line("storage of no kind", GOOD + " --storage nonsense://", "nonsense://", "postgresql://")
line("storage in a missing folder", GOOD + " --storage sqlite:///no/where.db", "no folder")
line("storage that is a folder", GOOD + " --storage sqlite:///full", "is a folder")
line("home that is a file", GOOD + " --home table.csv", "--home", "is a file")
line("home without a name", [*GOOD.split(), "--home", ""], "--home was given an empty text")
line("tracking of no kind", GOOD + " --tracking-uri gopher://x", "gopher://x", "http://HOST:PORT")
line("resume: no database", "resume tree", "no study database", "autoopt search")
line("resume: unknown study", "resume three --home {home}", "'three'", "tree")
line("resume: no trials", "resume tree --trials 0 --home {home}", "--trials 0")
line("resume: output that is full", "resume tree --trials 1 -o full --home {home}", "other things in it")
line("show: unknown study", "show three --home {home}", "'three'", "tree")
line("rm: unknown study", "rm three --home {home}", "'three'", "tree")
line("report: unknown study", "report three -o r.html --home {home}", "'three'", "tree")
line("report: output that is a folder", "report tree -o full --home {home}", "full", "is a folder")
line("export: unknown study", "export three -o out --home {home}", "'three'", "tree")
line("export: unknown pick", "export tree --pick nonsense -o out --home {home}", "'nonsense'", "fastest")
line("export: a trial that is not there", "export tree --pick 77 -o out --home {home}", "77")
line("export: nowhere to", "export tree --home {home}", "--output", "--help")
line("ui: no studies", "ui", "No studies", "autoopt search")
line("ui: wrong port", "ui --port 99999", "99999", "65535")
line("studies: home that is a file", "studies --home table.csv", "--home", "is a file")
line("strategies: unknown name", "strategies lightgbmm", "'lightgbmm'", "lightgbm")
line("predict: no bundle", "predict full table.csv", "manifest.json", "no bundle")
line("predict: no data", "predict {bundle} tabel.csv", "tabel.csv does not exist")
line("predict: missing columns", "predict {bundle} short.csv", "'b'")
line("predict: unknown ending", "predict {bundle} table.csv -o out.xls", "out.xls", ".parquet")
line("predict: output in a missing folder", "predict {bundle} table.csv -o no/where.csv", "no folder")
line("predict: unknown artifact", "predict {bundle} table.csv --artifact tiny", "'tiny'", "quantized")
line("check: not there", "check nowhere", "nowhere", "folder")
line("check: damaged", "check damaged", "hash", "Export")
line("db upgrade: no database", "db upgrade", "no study database")


def fill(folder: Path, searched: Searched) -> None:
    """What lies beside a bad command line: a good table, one without a column, a folder in use, a damaged bundle."""
    write_table(folder / "table.csv")
    write_table(folder / "short.csv", [line.split(",", 2)[0] + "," + line.split(",", 2)[2] for line in table()])
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").write_text("years of work")
    shutil.copytree(searched.bundle, folder / "damaged")
    graph = folder / "damaged" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_in_one_message_and_nothing_is_written(
    case: Case, tmp_path: Path, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    if case.make is write_table:
        fill(folder, searched)
    else:
        case.make(folder)
    monkeypatch.chdir(folder)
    if case.words[0] == "ui":  # of what MLflow was told
        monkeypatch.delenv("AUTOOPT_TRACKING_URI")
    words = [word.format(home=searched.home, bundle=searched.bundle) for word in case.words]
    before = tree(tmp_path), tree(searched.home)

    ran = run_here(*words)

    assert (ran.code, ran.out) == (2, ""), ran
    assert_one_message(ran.err, case.says)
    assert (tree(tmp_path), tree(searched.home)) == before


def assert_one_message(err: str, says: tuple[str, ...]) -> None:
    """One 'error:' at the start, every expected text in it, no traceback, no library's warning beside it."""
    assert err.startswith("error: "), err
    assert err.count("error:") == 1, err
    assert "Traceback" not in err
    assert all(text.startswith(("error: ", "  ")) for text in err.splitlines()), err
    for text in says:
        assert text in err, err


THREE_WRONG = [*GOOD.split(), "--limit", "speed<=1", "--trials", "0", "--set", "model=magic"]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv", ["a,a,y", "1,2,x"])
    ran = run_here(*THREE_WRONG, "--seed", "x", "--home", "table.csv", "--storage", "sqlite:///no/where.db")
    assert ran.code == 2
    assert_one_message(ran.err, ("things to mend; nothing was started", "--limit", "--trials", "model=magic"))
    assert_one_message(ran.err, ("--seed 'x'", "--home", "--storage", "Duplicate column names"))


def test_an_unreachable_postgresql_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql://someone:secret@127.0.0.1:{port}/studies"
    for words in (GOOD.split(), ["show", "tree"], ["studies"]):
        before = tree(tmp_path)
        ran = run_here(*words, "--storage", url)
        assert (ran.code, ran.out) == (2, "")
        assert_one_message(ran.err, (f"127.0.0.1:{port}/studies",))
        assert "secret" not in ran.err
        assert tree(tmp_path) == before


PROCESSES = [
    "empty file",
    "duplicate names",
    "HDF5 that is none",
    "gzip cut off",
    "no target",
    "unknown option",
    "limit that can never hold",
    "study in another folder",
    "storage of no kind",
    "home that is a file",
    "show: unknown study",
    "predict: missing columns",
    "check: damaged",
]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_refuses_it_alike(name: str, tmp_path: Path, searched: Searched) -> None:
    case = next(c for c in CASES if c.name == name)
    folder = tmp_path / "here"
    folder.mkdir()
    if case.make is write_table:
        fill(folder, searched)
    else:
        case.make(folder)
    before = tree(tmp_path), tree(searched.home)
    words = [word.format(home=searched.home, bundle=searched.bundle) for word in case.words]

    ran = run_process(*words, folder=folder)

    assert (ran.code, ran.out) == (2, ""), ran
    assert_one_message(ran.err, case.says)
    assert (tree(tmp_path), tree(searched.home)) == before


def test_a_variable_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOOPT_TRACKING_URI", "gopher://x")
    ran = run_here("studies", "--home", str(tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert "AUTOOPT_TRACKING_URI 'gopher://x'" in ran.err
    assert "or none" in ran.err
