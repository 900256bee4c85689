"""Small tasks of free text, and what to prepare and run them with."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoopt.strategies.model import TrainingData
from autoopt.strategies.prepared import Counts
from autoopt.strategies.text.counting import Counting, fit_counting
from autoopt.strategies.text.ngrams import NGrams
from autoopt.strategies.text.text_clean import TextClean
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts

TOPICS = (
    ("goal", "match", "coach", "league", "striker", "referee"),
    ("market", "shares", "profit", "bank", "merger", "trader"),
    ("court", "minister", "vote", "treaty", "border", "senate"),
)
FILLERS = ("the", "of", "a", "in", "and", "on", "new", "after", "more", "says")


def rows_of_words(rows: int, topics: int, seed: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Texts (rows, 2), each about one topic with a stray word of others, and their topics (rows,)."""
    draw = np.random.default_rng(seed)
    topic = np.arange(rows) % topics
    texts = np.empty((rows, 2), dtype=object)
    for row in range(rows):
        own = draw.choice(TOPICS[topic[row]], 3)
        other = draw.choice(TOPICS[int(draw.integers(0, topics))], 1)
        words = draw.permutation([*own, *other, *draw.choice(FILLERS, 5)])
        texts[row] = " ".join(words[:3]).title(), " ".join(words[3:]) + "."
    return texts, topic.astype(np.int64)


def text_facts(columns: tuple[str, ...] = ("title", "text"), kind: Kind = Kind.BINARY, classes: int = 2) -> TaskFacts:
    metric = {Kind.BINARY: "roc_auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "rmse"}[kind]
    return TaskFacts(
        name="test",
        modality=Modality.TEXT,
        kind=kind,
        metric=metric,
        metric_direction="minimize" if kind is Kind.REGRESSION else "maximize",
        target="y",
        classes=tuple(f"c{i}" for i in range(classes)) if kind.classifies else (),
        numeric_classes=False,
        columns=tuple(ColumnFacts(name=name, role=Role.TEXT, used=True) for name in columns),
        rows={"train": 1, "valid": 1, "test": 1},
        fingerprint="0" * 64,
    )


def counted(
    kind: Kind, *, rows: int = 240, target: NDArray[Any] | None = None, classes: int | None = None
) -> tuple[TrainingData[Counts], Counting]:
    """The first two thirds of the rows are train, the rest valid; a value target is the topic times 10 plus 100."""
    topics = 2 if kind is Kind.BINARY else 3
    texts, topic = rows_of_words(rows, topics, seed=1)
    values: NDArray[Any] = topic if kind.classifies else 100.0 + 10.0 * topic
    values = values if target is None else target
    facts = text_facts(kind=kind, classes=classes or topics)
    cut = rows * 2 // 3
    counting = fit_counting(texts[:cut], facts, TextClean(), NGrams(most=1000))
    data = TrainingData(
        facts=facts,
        train=Counts(values=counting.transform(texts[:cut])),
        train_target=values[:cut],
        valid=Counts(values=counting.transform(texts[cut:])),
        valid_target=values[cut:],
    )
    return data, counting


def text_frame(rows: int = 150, topics: int = 2, seed: int = 4) -> pd.DataFrame:
    """A table: title and text, a number and a category beside them, and the label."""
    texts, topic = rows_of_words(rows, topics, seed)
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "title": texts[:, 0],
            "text": texts[:, 1],
            "length": draw.integers(1, 99, rows),
            "desk": draw.choice(["north", "south"], rows),
            "label": np.array(["sports", "business", "politics"])[topic],
        }
    )


def column(*values: str) -> NDArray[Any]:
    """One text column, (rows, 1)."""
    return np.array(values, dtype=object).reshape(-1, 1)
