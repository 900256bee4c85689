"""`autoopt cache`: what the store holds, and what stays when it is made smaller."""

import os
import shutil
import time
from pathlib import Path

import pytest
from support_cli import Searched, run_here, tree

from autoopt.files import Store

pytest_plugins = ["support_cli_fixtures"]
pytestmark = pytest.mark.slow


@pytest.fixture
def home(searched: Searched, tmp_path: Path) -> Path:
    shutil.copytree(searched.home, tmp_path / "home")
    return tmp_path / "home"


def test_it_tells_every_stage_and_changes_nothing(home: Path) -> None:
    before = tree(home / "store")
    ran = run_here("cache", "--home", str(home), "--json")
    assert ran.code == 0, ran.err
    entries = list(Store(home / "store").entries())
    found = {row["stage"]: row for row in ran.last_json["stages"]}
    assert found.keys() == {stage for stage, *_ in entries}
    assert ran.last_json["size_bytes"] == sum(size for *_, size, _ in entries)
    assert 0 < found["deploy"]["kept_bytes"] <= found["deploy"]["size_bytes"]
    assert "freed_bytes" not in ran.last_json
    assert "of trials on record" in ran.err
    assert tree(home / "store") == before


def test_shrinking_leaves_what_trials_were_deployed_as(home: Path) -> None:
    for manifest in (home / "store").glob("*/*/entry.json"):
        os.utime(manifest, (time.time() - 3600,) * 2)
    kept = sum(row["kept_bytes"] for row in run_here("cache", "--home", str(home), "--json").last_json["stages"])
    ran = run_here("cache", "--shrink", "1", "--home", str(home), "--json")
    assert ran.code == 0, ran.err
    assert ran.last_json["size_bytes"] == kept
    assert ran.last_json["freed_bytes"] > 0
    exported = run_here("export", "tree", "-o", str(home / "again"), "--home", str(home))
    assert exported.code == 0, exported.err


@pytest.mark.parametrize("size", ["much", "-1GB", ""])
def test_what_is_no_size_is_told_and_nothing_goes(size: str, home: Path) -> None:
    before = tree(home / "store")
    ran = run_here("cache", "--shrink", size, "--home", str(home))
    assert ran.code == 2
    assert "--shrink" in ran.err
    assert tree(home / "store") == before


def test_without_a_database_nothing_is_removed(home: Path) -> None:
    (home / "autoopt.db").unlink()
    before = tree(home / "store")
    assert run_here("cache", "--shrink", "1", "--home", str(home)).code != 0
    assert tree(home / "store") == before
