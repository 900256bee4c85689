"""Shared by every test: where state goes, and what must not be left behind."""

import os
from collections import Counter
from pathlib import Path

import pytest

# Set before anything heavy is imported: a test machine's threads belong to the processes under test.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYTHONWARNINGS", "default")
# Importing MLflow and making its database takes 3.4 of a small search's 8.5 s of CPU time. Tests of the mirror ask for
# `tracked`.
os.environ["AUTOOPT_TRACKING_URI"] = "none"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that forgets `--home` writes into its own folder, never into the checkout."""
    monkeypatch.setenv("AUTOOPT_HOME", str(tmp_path / "home"))


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands tell MLflow of their studies, as they do unless told otherwise."""
    monkeypatch.delenv("AUTOOPT_TRACKING_URI")


@pytest.fixture
def short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that are evaluated in this process measure for a moment: their figures are not looked at."""
    from autoopt.stages import measure

    monkeypatch.setattr(measure, "SINGLE_S", 0.03)
    monkeypatch.setattr(measure, "BATCH_S", 0.02)


LONG = {"test_image_networks.py", "test_text_networks.py", "test_shrinking.py", "test_loader.py", "test_gang.py"}
"""Files that take ten seconds or more without one slow test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first: where several processes share the work, no long file is left to one."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow") or item.path.name in LONG)
    items.sort(key=lambda item: -slow[item.path])
