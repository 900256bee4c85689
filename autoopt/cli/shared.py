"""Options that several commands share, and what they become."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from autoopt.app.options import Places
from autoopt.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])


def place_options(command: F) -> F:
    """--home, --storage, --tracking-uri, --debug."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        click.option("--tracking-uri", metavar="URI", help="MLflow tracking server or database."),
        click.option("--storage", metavar="URL", help="Study database: sqlite:///FILE or postgresql://..."),
        click.option(
            "--home", metavar="FOLDER", help="Where everything is kept. Default: $AUTOOPT_HOME, ./autoopt-home"
        ),
    ):
        command = option(command)
    return command


def places(home: str | None, storage: str | None, tracking_uri: str | None) -> Places:
    """The three options as one value."""
    return Places(home=home, storage=storage, tracking_uri=tracking_uri)


def duration_option(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Seconds of --time, or a usage error."""
    from autoopt.values import parse_duration_s

    if text is None:
        return None
    try:
        return parse_duration_s(text)
    except OptionError as error:
        raise click.BadParameter(str(error)) from error
