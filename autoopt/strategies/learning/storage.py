"""How the prepared training data are held while a network learns from them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import Store, sha256_json
from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import FailureReason, Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without h5py and pyarrow
    from autoopt.strategies.learning.rows import Rows, StoredRows

STAGE = "storage"
"""Of the store: the training rows of one preparation in one form. Whoever needs them first writes them."""
_VERSION = 1


@final
@dataclass(frozen=True, kw_only=True)
class Storage(Strategy):
    """How prepared images and tokens are held for training. The values are the same in every form.

    * memory: whole tensors in the memory of the training device; the fastest while they fit.
    * memmap: numpy files mapped into memory; only the rows of a batch are read. For data larger than memory.
    * hdf5: chunked datasets of one HDF5 file.
    * arrow: record batches of an Arrow IPC file, mapped.
    * encoded: images as PNG bytes, decoded for each batch: the least disk and memory for the most processor time.

    A form other than memory is written once for each preparation. Left open, a probe settles it by measuring.
    """

    name: ClassVar[str] = "storage"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.MEMORY
    when: ClassVar = {"model": NETWORKS}
    speed_only: ClassVar[bool] = True

    form: str = choice("memory", "memmap", "hdf5", "arrow", "encoded", main=True, help="how training data are held")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality in (Modality.IMAGES, Modality.TEXT):
            return None
        return f"it holds prepared images and texts, and this task is {task.modality}"

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        return "only images can be encoded" if value == "encoded" and task.modality is not Modality.IMAGES else None

    def rows(self, arrays: Sequence[NDArray[Any]], store: Store | None, prepared_key: str) -> "Rows":
        """The arrays (rows, ...) in this form, from the store if they were written before.

        Raises StageFailure when the form cannot hold them, or there is no store to hold files.
        """
        if self.form == "memory":
            from autoopt.strategies.learning.storage_forms.memory import MemoryRows

            return MemoryRows(arrays)
        form = _stored_form(self.form)
        reason = "there is no store to write it to" if store is None else form.why_not(arrays)
        if store is None or reason is not None:
            raise StageFailure(FailureReason.ERROR, f"storage={self.form} cannot be used here: {reason}")
        key = _key(self.form, arrays, prepared_key)
        entry = store.find(STAGE, key)
        if entry is None:
            with store.make(STAGE, key) as folder:
                form.write(arrays, folder)
            entry = store.find(STAGE, key, verify=False)
        if entry is None:
            message = f"The training data as {self.form} vanished from the store right after they were written."
            raise StageFailure(FailureReason.CRASHED, message)
        return form(entry.path)


def _stored_form(name: str) -> "type[StoredRows[Any]]":
    from autoopt.strategies.learning.storage_forms.arrow import ArrowRows
    from autoopt.strategies.learning.storage_forms.encoded import EncodedRows
    from autoopt.strategies.learning.storage_forms.hdf5 import Hdf5Rows
    from autoopt.strategies.learning.storage_forms.memmap import MemmapRows

    forms: tuple[type[StoredRows[Any]], ...] = (MemmapRows, Hdf5Rows, ArrowRows, EncodedRows)
    return next(form for form in forms if form.form == name)


def _key(form: str, arrays: Sequence[NDArray[Any]], prepared_key: str) -> str:
    """Of these arrays in that form. Models may arrange one preparation differently: a few rows tell them apart."""
    return sha256_json(
        {
            "form": form,
            "version": _VERSION,
            "prepared": prepared_key,
            "arrays": [[values.dtype.str, list(values.shape), _sampled(values)] for values in arrays],
        }
    )


def _sampled(values: NDArray[Any]) -> str:
    chosen = np.unique(np.linspace(0, max(len(values) - 1, 0), num=min(len(values), 16)).astype(np.int64))
    return hashlib.sha256(np.ascontiguousarray(values[chosen]).tobytes()).hexdigest()
