"""The store, atomic writes, locks and homes: whole or absent, whatever happens."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoopt.errors import OptionError
from autoopt.files import FileLock, Home, Store, check_study_name, derived_seed, new_folder, write_bytes, write_json

KEY, OTHER = "a" * 64, "b" * 64


def make(store: Store, key: str = KEY, content: str = "weights") -> Path:
    with store.make("train", key) as folder:
        (folder / "model.txt").write_text(content)
    return store.path("train", key)


def test_an_entry_is_found_with_its_hashes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("train", KEY) is None
    make(store)
    entry = store.find("train", KEY)
    assert entry is not None
    assert (entry.size_bytes, list(entry.sha256)) == (7, ["model.txt"])


def test_an_entry_that_fails_half_way_is_absent(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def power_cut() -> None:
        with store.make("train", KEY) as folder:
            (folder / "model.txt").write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power"):
        power_cut()
    assert store.find("train", KEY) is None
    assert list(tmp_path.rglob("*")) == [tmp_path / "train"]


@pytest.mark.parametrize(
    "manifest", ["", "{", "[]", "null", "3", '{"files": 3, "size_bytes": 1}', '{"files": {}}', '{"files": []}']
)
def test_a_damaged_manifest_is_no_entry_and_goes(tmp_path: Path, manifest: str) -> None:
    store = Store(tmp_path)
    (make(store) / "entry.json").write_text(manifest)
    assert store.find("train", KEY) is None
    assert not store.path("train", KEY).exists()
    make(store)
    assert store.find("train", KEY) is not None


def test_a_file_that_changed_or_went_is_no_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (make(store) / "model.txt").write_text("weightz")
    assert store.find("train", KEY) is None
    (make(store) / "model.txt").unlink()
    assert store.find("train", KEY) is None


@pytest.mark.parametrize(("stage", "key"), [("../x", KEY), ("train", "../../x"), ("train", "A" * 64), ("", KEY)])
def test_names_stay_inside_the_store(tmp_path: Path, stage: str, key: str) -> None:
    with pytest.raises(ValueError, match="not a stage"):
        Store(tmp_path).path(stage, key)


def test_the_least_recently_used_goes_first_and_what_is_kept_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = [digit * 64 for digit in "123"]
    for age, key in enumerate(keys):
        manifest = make(store, key) / "entry.json"
        used = time.time() - 1000 + age
        os.utime(manifest, (used, used))
    freed = store.collect(cap_bytes=7, keep=frozenset({("train", keys[0])}))
    assert freed == 14
    assert {key for _, key, _, _ in store.entries()} == {keys[0]}


def test_what_was_used_just_now_is_not_collected(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store)
    assert store.collect(cap_bytes=0, keep=frozenset()) == 0
    assert store.find("train", KEY) is not None


def left_working(store: Store, key: str, *, idle_s: float, size_bytes: int = 100) -> Path:
    """What a making that was killed so long ago left."""
    folder = store.working_folder(key)
    folder.mkdir(parents=True)
    (folder / "checkpoint").write_bytes(b"x" * size_bytes)
    then = time.time() - idle_s
    for path in (folder / "checkpoint", folder):
        os.utime(path, (then, then))
    return folder


def test_working_folders_go_when_nobody_came_back_to_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = left_working(store, KEY, idle_s=15 * 86_400)
    new = left_working(store, OTHER, idle_s=13 * 86_400)
    assert store.collect(cap_bytes=1 << 40, keep=frozenset()) == 100
    assert (old.exists(), new.exists()) == (False, True)


def test_working_folders_that_are_too_much_go_the_oldest_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folders = [left_working(store, digit * 64, idle_s=1000 - age) for age, digit in enumerate("123")]
    at_work = left_working(store, "4" * 64, idle_s=0)
    assert store.collect(cap_bytes=250, keep=frozenset()) == 200
    assert [f.exists() for f in (*folders, at_work)] == [False, False, True, True]
    store.collect(cap_bytes=0, keep=frozenset(), idle_s=0)
    assert list((tmp_path / "working").iterdir()) == []


def test_working_folders_do_not_push_entries_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store)
    left_working(store, OTHER, idle_s=1000)
    assert store.collect(cap_bytes=50, keep=frozenset(), idle_s=0) == 100
    assert store.find("train", KEY) is not None


def test_a_write_replaces_or_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    write_bytes(path, b"new")
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_there_wins(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with new_folder(target) as folder:
        (folder / "one").write_text("first")
    with new_folder(target) as folder:
        (folder / "one").write_text("second")
    assert (target / "one").read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


HOLD = """
import sys, time
from pathlib import Path
from autoopt.files import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_freed_by_its_holders_death(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        lock = FileLock(path)
        assert not lock.acquire()
        assert lock.owner_pid() == holder.pid
        holder.kill()
        assert lock.acquire(wait_s=10)
        lock.release()
        lock.release()
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("name", ["adult", "a", "A-1_b.c", "9lives", "x" * 64])
def test_names_that_studies_may_have(name: str) -> None:
    assert check_study_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "-x", "_x", "a b", "a\0b", "é", "a..b", "x" * 65, "a\n"]
)
def test_names_that_studies_may_not_have(name: str) -> None:
    with pytest.raises(OptionError, match="1 to 64 letters"):
        check_study_name(name)


def test_a_home_is_given_or_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Home.locate(tmp_path / "given").root == tmp_path / "given"
    assert Home.locate(None).root == tmp_path / "home"
    monkeypatch.delenv("AUTOOPT_HOME")
    monkeypatch.chdir(tmp_path)
    assert Home.locate(None).root == tmp_path / "autoopt-home"


def test_seeds_differ_by_every_part_and_are_the_same_everywhere() -> None:
    assert derived_seed(0, 1) == derived_seed("0", "1")
    assert len({derived_seed(seed, trial) for seed in range(20) for trial in range(20)}) == 400
    assert derived_seed(1, 23) != derived_seed(12, 3)
    assert 0 <= derived_seed("x") < 2**31
