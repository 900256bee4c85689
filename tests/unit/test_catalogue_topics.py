"""The catalogue is read by topic: each strategy stands once, and what is set in training has said what it is about."""

import pytest

from autoopt.app.catalogue import cards
from autoopt.strategies import STRATEGIES
from autoopt.strategies.base import Strategy, Topic


def test_every_card_is_shown_once_and_topics_do_not_come_twice() -> None:
    found = cards()
    assert sorted(c.name.rpartition(" ")[2] for c in found) == sorted(s.name for s in STRATEGIES)
    topics = list(dict.fromkeys(c.topic for c in found))
    assert [t.value for t in Topic if t.value in topics] == topics
    blocks = [c.topic for k, c in enumerate(found) if k == 0 or found[k - 1].topic != c.topic]
    assert blocks == topics


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: str(s.name))
def test_only_models_are_architecture(strategy: type[Strategy]) -> None:
    assert (strategy.about() is Topic.ARCHITECTURE) == (strategy.family == "model")
