"""The command line. Thin: parse, call the app, print. Imports nothing heavy until a command needs it."""

from autoopt.cli.main import main, run

__all__ = ["main", "run"]
