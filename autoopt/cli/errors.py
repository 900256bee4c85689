"""How errors look on the screen."""

import re
import sys

import click

from autoopt.errors import InputError

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Control characters as their escapes: a file's or a column's name may hold what a terminal would obey."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def say_error(error: Exception | str) -> None:
    """One message; several problems as a numbered list with what to do about each."""
    problems = error.problems if isinstance(error, InputError) else ()
    head = click.style("error:", fg="red", bold=True)
    if len(problems) > 1:
        click.echo(f"{head} {len(problems)} things to mend; nothing was started.", err=True)
        for count, problem in enumerate(problems, start=1):
            click.echo(f"  {count}. {plain(problem.what)}", err=True)
            if problem.mend:
                click.echo(f"     {click.style('→', fg='cyan')} {plain(problem.mend)}", err=True)
    elif problems:
        click.echo(f"{head} {plain(problems[0].what)}", err=True)
        if problems[0].mend:
            click.echo(f"  {click.style('→', fg='cyan')} {plain(problems[0].mend)}", err=True)
    else:
        click.echo(f"{head} {plain(str(error))}", err=True)


def say_unexpected(kind: type[BaseException], error: BaseException) -> None:
    """A bug: what it was, and how to see where."""
    text = str(error).splitlines()
    click.echo(
        f"{click.style('error:', fg='red', bold=True)} autoopt met a fault of its own "
        f"({kind.__name__}: {text[0] if text else 'no message'}). Run the same command with --debug to see where; "
        "a study that was running can be resumed.",
        err=True,
    )
    sys.stderr.flush()
