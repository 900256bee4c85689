"""Options that several commands share, and what they become."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from autoopt.app.options import Places, raise_all
from autoopt.errors import OptionError, Problem


def command_name() -> str:
    """How the user called us: `autoopt`, or the script of a checkout."""
    return os.environ.get("AUTOOPT_COMMAND", "autoopt")


TARGETS_HELP = "Runtimes that may serve the bundle: onnxruntime,openvino. Default: what is installed"


def named(text: str | None) -> tuple[str, ...] | None:
    """Names of a list such as 'onnxruntime,openvino', each once; None where nothing was said."""
    return None if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",")))


TRACKING_HELP = (
    "MLflow server or database; none: it is told nothing now, a later resume or ui tells it all. "
    "Default: $AUTOOPT_TRACKING_URI, a database in the home folder"
)
F = TypeVar("F", bound=Callable[..., Any])
_MISREAD = "autoopt.misread"


def place_options(command: F) -> F:
    """--home, --storage, --tracking-uri, --debug."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        click.option("--tracking-uri", metavar="URI", help=TRACKING_HELP),
        click.option("--storage", metavar="URL", help="Study database: sqlite:///FILE or postgresql://..."),
        click.option("--home", metavar="FOLDER", help="Where all is kept. Default: $AUTOOPT_HOME, ./autoopt-home"),
    ):
        command = option(command)
    return command


def places(home: str | None, storage: str | None, tracking_uri: str | None, *, also: Sequence[Problem] = ()) -> Places:
    """The three options as one value.

    Raises OptionError for what cannot be meant, for what could not be parsed so far, and for what is `also` wrong.
    """
    from autoopt.app.checks import check_places

    found = Places(home=home, storage=storage, tracking_uri=tracking_uri)
    raise_all([*misread(), *also, *found.problems()])
    check_places(found, to_write=False)
    return found


def misread() -> tuple[Problem, ...]:
    """What could not be parsed on this command line: told together with everything else that is wrong."""
    return tuple(click.get_current_context().meta.get(_MISREAD, ()))


def _note(ctx: click.Context | None, problem: Problem) -> None:
    if ctx is not None:
        ctx.meta.setdefault(_MISREAD, []).append(problem)


class Number(click.ParamType[int | float | None]):
    """A whole or a real number. What is none becomes a noted problem and the option's default."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.name = "N"
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float | None:
        if not isinstance(value, str):
            return self._kind(value)
        try:
            return self._kind(value)
        except ValueError:
            option = param.opts[0] if param else "number"
            what = f"{option} {value!r} is no {'whole ' if self._kind is int else ''}number."
            _note(ctx, Problem(what=what, mend=f"Write it like {option} {'3' if self._kind is int else '0.05'}."))
            return None if param is None else param.get_default(ctx) if ctx else None


def duration_option(ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Seconds of --time; what is no duration is noted."""
    from autoopt.values import parse_duration_s

    if text is None:
        return None
    try:
        return parse_duration_s(text)
    except OptionError as error:
        _note(ctx, error.problems[0])
        return None


def seed_option(told: str) -> Callable[[F], F]:
    """--seed; `told`: of what."""
    return click.option("--seed", type=Number(int), metavar="N", default=0, show_default=True, help=told)
