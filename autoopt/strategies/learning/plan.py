"""How a network is to be trained: one strategy for each choice."""

from dataclasses import dataclass
from typing import Self, final

from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.batch_size import BatchSize
from autoopt.strategies.learning.compile import Compile
from autoopt.strategies.learning.ema import Ema
from autoopt.strategies.learning.gradients import Gradients
from autoopt.strategies.learning.loader import Loader
from autoopt.strategies.learning.loss import Loss
from autoopt.strategies.learning.memory_format import MemoryFormat
from autoopt.strategies.learning.optimizer import Optimizer
from autoopt.strategies.learning.precision import Precision
from autoopt.strategies.learning.progressive_resizing import ProgressiveResizing
from autoopt.strategies.learning.schedule import Schedule


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """One strategy each, and when to stop."""

    batch_size: BatchSize
    augment: Augment  # what of it the training does itself
    resizing: ProgressiveResizing
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    gradients: Gradients
    ema: Ema
    precision: Precision
    memory_format: MemoryFormat
    compile: Compile
    epochs: int
    patience: int  # epochs without a better valid metric after which training ends
    seed: int
    classes: int = 0  # of the target; 0 for values. What mixes rows needs it
    image_axes: tuple[int, int] = (0, 1)  # of one row: height and width
    checkpoint_every_s: float = 10.0  # a training shorter than this leaves none

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        epochs: int,
        patience: int,
        seed: int,
        classes: int = 0,
        image_axes: tuple[int, int] | None = None,
    ) -> Self:
        return cls(
            batch_size=BatchSize.from_recipe(recipe),
            augment=Loader.from_recipe(recipe).left_to_training(Augment.from_recipe(recipe)),
            resizing=ProgressiveResizing.from_recipe(recipe),
            loss=Loss.from_recipe(recipe),
            optimizer=Optimizer.from_recipe(recipe),
            schedule=Schedule.from_recipe(recipe),
            gradients=Gradients.from_recipe(recipe),
            ema=Ema.from_recipe(recipe),
            precision=Precision.from_recipe(recipe),
            memory_format=MemoryFormat.from_recipe(recipe),
            compile=Compile.from_recipe(recipe),
            epochs=epochs,
            patience=patience,
            seed=seed,
            classes=classes,
            image_axes=image_axes or cls.image_axes,
        )
