"""How errors look on the screen."""

import sys

import click

from autoopt.errors import InputError


def say_error(error: Exception | str) -> None:
    """One message; several problems as a numbered list with what to do about each."""
    problems = error.problems if isinstance(error, InputError) else ()
    head = click.style("error:", fg="red", bold=True)
    if len(problems) > 1:
        click.echo(f"{head} {len(problems)} things to mend; nothing was started.", err=True)
        for count, problem in enumerate(problems, start=1):
            click.echo(f"  {count}. {problem.what}", err=True)
            if problem.mend:
                click.echo(f"     {click.style('→', fg='cyan')} {problem.mend}", err=True)
    elif problems:
        click.echo(f"{head} {problems[0].what}", err=True)
        if problems[0].mend:
            click.echo(f"  {click.style('→', fg='cyan')} {problems[0].mend}", err=True)
    else:
        click.echo(f"{head} {error}", err=True)


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
