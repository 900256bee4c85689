"""The training rows of a recipe: held in its form, read by its loader."""

from torch import Tensor
from torch import device as Device

from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.augmented_rows import AugmentedRows
from autoopt.strategies.learning.loader import Loader
from autoopt.strategies.learning.pinned_memory import PinnedMemory
from autoopt.strategies.learning.source import Source, TensorSource
from autoopt.strategies.learning.storage import Storage
from autoopt.strategies.model import TrainingContext


def held_source(inputs: tuple[Tensor, ...], target: Tensor, context: TrainingContext, device: Device) -> Source:
    """Batches on `device` of inputs (rows, ...) and target (rows, ...) that lie on the CPU, or are mapped from disk.

    What is in memory without loader workers goes to the device whole, once, unless readers are to augment it.
    """
    storage, loader = Storage.from_recipe(context.recipe), Loader.from_recipe(context.recipe)
    plain = TensorSource(inputs, target)
    augmented_here = loader.augment_on == "workers"
    if storage.form == "memory" and loader.workers == 0 and not augmented_here:
        return TensorSource(tuple(values.to(device) for values in inputs), target.to(device))
    rows = storage.rows([values.numpy() for values in inputs], context.store, context.prepared_key)
    if augmented_here:
        rows = AugmentedRows(rows, Augment.from_recipe(context.recipe), context.seed)
    pinned = PinnedMemory.from_recipe(context.recipe).pinned
    return loader.source(rows, target, device, classifies=plain.classifies, pinned=pinned)
