"""A user's module and dataset that fail in every way, one after the other, in one search that goes on and exports."""

import re
from pathlib import Path

import pytest
from support_cli import Ran, end_soon, run_here, run_process
from support_module import HEAD, returning, write_task

pytestmark = pytest.mark.slow

FAILING = '''
import os
from pathlib import Path

from torch.utils.data import get_worker_info

HERE = Path(__file__).parent
label = float((HERE / "data.txt").read_text())


def act():
    """Which attempt of the study this process belongs to; those of one slot come one after the other."""
    (HERE / f"attempt-{os.getsid(0)}").touch()
    return len(list(HERE.glob("attempt-*"))) - 1


class Hanging(TensorDataset):
    """Random items, which are fetched anew in each epoch, by loader workers."""

    def __getitem__(self, i):
        if get_worker_info() is not None and act() in (3, 4, 5):
            threading.Event().wait()
        a, b = super().__getitem__(i)
        return a + 0.01 * torch.randn(4), b


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.kept = build(), []

    def forward(self, a):
        if not self.training:
            # Torch cannot trace that, so that no trial takes its time for it.
            return self.inner(a) if float(a.sum()) < 1e9 else self.inner(-a)
        now = act()
        assert now != 0, "no way"
        while now == 2 and len(self.kept) < 100:
            self.kept.append(torch.ones(1 << 23))
        return self.inner(a) * (float("nan") if now == 1 else 1)

'''
TASK = "import threading\n" + HEAD
BODY = returning(
    "build=Failing, **{**cut(), 'train': Hanging(x[:80], ((x[:, 0] > label).long())[:80])}, metric='accuracy'", FAILING
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the user's file and data."""
    made = tmp_path_factory.mktemp("module")
    (made / "data.txt").write_text("0.0")
    write_task(made, BODY, head=TASK)
    return made


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    """Five trials: what raises, NaN, memory that fills up, a hang in three attempts, and one that is sound."""
    words = ("--study", "own", "--trials", "5", "--slots", "1", "--memory", "1GB", "--home", str(folder / "home"))
    pins = ("module.epochs=1", "loader.workers=1", "loader.hang_s=2")
    with pytest.MonkeyPatch.context() as patch:
        end_soon(patch)
        pinned = (word for pin in pins for word in ("--set", pin))
        return run_here("search", f"{folder / 'task.py'}:task", *words, *pinned, "--json")


def told(folder: Path) -> str:
    """The study as it is shown, in one line."""
    return re.sub(r"\s+", " ", run_here("show", "own", "--home", str(folder / "home")).out)


def test_whatever_fails_is_a_failed_trial_and_the_search_goes_on_and_exports(ran: Ran, folder: Path) -> None:
    assert ran.code == 0, ran.err
    assert ran.last_json["trials"] == {"complete": 1, "pruned": 0, "infeasible": 0, "failed": 4}
    assert (folder / "home" / "bundles" / "own" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "reason",
    [
        r"task\.py, line \d+: AssertionError: no way",
        "loss became nan",
        r"took \d.* of memory, and all trials together may take 1 GB \(--memory\)",
        "a loader worker gave no batch within its time",
    ],
)
def test_the_reason_is_told_in_a_line(ran: Ran, folder: Path, reason: str) -> None:
    shown = told(folder)
    assert re.search(reason, shown), shown
    assert "Traceback" not in shown


def test_a_hang_is_tried_again(ran: Ran, folder: Path) -> None:
    assert len(list(folder.glob("attempt-*"))) == 7


def test_other_data_or_another_file_do_not_go_on_with_the_study(ran: Ran, folder: Path) -> None:
    home, before = ("--home", str(folder / "home")), told(folder)
    (folder / "data.txt").write_text("0.5")
    # In a process of its own, as this one has read the data before.
    resumed = run_process("resume", "own", "--trials", "1", *home, folder=folder)
    assert (resumed.code, "train holds other rows than when the study began" in resumed.err) == (2, True), resumed.err
    with (folder / "task.py").open("a") as file:
        file.write("# changed\n")
    resumed = run_here("resume", "own", "--trials", "1", *home)
    assert (resumed.code, "task.py is not what it was when the study began" in resumed.err) == (2, True), resumed.err
    assert "autoopt export own FOLDER" in resumed.err
    assert told(folder) == before
