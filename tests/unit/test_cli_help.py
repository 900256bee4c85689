"""The face of the command line: help everywhere, and nothing heavy loaded for it."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from support_cli import run_here

from autoopt import __version__
from autoopt.cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "sklearn", "mlflow", "optuna", "pandas", "numpy", "lightgbm", "onnx", "onnxruntime", "sqlalchemy")


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def test_help_lists_every_command_with_its_first_sentence() -> None:
    ran = run_here("--help")
    assert ran.code == 0
    listed = [line.split()[0] for line in ran.out.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert listed[: len(COMMANDS)] == list(COMMANDS)
    assert "autoopt search demo:digits" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    ran = run_here(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: autoopt {name}")
    first = (command(name).help or "").splitlines()[0]
    assert first.endswith((".", ":")), first


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    found = command(name)
    every = [found, *(found.commands.values() if isinstance(found, click.Group) else ())]
    silent = [
        f"{one.name} {option.opts[0]}"
        for one in every
        for option in one.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


@pytest.mark.parametrize("name", [n for n in COMMANDS if n != "db"])
def test_every_command_can_show_tracebacks(name: str) -> None:
    assert any("--debug" in option.opts for option in command(name).params)


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"]], ids=lambda words: " ".join(words) or "alone")
def test_without_a_command_it_introduces_itself(words: list[str]) -> None:
    ran = run_here(*words)
    assert ran.code == 0
    assert ("Usage: autoopt" in ran.out) or (__version__ in ran.out)


@pytest.mark.parametrize(
    "code",
    [
        "import autoopt",
        "from autoopt.cli import main; main(['--help'])",
        "from autoopt.cli import main; main(['studies', '--help'])",
        "from autoopt.cli import main; main(['search', '--help'])",
        "from autoopt.cli import main; main(['nonsense'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    probe = f"{code}\nimport sys; print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
