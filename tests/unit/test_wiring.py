"""What a session's workers import ahead of use."""

import pytest

from autoopt.app.wiring import EXPORTER, NETWORKS, imports_ahead
from autoopt.space import load_space, pin
from autoopt.strategies import catalogue

BOTH = (*NETWORKS, *EXPORTER)


@pytest.mark.parametrize(
    ("space", "pins", "before", "beside"),
    [
        ("tabular", (), (), NETWORKS),
        ("tabular", ("model=mlp",), NETWORKS, ()),
        ("tabular", ("model=decision_tree",), (), ()),
        ("text", (), (), BOTH),
        ("text", ("model=ngram_bayes",), (), ()),
        ("images", (), BOTH, ()),
        ("module", (), BOTH, ()),
    ],
)
def test_workers_import_what_all_trials_need_first_and_what_some_need_beside_them(
    space: str, pins: tuple[str, ...], before: tuple[str, ...], beside: tuple[str, ...]
) -> None:
    preload, warm = imports_ahead(pin(load_space(space, catalogue()), pins, catalogue()))
    assert tuple(name for name in preload if name in BOTH) == before
    assert warm == beside
