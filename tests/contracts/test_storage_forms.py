"""What every form of held training data promises: the same values, whichever rows are asked for, in any process."""

import hashlib
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import Store
from autoopt.strategies.learning.rows import Rows
from autoopt.strategies.learning.storage import STAGE, Storage

FORMS = ("memory", "memmap", "hdf5", "arrow", "encoded")
FILES = FORMS[1:]
KEY = "a" * 64
ROWS = 700  # more than one piece, chunk and record batch of each form, by the sizes below


def pixels() -> NDArray[np.uint8]:
    random = np.random.default_rng(1)
    return random.integers(0, 256, (ROWS, 46, 47, 3), dtype=np.uint8)


def tokens() -> NDArray[np.int64]:
    return np.random.default_rng(2).integers(0, 1 << 40, (ROWS, 9))


def floats() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(ROWS, 2, 3)).astype(np.float32)


INPUTS = {"pixels": (pixels(),), "tokens": (tokens(),), "several": (floats(), tokens(), tokens()[:, 0])}
CASES = [(form, name) for form in FORMS for name in INPUTS if form != "encoded" or name == "pixels"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def held(form: str, name: str, store: Store) -> Rows:
    return Storage(form=form).rows(INPUTS[name], store, KEY)


def same(found: tuple[NDArray[Any], ...], wanted: tuple[NDArray[Any], ...]) -> bool:
    return all(
        f.dtype == w.dtype and f.shape == w.shape and np.array_equal(f, w) for f, w in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize(("form", "name"), CASES)
def test_rows_are_what_was_written(form: str, name: str, store: Store) -> None:
    rows, arrays = held(form, name, store), INPUTS[name]
    assert rows.rows == ROWS

    @given(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=20))
    def holds(chosen: list[int]) -> None:
        indices = np.asarray(chosen)  # any order, the same row more than once
        assert same(rows.take(indices), tuple(values[indices] for values in arrays))

    holds()
    assert same(rows.take(np.arange(ROWS)), arrays)


@pytest.mark.parametrize(("form", "name"), CASES)
def test_what_is_taken_belongs_to_the_taker(form: str, name: str, store: Store) -> None:
    rows, chosen = held(form, name, store), np.arange(3)
    for values in rows.take(chosen):
        assert values.flags.writeable
        values[:] = 0
    assert same(rows.take(chosen), tuple(values[:3] for values in INPUTS[name]))


@pytest.mark.parametrize(("form", "name"), CASES)
def test_a_copy_and_a_fork_read_the_same(form: str, name: str, store: Store) -> None:
    rows, chosen = held(form, name, store), np.asarray([5, 3, 600])
    wanted = rows.take(chosen)  # its files are open now
    assert same(pickle.loads(pickle.dumps(rows)).take(chosen), wanted)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put([v.tobytes() for v in rows.take(chosen)]))
    child.start()
    assert answers.get() == [values.tobytes() for values in wanted]
    child.join()
    assert child.exitcode == 0
    assert same(rows.take(chosen), wanted)


@pytest.mark.parametrize("form", FILES)
def test_a_form_is_written_once_for_a_preparation(form: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    few = (pixels()[:8],)
    Storage(form=form).rows(few, store, KEY)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / STAGE).rglob("*") if path.name != "entry.json"}
    Storage(form=form).rows(few, store, KEY)
    found = {path: path.stat().st_mtime_ns for path in (tmp_path / STAGE).rglob("*") if path.name != "entry.json"}
    assert found == written
    Storage(form=form).rows(few, store, "b" * 64)
    Storage(form=form).rows((few[0][::-1],), store, KEY)  # arranged otherwise by another model
    assert len(list((tmp_path / STAGE).iterdir())) == 3


@pytest.mark.parametrize("form", FILES)
def test_a_damaged_file_is_written_again(form: str, tmp_path: Path) -> None:
    store, few = Store(tmp_path), (pixels()[:8],)
    Storage(form=form).rows(few, store, KEY)
    for path in (tmp_path / STAGE).rglob("*"):
        if path.is_file() and path.name != "entry.json":
            path.write_bytes(path.read_bytes()[:-7])
    assert same(Storage(form=form).rows(few, store, KEY).take(np.arange(8)), few)


@pytest.mark.parametrize("name", ["tokens", "several"])
def test_only_images_can_be_encoded(name: str, store: Store) -> None:
    with pytest.raises(StageFailure, match="storage=encoded cannot be used here: only images"):
        held("encoded", name, store)


@pytest.mark.parametrize("form", FILES)
def test_a_form_in_files_needs_a_store(form: str) -> None:
    with pytest.raises(StageFailure, match="no store"):
        Storage(form=form).rows(INPUTS["pixels"], None, KEY)


_RESIDENT = """
import sys
from pathlib import Path
import numpy as np, psutil
from autoopt.strategies.learning.storage_forms.{module} import {rows} as Form
folder, size = Path(sys.argv[1]), 64 << 20
if sys.argv[2] == "write":
    mapped = np.lib.format.open_memmap(folder / "big.npy", mode="w+", dtype=np.uint8, shape=(size >> 12, 1 << 12))
    mapped[::64] = 7
    Form.write([mapped], folder)
else:
    rows = Form(folder)
    rows.take(np.asarray([0]))
    before = psutil.Process().memory_info().rss
    taken = rows.take(np.arange(0, size >> 12, 4096))
    assert taken[0][0, 0] == 7 and rows.rows == size >> 12
    print(psutil.Process().memory_info().rss - before)
"""


@pytest.mark.parametrize(("module", "rows"), [("memmap", "MemmapRows"), ("arrow", "ArrowRows"), ("hdf5", "Hdf5Rows")])
def test_a_file_is_not_read_whole(module: str, rows: str, tmp_path: Path) -> None:
    """4 of 16,384 rows are taken of a file of 64 MB; the kernel maps up to 2 MB around each."""
    code = _RESIDENT.format(module=module, rows=rows)
    for action in ("write", "read"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), action], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 << 20


def test_encoded_images_are_smaller_than_their_pixels(tmp_path: Path) -> None:
    from autoopt.strategies.learning.storage_forms.encoded import EncodedRows

    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None, None], (20, 64, 64, 3))
    EncodedRows.write([smooth], tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < smooth.size / 10
    digest = hashlib.sha256(EncodedRows(tmp_path).take(np.arange(20))[0].tobytes()).hexdigest()
    assert digest == hashlib.sha256(np.ascontiguousarray(smooth).tobytes()).hexdigest()
