"""What a session's workers import ahead of use."""

import pytest

from autoopt.app.wiring import workers_need_torch
from autoopt.space import load_space, pin
from autoopt.strategies import catalogue


@pytest.mark.parametrize(
    ("space", "pins", "needed"),
    [
        ("tabular", (), True),
        ("tabular", ("model=mlp",), True),
        ("tabular", ("model=decision_tree",), False),
        ("text", ("model=ngram_bayes",), False),
        ("images", (), True),
    ],
)
def test_workers_import_torch_ahead_where_a_network_may_be_trained(
    space: str, pins: tuple[str, ...], needed: bool
) -> None:
    assert workers_need_torch(pin(load_space(space, catalogue()), pins, catalogue())) is needed
