"""`python -m autoopt` is the `autoopt` command."""

from autoopt.cli import run

if __name__ == "__main__":
    run()
