"""The `autoopt` command: its subcommands, loaded one by one, and what happens to errors."""

import atexit
import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from types import TracebackType
from typing import NoReturn

import click

from autoopt import __version__
from autoopt.cli.errors import say_error, say_unexpected
from autoopt.errors import AutooptError

_MOMENT_S = 0.01

COMMANDS = {
    "search": "search",
    "compress": "compress",
    "resume": "resume",
    "studies": "studies",
    "show": "studies",
    "rm": "studies",
    "cache": "cache",
    "report": "artifacts",
    "export": "artifacts",
    "predict": "artifacts",
    "check": "artifacts",
    "bench": "bench",
    "ui": "tracking",
    "strategies": "catalogue",
    "doctor": "catalogue",
    "db": "database",
}
"""Command → module of autoopt.cli that defines it, in the order of `--help`."""


class LazyGroup(click.Group):
    """Imports a command's module when it is named, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"autoopt.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="First steps:  autoopt search demo:digits --time 60s",
)
@click.version_option(__version__, prog_name="autoopt")
def cli() -> None:
    """One search over models, training tricks and deployment.

    Give it data and limits; get the best verified pipeline and its quantized twin as one folder that predicts.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 2 bad input, 3 nothing feasible, 130 stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    if not debug:
        sys.excepthook = _no_traceback
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(args=words, prog_name="autoopt", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "autoopt"
        say_error(f"{error.format_message()} See '{command} --help'.")
        return 2
    except click.ClickException as error:
        say_error(error.format_message())
        return 2
    except AutooptError as error:
        if debug:
            traceback.print_exc()
        say_error(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        said = error.__cause__ if isinstance(error, click.Abort) else error  # click makes the one of the other
        say_error(f"Stopped. {said or ''}".strip())
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`autoopt studies | head`): no fault of anybody.
        sys.stderr.close()
        return 0
    except OSError as error:
        if debug:
            traceback.print_exc()
        say_error(f"The system said: {error}. Nothing that was recorded is lost; mend that, and run the command again.")
        return 1


def run() -> NoReturn:
    """The installed command: `main`, then out at once.

    What Python has to put away is put away; the libraries' own teardown is not waited for. It costs half a second, and
    a thread pool of one of them that is still starting aborts the process there ("terminate called without an active
    exception"), after all was done and said, with another exit code.
    """
    sys.unraisablehook = _raised_again
    code = main()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _raised_again(ignored: "sys.UnraisableHookArgs") -> None:
    """A Ctrl-C that met Python while it was putting things away, where nothing can be raised, comes a moment later."""
    if ignored.exc_type is KeyboardInterrupt:
        # A signal, as it came: it ends what the main thread waits in, which a mere note of it would not.
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(_MOMENT_S, signal.pthread_kill, (main, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(ignored)


def _no_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug of ours: one line and how to see more, in place of a traceback."""
    say_unexpected(kind, error)
