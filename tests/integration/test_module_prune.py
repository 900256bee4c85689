"""Pruning of a user's own module, taken through every stage: smaller where it can be followed, told where it cannot."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_module import returning, write_task
from support_stages import Place, make_place

from autoopt.errors import StageFailure
from autoopt.runtime import Session
from autoopt.stages.rows import feed_of
from autoopt.stages.runners import GRAPH
from autoopt.task.snapshot import Snapshot

pytestmark = pytest.mark.usefixtures("short_timing")

WIDE = """

def wide():
    return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
"""
FIXED = """

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 32), nn.Linear(32, 2)

    def forward(self, rows):
        hidden = self.first(rows)
        return self.last(hidden.view(-1, 4, 8).flatten(1) * torch.ones(32))
"""
RECIPE: dict[str, Any] = {"model": "module", "module.epochs": 5, "batch_size": 16, "optimizer.learning_rate": 0.01}
PRUNED: dict[str, Any] = {**RECIPE, "prune": "channels", "prune.share": 0.5, "prune.steps": 2, "prune.epochs": 2}


def place_of(folder: Path, body: str) -> Place:
    return make_place(folder, write_task(folder, body))


def test_channels_are_removed_without_another_training(tmp_path: Path) -> None:
    place = place_of(tmp_path, returning("build=wide, **cut(), metric='accuracy'", WIDE))
    whole, pruned = place.evaluate(RECIPE), place.evaluate(PRUNED)
    assert {s.name: s.hit for s in pruned.stages}["train"]
    assert pruned.measures["size_bytes"].value < 0.6 * whole.measures["size_bytes"].value
    assert pruned.measures["quality"].value > 0.7
    assert any("weights left" in note for note in pruned.notes)
    snapshot = Snapshot.open(place.snapshot)
    graph = Path(place.store) / "deploy" / pruned.artifact_key / GRAPH
    scores = Session(graph.read_bytes()).run(feed_of(snapshot.facts, snapshot.part("valid")))
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_module_that_cannot_be_followed_fails_with_the_reason(tmp_path: Path) -> None:
    place = place_of(tmp_path, returning("build=Fixed, **cut(), metric='accuracy'", FIXED))
    assert place.evaluate(RECIPE).measures["quality"].value > 0.5
    with pytest.raises(StageFailure, match=r"channels of this network cannot be removed: .+"):
        place.evaluate(PRUNED)
    zeros = place.evaluate({**PRUNED, "prune": "magnitude", "quantize": "static_int8", "qat": True})
    assert any("zero" in note for note in zeros.notes)
    assert any(note.startswith("fine-tuned in int8: ") for note in zeros.notes)
