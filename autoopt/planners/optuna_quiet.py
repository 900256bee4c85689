"""Keeps Optuna's talk off the screen without changing what the user's own Optuna code says."""

import contextlib
import warnings
from collections.abc import Iterator

import optuna


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No log lines below errors inside the block."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def experimental_is_fine() -> Iterator[None]:
    """No warnings that a feature is experimental: the contract tests run over those that are used here.

    Only for set-up: the filters are the whole process's while the block lasts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
