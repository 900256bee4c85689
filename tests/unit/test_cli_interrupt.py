"""A Ctrl-C that comes while Python runs what cannot raise is not lost."""

import gc
import sys
import time
import weakref

import pytest

from autoopt.cli.main import _raised_again


class Thing:
    """What can be put away."""


def test_an_interrupt_in_a_finalizer_comes_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_reference: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", _raised_again)
    thing = Thing()
    watching = weakref.ref(thing, interrupted)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - when it comes is not known
        del thing
        gc.collect()
        assert watching() is None
        time.sleep(60)
